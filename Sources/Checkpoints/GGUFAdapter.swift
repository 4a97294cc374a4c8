// A LoRA adapter as llama.cpp loads it: NAME.lora_a (R, in) and NAME.lora_b (out, R) under the GGUF names and in the row
// order of the base model. llama.cpp adds alpha/R·B·A to a weight, with one alpha for all; 0 stands for alpha = R.
// Reference: llama.cpp's loader of adapters, src/llama-adapter.cpp.

extension AdapterFiles {
    /// A PEFT folder, or a GGUF file of an adapter of this model, under the names of its Hugging Face form.
    package static func open(
        _ path: String, for base: Checkpoint, limits: LoadLimits = .standard
    ) throws(FileError) -> AdapterFiles {
        if FileSystem.isFile(path) { return try GGUFAdapter(path, limits: limits).files(for: base) }
        return try AdapterFiles(path, limits: limits)
    }
}

package struct GGUFAdapter: Sendable {
    package let path: String
    package let architecture: String
    package let alpha: Double
    package let modules: [(name: String, a: StoredTensor, b: StoredTensor)]

    /// Keys of its own; others under `adapter.` change what it computes.
    private static let keys: Set = ["adapter.type", "adapter.lora.alpha"]

    package static func isAdapter(_ metadata: GGUFMetadata) throws(FileError) -> Bool {
        try metadata.optionalString("general.type") == "adapter"
    }

    package init(_ path: String, limits: LoadLimits = .standard) throws(FileError) {
        let file = try GGUFFile(path, limits: limits)
        let metadata = file.metadata
        guard try GGUFAdapter.isAdapter(metadata) else {
            throw metadata.wrong(
                "general.type", expected: "\"adapter\"",
                remedy:
                    "a model is named by --model, an adapter is a PEFT folder or a GGUF file of `lora-vk export`"
            )
        }
        guard try metadata.optionalString("adapter.type") == "lora" else {
            throw metadata.wrong("adapter.type", expected: "\"lora\"")
        }
        for entry in metadata.entries where entry.key.hasPrefix("adapter.") {
            guard GGUFAdapter.keys.contains(entry.key) else {
                throw metadata.wrong(entry.key, expected: "none: it is not supported")
            }
        }
        guard let alpha = metadata["adapter.lora.alpha"]?.double, alpha.isFinite, alpha >= 0 else {
            throw metadata.wrong("adapter.lora.alpha", expected: "a floating-point number of 0 or more")
        }
        guard let architecture = try metadata.optionalString("general.architecture") else {
            throw metadata.wrong("general.architecture", expected: "the base model's")
        }
        var modules: [(name: String, a: StoredTensor, b: StoredTensor)] = []
        for a in file.tensors {
            guard a.name.hasSuffix(".lora_a") else {
                guard a.name.hasSuffix(".lora_b"), file[String(a.name.dropLast()) + "a"] != nil else {
                    throw FileError(
                        path, "holds '\(a.name.shortened)', which is no half of a pair lora_a, lora_b")
                }
                continue
            }
            guard let b = file[String(a.name.dropLast()) + "b"] else {
                throw FileError(path, "holds '\(a.name.shortened)' without its lora_b")
            }
            modules.append((String(a.name.dropLast(".lora_a".count)), a, b))
        }
        guard !modules.isEmpty else { throw FileError(path, "holds no adapter's tensors") }
        (self.path, self.architecture, self.alpha, self.modules) = (path, architecture, alpha, modules)
    }

    fileprivate func files(for base: Checkpoint) throws(FileError) -> AdapterFiles {
        guard architecture == base.spec.gguf else {
            throw FileError(
                path, "is for a model of the architecture '\(architecture.shortened)'",
                remedy: "the adapter belongs to another model than \(base.path)")
        }
        let expected = Dictionary(first: base.spec.expectedTensors.map { ($0.ggufName, $0) })
        let ranks = modules.map { $0.a.shape.first ?? 0 }
        guard alpha > 0 || Set(ranks).count == 1 else {
            throw FileError(path, "has the alpha 0 and modules of several ranks, which is not supported")
        }
        let names = try modules.map { (module) throws(FileError) in
            guard let weight = expected[module.name], weight.name.hasSuffix(".weight") else {
                throw FileError(
                    path, "holds an adapter of '\(module.name.shortened)', which the model does not have")
            }
            return String(weight.name.dropLast(".weight".count))
        }
        var config = PEFTConfig(
            rank: ranks[0], alpha: alpha > 0 ? alpha : Double(ranks[0]), targetModules: .names(names),
            baseModel: base.path)
        for (name, rank) in zip(names, ranks) where rank != ranks[0] {
            config.rankPattern.append(.init(try ModulePattern(name, path: path), rank))
        }
        var all: [AdapterModule] = []
        for (module, name) in zip(modules, names) {
            let order = expected[module.name]?.ggufOrder ?? .asStored
            let parts: [AdapterFiles.Part: StoredTensor] = [
                .loraA: module.a, .loraB: module.b.renamed(module.b.name, order: order),
            ]
            all.append(
                try AdapterModule(AdapterTensors(module: name, parts: parts, shared: [:], path: path), config)
            )
        }
        return AdapterFiles(path, config, all, tensors: modules.flatMap { [$0.a, $0.b] })
    }
}
