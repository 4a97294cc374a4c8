// Token ids that Python's `tokenizers` or llama.cpp make of a text, with the vocabulary of a GGUF file.

import Checkpoints
import Foundation
import Testing

enum PythonOracle: String, CaseIterable {
    case tokenizers
    case llamaCpp

    private static let environment = ProcessInfo.processInfo.environment
    /// A Python that has `tokenizers`.
    static let python = environment["LORAVK_TEST_PYTHON"]
    static let hasLlamaCpp = !(environment["LORAVK_TEST_LLAMA_CPP"] ?? "").isEmpty

    func ids(of model: String, bytes: Int) throws -> (text: String, ids: [Int32]) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "loravk-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (text, ids) = (folder.path + "/text", folder.path + "/ids")
        try run("tokenizer_fixtures.py", ["text", "\(bytes)", text])
        switch self {
        case .tokenizers: try run("tokenizer_fixtures.py", ["gguf", model, text, ids])
        case .llamaCpp: try run("llama_cpp_tokens.py", [model, text, ids])
        }
        return (
            String(decoding: try FileSystem.contents(of: text), as: UTF8.self),
            Self.numbers(try FileSystem.contents(of: ids)[...])
        )
    }

    /// Little-endian numbers of 32 bits.
    static func numbers(_ bytes: ArraySlice<UInt8>) -> [Int32] {
        bytes.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: 4).map {
                Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: Int32.self))
            }
        }
    }

    private func run(_ script: String, _ arguments: [String]) throws {
        let python = try #require(
            PythonOracle.python, "set LORAVK_TEST_PYTHON to a Python that has `tokenizers`")
        let process = Process()
        process.executableURL = URL(filePath: python)
        let path = String(#filePath.dropLast("TokenizerTests/PythonOracle.swift".count)) + "Oracles/" + script
        process.arguments = [path] + arguments
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(python) \(path) \(arguments.joined(separator: " "))")
    }
}
