// The seam between model families and the rest: an architecture says which files are its own and what they describe. All else
// follows from the spec.

import Synchronization

package protocol Architecture: Sendable {
    /// What people call its models: `Qwen 2 and 2.5`.
    var models: String { get }
    /// Hugging Face's `model_type`s; the first is its name.
    var modelTypes: [String] { get }
    /// `general.architecture`; nil where llama.cpp has none.
    var gguf: String? { get }
    /// Values of config.json's keys that its files leave out.
    var defaults: JSON.Object { get }
    /// Its own names of config.json's keys, by Llama's.
    var keys: [String: String] { get }
    /// Keys of config.json that a tiny model of the tests has beside those of all: all that is special, switched on.
    var tiny: JSON.Object { get }

    func describe(_ file: ModelFile) throws(FileError) -> ModelSpec
}

extension Architecture {
    package var name: String { modelTypes[0] }
    package var defaults: JSON.Object { [:] }
    package var keys: [String: String] { [:] }
    package var tiny: JSON.Object { [:] }

    /// The model that a file describes, with everything that changes its arithmetic.
    package func spec(_ file: ModelFile) throws(FileError) -> ModelSpec {
        let spec = try describe(file)
        try file.refuseUnread()
        try spec.validate(file.path)
        return spec
    }
}

package enum Architectures {
    private static let builtIn: [any Architecture] = [
        Llama(), Mistral(), Ministral3(), Qwen2(), Qwen3(), Gemma2(), Gemma3(), Phi3(), SmolLM3(), Granite(),
        Olmo2(), Olmo3(),
        GLM4(), GPT2(), LFM2(), Qwen3MoE(), OLMoE(), Mixtral(), LFM2MoE(), GptOss(),
        GraniteMoE(),
    ]
    private static let added = Mutex<[any Architecture]>([])

    package static var all: [any Architecture] { builtIn + added.withLock { $0 } }

    /// Adds an architecture of the program's own.
    package static func register(_ architecture: some Architecture) {
        added.withLock { known in
            known.removeAll { $0.name == architecture.name }
            known.append(architecture)
        }
    }

    /// By Hugging Face's `model_type`.
    package static func named(_ modelType: String) -> (any Architecture)? {
        all.first { $0.modelTypes.contains(modelType) }
    }

    /// By GGUF's `general.architecture`.
    package static func gguf(_ name: String) -> (any Architecture)? { all.first { $0.gguf == name } }

    static var expectation: String {
        all.flatMap(\.modelTypes).joined(separator: ", ") + ": other architectures are not supported"
    }

    static var expectationGGUF: String {
        all.compactMap(\.gguf).joined(separator: ", ") + ": other architectures are not supported"
    }
}
