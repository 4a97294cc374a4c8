// What config.json or GGUF metadata says of a model, through one face. Every key that is read is remembered: one that changes
// the arithmetic and was not read is refused, so that no architecture can forget one.

package struct ModelFile {
    package enum Source {
        /// A model inside a larger one has its keys in `text_config`; `outer` then has those of the whole.
        case huggingFace(JSONFields, outer: JSONFields?)
        case gguf(GGUFFile)
    }

    package let path: String
    package let architecture: any Architecture
    let source: Source
    let notes = Notes()

    /// What was read, and what GGUF would say of it.
    final class Notes {
        var read: Set<String> = []
        var gguf: [(key: String, value: GGUFValue)] = []
        /// The same as config.json would, under Llama's names.
        var config = JSON.Object()
        var factors: [String: [Float]] = [:]
    }

    package init(_ source: Source, _ path: String, as architecture: any Architecture) {
        self.path = path
        self.architecture = architecture
        guard case .huggingFace(let fields, let outer) = source else {
            self.source = source
            return
        }
        var object = architecture.defaults
        // A null of the file's own means none, whatever the default is.
        for member in fields.object.members { object[member.key] = member.value }
        self.source = .huggingFace(
            JSONFields(object, path: fields.path, prefix: fields.prefix), outer: outer)
    }

    package var isGGUF: Bool { if case .gguf = source { true } else { false } }

    // MARK: Keys

    package func optionalInteger(
        _ key: ModelKey, in range: ClosedRange<Int> = .any
    ) throws(FileError) -> Int? {
        let value: Int?
        switch source {
        case .huggingFace(let fields, _): value = try fields.optionalInteger(read(key), in: range)
        case .gguf(let file):
            guard let name = readGGUF(key) else { return nil }
            value = try file.metadata.optionalInteger(name, in: range)
        }
        if let value { note(key, .uint32(UInt32(clamping: value))) }
        return value
    }

    package func integer(
        _ key: ModelKey, in range: ClosedRange<Int> = .any, default other: Int? = nil
    ) throws(FileError) -> Int {
        if let value = try optionalInteger(key, in: range) { return value }
        guard let other else { throw wrong(key, expected: range.expectation) }
        note(key, .uint32(UInt32(clamping: other)))
        return other
    }

    package func optionalNumber(_ key: ModelKey) throws(FileError) -> Double? {
        let value: Double?
        switch source {
        case .huggingFace(let fields, _): value = try fields.optionalPositiveNumber(read(key))
        case .gguf(let file):
            guard let name = readGGUF(key) else { return nil }
            value = try file.metadata.optionalPositiveNumber(name)
        }
        if let value { note(key, .float32(Float(value))) }
        return value
    }

    package func number(_ key: ModelKey, default other: Double? = nil) throws(FileError) -> Double {
        if let value = try optionalNumber(key) { return value }
        guard let other else { throw wrong(key, expected: "a positive number") }
        note(key, .float32(Float(other)))
        return other
    }

    /// nil where config.json has null, `other` where a GGUF file does not say.
    package func number(_ key: ModelKey, orNone other: Double) throws(FileError) -> Double? {
        let value = try optionalNumber(key)
        return value ?? (isGGUF ? other : nil)
    }

    package func optionalIntegers(_ name: String) throws(FileError) -> [Int]? {
        guard case .huggingFace(let fields, _) = source else { return nil }
        var numbers: [Int] = []
        guard let values = try fields.optionalArray(read(ModelKey(name))) else { return nil }
        for value in values {
            guard case .integer(let number) = value else {
                throw fields.wrong(name, holding: value, expected: "integers")
            }
            numbers.append(number)
        }
        return numbers
    }

    /// A key of config.json; nil in GGUF files, which have none.
    package func optionalFlag(_ name: String) throws(FileError) -> Bool? {
        guard case .huggingFace(let fields, _) = source else { return nil }
        return try fields.optionalBool(read(ModelKey(name)))
    }

    package func flag(_ name: String, default other: Bool = false) throws(FileError) -> Bool {
        try optionalFlag(name) ?? other
    }

    package func optionalString(_ name: String) throws(FileError) -> String? {
        guard case .huggingFace(let fields, _) = source else { return nil }
        return try fields.optionalString(read(ModelKey(name)))
    }

    /// Whether the layers of this name have a bias. A GGUF file says so by having one.
    package func hasBias(_ gguf: String, flag name: String?, default other: Bool = false) throws(FileError)
        -> Bool
    {
        switch source {
        case .gguf(let file): return file["blk.0.\(gguf).bias"] != nil
        case .huggingFace:
            return try name.map { name throws(FileError) in try flag(name, default: other) } ?? other
        }
    }

    package func activation(_ names: String..., default other: Activation) throws(FileError) -> Activation {
        guard case .huggingFace(let fields, _) = source else { return other }
        for name in names {
            guard let text = try optionalString(name) else { continue }
            guard let activation = Activation(huggingFace: text) else {
                throw fields.wrong(
                    key(name),
                    expected: Activation.huggingFaceNames.joined(separator: ", ") + ": no other is computed")
            }
            return activation
        }
        return other
    }

    // MARK: Names

    /// The key's name in this file, for messages.
    package func name(_ key: ModelKey) -> String {
        switch source {
        case .huggingFace(let fields, _): fields.prefix + self.key(key.huggingFace)
        case .gguf: "\(ggufName).\(key.gguf ?? key.huggingFace)"
        }
    }

    package func wrong(_ key: ModelKey, expected: String, remedy: String? = nil) -> FileError {
        switch source {
        case .huggingFace(let fields, _):
            fields.wrong(self.key(key.huggingFace), expected: expected, remedy: remedy)
        case .gguf(let file): file.metadata.wrong(name(key), expected: expected, remedy: remedy)
        }
    }

    private var ggufName: String { architecture.gguf ?? "" }

    /// The architecture's own name of a key of config.json.
    private func key(_ name: String) -> String { architecture.keys[name] ?? name }

    private func read(_ key: ModelKey) -> String {
        let name = self.key(key.huggingFace)
        notes.read.insert(name)
        return name
    }

    func readGGUF(_ key: ModelKey) -> String? {
        guard key.gguf != nil else { return nil }
        let name = name(key)
        notes.read.insert(name)
        return name
    }

    func note(_ key: ModelKey, _ value: GGUFValue) {
        // Rules for rotations and shares of a head are told apart there, and named otherwise.
        let isOfRope = key.gguf?.hasPrefix("rope.") == true && key.gguf != ModelKey.ropeBase.gguf
        if !key.huggingFace.isEmpty, !isOfRope, let number = value.json {
            notes.config[key.huggingFace] = number
        }
        if let name = key.gguf, architecture.gguf != nil { notes.gguf.append(("\(ggufName).\(name)", value)) }
    }

    /// A flag of GGUF's; nil where there is none, and in config.json.
    func optionalGGUFFlag(_ name: String) throws(FileError) -> Bool? {
        guard case .gguf(let file) = source else { return nil }
        notes.read.insert("\(ggufName).\(name)")
        return try file.metadata.optionalBool("\(ggufName).\(name)")
    }

    /// What a GGUF file of this model says, but for its tokenizer.
    package var ggufMetadata: GGUFMetadata {
        var metadata = GGUFMetadata(path: path)
        metadata.set("general.architecture", .string(ggufName))
        for (key, value) in notes.gguf { metadata.set(key, value) }
        return metadata
    }

    /// What config.json would say of this model, but for what follows from its spec, in an architecture's names.
    func config(named architecture: any Architecture) -> JSON.Object {
        var config = JSON.Object()
        for member in notes.config.members {
            config[architecture.keys[member.key] ?? member.key] = member.value
        }
        return config
    }

    /// Tensors that a GGUF file has beside the model's: the factors of its rotary frequencies.
    package var ggufTensors: [TensorSource] {
        notes.factors.map { TensorSource($0.key, shape: [$0.value.count], $0.value) }
    }

    /// A key that changes the arithmetic and was not read would be silently without effect.
    func refuseUnread() throws(FileError) {
        switch source {
        case .huggingFace(let fields, _):
            for member in fields.object.members
            where !notes.read.contains(member.key) && member.value != .null {
                guard let harmless = Self.arithmetic[member.key], !harmless.contains(member.value) else {
                    continue
                }
                throw fields.wrong(
                    member.key,
                    expected: harmless.first.map {
                        "\($0.summary): \(architecture.modelTypes[0]) models with another "
                            + "are not supported"
                    } ?? "none: it is not supported for \(architecture.modelTypes[0]) models",
                    remedy: member.key == "quantization_config"
                        ? "use the unquantised model or a GGUF file" : nil)
            }
        case .gguf(let file):
            let prefix = ggufName + "."
            for entry in file.metadata.entries
            where entry.key.hasPrefix(prefix) && !notes.read.contains(entry.key) {
                let name = entry.key.dropFirst(prefix.count)
                let isNeutral = entry.value.integer == 0 || entry.value == .bool(false)
                guard Self.arithmeticGGUF.contains(where: name.hasPrefix), !isNeutral else { continue }
                throw file.metadata.wrong(
                    entry.key, expected: "none: it is not supported for \(ggufName) models")
            }
        }
    }
}

extension GGUFValue {
    /// A number, with the digits that tell a float32 from its neighbours.
    fileprivate var json: JSON? {
        if let integer { return .integer(integer) }
        guard case .float32(let number) = self else { return nil }
        return .double(Double(number.description) ?? Double(number))
    }
}

extension Activation {
    fileprivate static let byHuggingFaceName: KeyValuePairs<String, Activation> = [
        "silu": .silu, "swish": .silu, "gelu": .gelu, "gelu_pytorch_tanh": .geluTanh, "gelu_new": .geluTanh,
        "gelu_fast": .geluTanh, "relu2": .relu2,
    ]
    fileprivate static var huggingFaceNames: [String] { byHuggingFaceName.map(\.key) }

    fileprivate init?(huggingFace name: String) {
        guard let found = Self.byHuggingFaceName.first(where: { $0.key == name }) else { return nil }
        self = found.value
    }
}
