// The kinds of adapters that PEFT saves, by `peft_type`. A format has all that is its own: the keys of its tensors, its keys of
// adapter_config.json, and the update that a layer's tensors mean. A new one is a file like LoRAFormat.swift and a case here.

protocol AdapterFormat: Sendable {
    /// For people: `LoRA`.
    var name: String { get }
    /// Tensors of one layer.
    var parts: [AdapterFiles.Part] { get }
    /// Tensors that all layers share.
    var shared: [AdapterFiles.Shared] { get }
    var dropoutKey: String { get }
    var initializationKey: String { get }
    /// The config that PEFT 0.17 writes for a plain adapter.
    var defaults: JSON.Object { get }

    /// Reads the config's keys that only this format has.
    func read(_ fields: JSONFields, into config: inout PEFTConfig) throws(FileError)
    /// Sets them.
    func write(_ config: PEFTConfig, _ set: (String, JSON) -> Void)
    /// Checks a layer's tensors against each other, and says which update they are.
    func update(_ tensors: AdapterTensors, _ config: PEFTConfig) throws(FileError) -> AdapterUpdate
}

extension PEFTConfig {
    /// `peft_type`
    package enum Kind: String, CaseIterable, Sendable {
        case lora = "LORA"
        case vera = "VERA"

        var format: any AdapterFormat {
            switch self {
            case .lora: LoRAFormat()
            case .vera: VeRAFormat()
            }
        }

        package var name: String { format.name }
    }
}

extension AdapterFiles {
    /// Which tensor of a layer, by the end of its key.
    package struct Part: Hashable, Sendable {
        package let suffix: String

        init(_ suffix: String) { self.suffix = suffix }

        static var all: [Part] { PEFTConfig.Kind.allCases.flatMap(\.format.parts) }
        /// PEFT's name of it.
        package var word: String { suffix.split(separator: ".").first.map(String.init) ?? suffix }
    }

    /// Which tensor that all layers share, by its key.
    package struct Shared: Hashable, Sendable {
        package let key: String

        init(_ key: String) { self.key = key }
    }
}

/// The tensors of one layer, and those that all layers share, as a file has them.
struct AdapterTensors {
    /// The layer's name in the base model.
    let module: String
    let parts: [AdapterFiles.Part: StoredTensor]
    let shared: [AdapterFiles.Shared: StoredTensor]
    let path: String

    func wrong(_ message: String) -> FileError { FileError(path, "'\(module.shortened)' \(message)") }
}

/// W' = W + s·B·A. With a magnitude m: W' = m ⊙ (W + s·B·A) / ‖W + s·B·A‖, norms and m by row.
struct AdapterUpdate {
    let loraA: AdapterMatrix  // (R, in), or (R, widest in) if the layers share it
    let loraB: AdapterMatrix  // (out, R)
    var magnitude: StoredTensor?  // (out)
}
