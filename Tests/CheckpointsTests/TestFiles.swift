// What the tests of this folder share: fixture paths, temporary folders, builders of GGUF and safetensors
// bytes.

import Checkpoints
import Foundation

/// A fixture; Data/make_fixtures.py made them.
func fixture(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Data/" + name
}

func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = NSTemporaryDirectory() + "/loravk-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try body(folder)
}

func contents(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }

func put(_ bytes: [UInt8], at path: String) throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }

func put(_ text: String, at path: String) throws { try put(Array(text.utf8), at: path) }

func copy(_ source: String, to target: String) throws {
    try FileManager.default.copyItem(atPath: source, toPath: target)
}

/// The text of the error a body throws, nil where it throws none.
func errorText(_ body: () throws -> Void) -> String? {
    do { try body() } catch { return "\(error)" }
    return nil
}

func littleEndian<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

func safetensors(_ header: String, data: Int = 0, length: UInt64? = nil) -> [UInt8] {
    littleEndian(length ?? UInt64(header.utf8.count)) + Array(header.utf8)
        + [UInt8](repeating: 0, count: data)
}

/// Bytes of a GGUF file, valid unless told otherwise: the counts are those of what was added.
struct GGUFBuilder {
    var version: UInt32 = 3
    var tensorCount: UInt64?
    var keyCount: UInt64?
    var dataBytes = 0
    var dataByte: UInt8 = 0
    private var keys: [[UInt8]] = []
    private var tensors: [[UInt8]] = []

    static func text(_ text: String) -> [UInt8] { littleEndian(UInt64(text.utf8.count)) + Array(text.utf8) }

    mutating func key(_ name: String, type: UInt32, _ value: [UInt8]) {
        keys.append(GGUFBuilder.text(name) + littleEndian(type) + value)
    }

    mutating func key(_ name: String, _ value: UInt32) { key(name, type: 4, littleEndian(value)) }
    mutating func key(_ name: String, _ value: Float) { key(name, type: 6, littleEndian(value.bitPattern)) }
    mutating func key(_ name: String, _ value: String) { key(name, type: 8, GGUFBuilder.text(value)) }

    mutating func tensor(_ name: String, _ sizes: [UInt64], type: UInt32 = 0, offset: UInt64 = 0) {
        tensors.append(
            GGUFBuilder.text(name) + littleEndian(UInt32(sizes.count)) + sizes.flatMap { littleEndian($0) }
                + littleEndian(type) + littleEndian(offset))
    }

    var bytes: [UInt8] {
        var bytes = Array("GGUF".utf8) + littleEndian(version)
        bytes +=
            littleEndian(tensorCount ?? UInt64(tensors.count)) + littleEndian(keyCount ?? UInt64(keys.count))
        bytes += (keys + tensors).joined()
        if dataBytes > 0 { bytes += [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32) }
        bytes += [UInt8](repeating: dataByte, count: dataBytes)
        return bytes
    }

    /// The metadata of a tiny llama; keys in `without` are left out.
    static func llama(without missing: Set<String> = []) -> GGUFBuilder {
        var builder = GGUFBuilder()
        func add(_ name: String, _ body: () -> Void) { if !missing.contains(name) { body() } }
        add("architecture") { builder.key("general.architecture", "llama") }
        for (name, value) in [
            ("context_length", 128), ("embedding_length", 32), ("block_count", 2),
            ("feed_forward_length", 64),
            ("attention.head_count", 2), ("attention.head_count_kv", 1), ("vocab_size", 40),
        ] as [(String, UInt32)] {
            add(name) { builder.key("llama." + name, value) }
        }
        add("eps") { builder.key("llama.attention.layer_norm_rms_epsilon", Float(1e-5)) }
        return builder
    }
}
