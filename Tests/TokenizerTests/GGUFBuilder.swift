// Metadata of a tokenizer as a GGUF file, written and read back.

import Checkpoints
import Foundation
import Tokenizer

struct GGUFBuilder {
    enum Value {
        case string(String)
        case bool(Bool)
        case uint32(UInt32)
        case strings([String])
        case floats([Float])
        case integers([Int32])
    }

    var keys: [(String, Value)] = []

    subscript(key: String) -> Value? {
        get { keys.first { $0.0 == key }?.1 }
        set {
            keys.removeAll { $0.0 == key }
            if let newValue { keys.append((key, newValue)) }
        }
    }

    func tokenizer() throws -> Tokenizer {
        let path = FileManager.default.temporaryDirectory.appending(path: "loravk-\(UUID().uuidString).gguf")
            .path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data(bytes).write(to: URL(filePath: path))
        return try Tokenizer(gguf: GGUFFile(path).metadata)
    }

    private var bytes: [UInt8] {
        var bytes = Array("GGUF".utf8)
        func number(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
        }
        func string(_ text: String) {
            number(UInt64(text.utf8.count))
            bytes += text.utf8
        }
        func array(_ type: UInt32, _ count: Int) {
            number(UInt32(9))
            number(type)
            number(UInt64(count))
        }
        number(UInt32(3))
        number(UInt64(0))
        number(UInt64(keys.count))
        for (key, value) in keys {
            string(key)
            switch value {
            case .string(let text):
                number(UInt32(8))
                string(text)
            case .bool(let flag):
                number(UInt32(7))
                bytes.append(flag ? 1 : 0)
            case .uint32(let value):
                number(UInt32(4))
                number(value)
            case .strings(let texts):
                array(8, texts.count)
                texts.forEach(string)
            case .floats(let numbers):
                array(6, numbers.count)
                for value in numbers { number(value.bitPattern) }
            case .integers(let numbers):
                array(5, numbers.count)
                for value in numbers { number(value) }
            }
        }
        return bytes
    }

    /// The vocabulary of a `tokenizer.json` of Data/ as a converter writes it.
    init(fixture name: String, pre: String?) throws {
        let path = "\(Fixtures.folder)\(name).tokenizer.json"
        try self.init(json: JSON.read(path), path: path, pre: pre)
    }

    /// `pre` is nil for pieces of SentencePiece.
    init(json: JSON, path: String, pre: String?) throws {
        let file = try JSONFields(json, path: path)
        let vocabulary = try file.fields("model").fields("vocab").object.members
        var tokens = [String](repeating: "", count: vocabulary.count)
        for member in vocabulary {
            guard case .integer(let id) = member.value else { continue }
            tokens[id] = member.key
        }
        var kinds = [Int32](repeating: 1, count: tokens.count)
        for token in try file.array("added_tokens") {
            let token = try JSONFields(token, path: path)
            kinds[try token.integer("id")] = try token.bool("special") ? 3 : 4
        }
        let merges = try file.fields("model").array("merges").map { merge in
            guard case .array(let pair) = merge, case .string(let left) = pair[0],
                case .string(let right) = pair[1]
            else {
                throw FileError(path, "holds \(merge.summary)")
            }
            return (left, right)
        }

        keys = [("tokenizer.ggml.tokens", .strings(tokens))]
        if let pre {
            keys.append(("tokenizer.ggml.model", .string("gpt2")))
            keys.append(("tokenizer.ggml.pre", .string(pre)))
            keys.append(("tokenizer.ggml.merges", .strings(merges.map { "\($0) \($1)" })))
        } else {
            var scores = [Float](repeating: -1e6, count: tokens.count)
            var ids: [ExactString: Int] = [:]
            for (id, token) in tokens.enumerated() { ids[ExactString(token)] = id }
            for (rank, merge) in merges.enumerated().reversed() {
                if let id = ids[ExactString(merge.0 + merge.1)] { scores[id] = -Float(rank) }
            }
            for (id, token) in tokens.enumerated() where token.hasPrefix("<0x") && token.hasSuffix(">") {
                kinds[id] = 6
            }
            keys.append(("tokenizer.ggml.model", .string("llama")))
            keys.append(("tokenizer.ggml.scores", .floats(scores)))
        }
        keys.append(("tokenizer.ggml.token_type", .integers(kinds)))
    }
}
