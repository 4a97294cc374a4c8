// The corpus of bad files: each row makes a file (or folder) that must be refused, and part of the sentence
// it must get.

import Checkpoints

struct BadFile: Sendable, CustomStringConvertible {
    let name: String
    let expected: String
    let open: @Sendable (_ folder: String) throws -> Void

    var description: String { name }

    init(_ name: String, _ expected: String, open: @escaping @Sendable (_ folder: String) throws -> Void) {
        (self.name, self.expected, self.open) = (name, expected, open)
    }

    static func gguf(
        _ name: String, _ expected: String, _ bytes: @escaping @Sendable () throws -> [UInt8]
    ) -> BadFile {
        BadFile("GGUF: " + name, expected) { folder in
            try put(try bytes(), at: folder + "/model.gguf")
            _ = try Checkpoint.open(path: folder + "/model.gguf")
        }
    }

    /// A llama's metadata with one more or one other key.
    static func ggufKey(
        _ name: String, _ expected: String, without missing: Set<String> = [],
        _ change: @escaping @Sendable (inout GGUFBuilder) -> Void
    ) -> BadFile {
        gguf(name, expected) {
            var builder = GGUFBuilder.llama(without: missing)
            change(&builder)
            return builder.bytes
        }
    }

    static func safetensors(
        _ name: String, _ expected: String, _ bytes: @escaping @Sendable () -> [UInt8]
    ) -> BadFile {
        BadFile("safetensors: " + name, expected) { folder in
            try put(bytes(), at: folder + "/model.safetensors")
            _ = try SafetensorsFile(folder + "/model.safetensors")
        }
    }

    /// The sharded fixture with another index, and whatever else `change` does to its folder.
    static func shards(
        _ name: String, _ expected: String, index: String? = nil,
        _ change: @escaping @Sendable (_ folder: String) throws -> Void = { _ in }
    ) -> BadFile {
        BadFile("shards: " + name, expected) { folder in
            try copy(fixture("tiny-hf-sharded"), to: folder + "/model")
            if let index { try put(index, at: folder + "/model/model.safetensors.index.json") }
            try change(folder + "/model")
            _ = try Checkpoint.open(path: folder + "/model")
        }
    }

    static func json(_ name: String, _ expected: String, _ bytes: @escaping @Sendable () -> [UInt8])
        -> BadFile
    {
        BadFile("JSON: " + name, expected) { folder in
            try put(bytes(), at: folder + "/x.json")
            _ = try JSON.read(folder + "/x.json")
        }
    }

    static func json(_ name: String, _ expected: String, _ text: String) -> BadFile {
        json(name, expected) { Array(text.utf8) }
    }

    /// The tiny model's config.json with keys replaced (JSON text) or removed (nil).
    static func config(_ name: String, _ expected: String, _ changes: [String: String?]) -> BadFile {
        BadFile("config.json: " + name, expected) { folder in
            try copy(fixture("tiny-hf"), to: folder + "/model")
            try changeJSON(folder + "/model/config.json", changes)
            _ = try Checkpoint.open(path: folder + "/model")
        }
    }

    /// A fixture adapter with keys of its config replaced or removed, opened for the tiny model.
    static func adapter(
        _ name: String, _ expected: String, of fixtureName: String = "plain",
        _ changes: [String: String?] = [:],
        _ change: @escaping @Sendable (_ folder: String) throws -> Void = { _ in }
    ) -> BadFile {
        BadFile("adapter: " + name, expected) { folder in
            try copy(fixture("adapters/" + fixtureName), to: folder + "/adapter")
            try changeJSON(folder + "/adapter/adapter_config.json", changes)
            try change(folder + "/adapter")
            let base = try Checkpoint.open(path: fixture("tiny-hf"))
            _ = try AdapterFiles(folder + "/adapter").matched(to: base)
        }
    }
}

/// Replaces keys by JSON text, removes those that are nil.
func changeJSON(_ path: String, _ changes: [String: String?]) throws {
    guard !changes.isEmpty, case .object(var object) = try JSON.read(path) else { return }
    for (key, value) in changes { object[key] = try value.map { try JSON.parse(Array($0.utf8), path: key) } }
    try put(JSON.object(object).text(.python), at: path)
}
