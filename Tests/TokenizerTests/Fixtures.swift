// The files of Data/, and what `tokenizers` makes of the text in them (written by Tests/Oracles/tokenizer_fixtures.py).

import Checkpoints
import Testing
import Tokenizer

enum Fixtures {
    static let folder = String(#filePath.dropLast("Fixtures.swift".count)) + "Data/"

    static func tokenizer(_ name: String) throws -> Tokenizer {
        let path = "\(folder)\(name).tokenizer.json"
        return try Tokenizer(json: JSON.read(path), path: path)
    }

    static func text(_ name: String) throws -> String {
        String(decoding: try FileSystem.contents(of: folder + name), as: UTF8.self)
    }

    /// The text in pieces of 1500 scalars, as the oracle cuts it.
    static func chunks(_ name: String = "mixed.txt") throws -> [String] {
        let scalars = Array(try text(name).unicodeScalars)
        return stride(from: 0, to: scalars.count, by: 1500).map { start in
            var chunk = String.UnicodeScalarView()
            chunk.append(contentsOf: scalars[start..<min(start + 1500, scalars.count)])
            return String(chunk)
        }
    }

    struct Expectation: Equatable {
        var count: Int
        var ids: String
        var text: String
    }

    static func rows(_ name: String) throws -> [[JSON]] {
        let file = try JSONFields(JSON.read(folder + "expected.json"), path: "expected.json")
        return try file.array(name).map { row in
            guard case .array(let row) = row else { throw FileError("expected.json", "holds \(row.summary)") }
            return row
        }
    }

    static func expected(_ name: String) throws -> [Expectation] {
        try rows(name).map { row in
            guard row.count == 3, case .integer(let count) = row[0], case .string(let ids) = row[1],
                case .string(let text) = row[2]
            else { throw FileError("expected.json", "'\(name)' has a row that is none") }
            return Expectation(count: count, ids: ids, text: text)
        }
    }

    static func expectation(_ tokenizer: Tokenizer, _ text: String) -> Expectation {
        let ids = tokenizer.encode(text)
        return Expectation(
            count: ids.count,
            ids: hash(ids),
            text: hash(Array(tokenizer.decode(ids, skipSpecialTokens: true).utf8)))
    }

    static func hash(_ numbers: [Int32]) -> String {
        hash(numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) } })
    }

    /// FNV-1a.
    private static func hash(_ bytes: [UInt8]) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
