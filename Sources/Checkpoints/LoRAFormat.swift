// LoRA, rsLoRA and DoRA in PEFT's files: base_model.model.MODULE.lora_A.weight (R, in), .lora_B.weight (out, R), and of DoRA
// .lora_magnitude_vector (out). Of an embedding W (V, C) they are .lora_embedding_A (R, V) and .lora_embedding_B (C, R):
// W' = W + s·(B·A)ᵀ, so that Aᵀ is the B and Bᵀ the A of the matrix.

extension AdapterFiles.Part {
    package static let loraA = Self(".lora_A.weight")
    package static let loraB = Self(".lora_B.weight")
    package static let magnitude = Self(".lora_magnitude_vector")
    package static let embeddingA = Self(".lora_embedding_A")
    package static let embeddingB = Self(".lora_embedding_B")
}

struct LoRAFormat: AdapterFormat {
    let name = "LoRA"
    let parts: [AdapterFiles.Part] = [.loraA, .loraB, .magnitude, .embeddingA, .embeddingB]
    let shared: [AdapterFiles.Shared] = []
    let dropoutKey = "lora_dropout"
    let initializationKey = "init_lora_weights"

    func read(_ fields: JSONFields, into config: inout PEFTConfig) throws(FileError) {
        config.alpha = try fields.positiveNumber("lora_alpha")
        config.usesRsLoRA = try fields.optionalBool("use_rslora") ?? false
        config.usesDoRA = try fields.optionalBool("use_dora") ?? false
        if let ranks = try fields.optionalFields("rank_pattern") {
            for key in ranks.object.keys {
                let rank = try ranks.integer(key, in: PEFTConfig.ranks)
                config.rankPattern.append(.init(try ModulePattern(key, path: fields.path), rank))
            }
        }
        if let alphas = try fields.optionalFields("alpha_pattern") {
            for key in alphas.object.keys {
                let alpha = try alphas.positiveNumber(key)
                config.alphaPattern.append(.init(try ModulePattern(key, path: fields.path), alpha))
            }
        }
    }

    func write(_ config: PEFTConfig, _ set: (String, JSON) -> Void) {
        set("lora_alpha", number(config.alpha))
        set("use_rslora", .bool(config.usesRsLoRA))
        set("use_dora", .bool(config.usesDoRA))
        var ranks = JSON.Object()
        for exception in config.rankPattern { ranks[exception.pattern.text] = .integer(exception.value) }
        set("rank_pattern", .object(ranks))
        var alphas = JSON.Object()
        for exception in config.alphaPattern { alphas[exception.pattern.text] = number(exception.value) }
        set("alpha_pattern", .object(alphas))
    }

    private func number(_ value: Double) -> JSON {
        Int(exactly: value).map { .integer($0) } ?? .double(value)
    }

    func update(_ tensors: AdapterTensors, _ config: PEFTConfig) throws(FileError) -> AdapterUpdate {
        if tensors.parts[.embeddingA] != nil || tensors.parts[.embeddingB] != nil {
            return try embeddingUpdate(tensors, config)
        }
        guard let loraA = tensors.parts[.loraA] else { throw tensors.wrong("has no lora_A") }
        guard let loraB = tensors.parts[.loraB] else { throw tensors.wrong("has no lora_B") }
        guard loraA.shape.count == 2, loraB.shape.count == 2, loraA.shape[0] == loraB.shape[1] else {
            throw tensors.wrong(
                "has a lora_A of \(loraA.shape) and a lora_B of \(loraB.shape), expected (R, in) and (out, R)"
            )
        }
        let magnitude = tensors.parts[.magnitude]
        guard (magnitude != nil) == config.usesDoRA else {
            throw tensors.wrong(
                "has \(magnitude == nil ? "no" : "a") lora_magnitude_vector, 'use_dora' is \(config.usesDoRA)"
            )
        }
        if let magnitude, magnitude.shape != [loraB.rows] {
            throw tensors.wrong("has a lora_magnitude_vector of \(magnitude.shape), expected [\(loraB.rows)]")
        }
        return AdapterUpdate(
            loraA: AdapterMatrix(loraA), loraB: AdapterMatrix(loraB), magnitude: magnitude)
    }

    private func embeddingUpdate(
        _ tensors: AdapterTensors, _ config: PEFTConfig
    ) throws(FileError) -> AdapterUpdate {
        guard tensors.parts.count == 2, let a = tensors.parts[.embeddingA],
            let b = tensors.parts[.embeddingB],
            !config.usesDoRA
        else {
            throw tensors.wrong(
                "is an embedding, which needs lora_embedding_A and lora_embedding_B and nothing else")
        }
        guard a.shape.count == 2, b.shape.count == 2, a.shape[0] == b.shape[1] else {
            throw tensors.wrong(
                "has a lora_embedding_A of \(a.shape) and a lora_embedding_B of \(b.shape), expected (R, V) and (C, R)"
            )
        }
        return AdapterUpdate(
            loraA: AdapterMatrix(b.renamed(b.name, isTransposed: true)),
            loraB: AdapterMatrix(a.renamed(a.name, isTransposed: true)))
    }

    var defaults: JSON.Object { Self.defaults }
    private static let defaults: JSON.Object = [
        "alpha_pattern": .object([:]), "auto_mapping": .null, "base_model_name_or_path": .null,
        "bias": .string("none"), "corda_config": .null, "eva_config": .null, "exclude_modules": .null,
        "fan_in_fan_out": .bool(false), "inference_mode": .bool(true), "init_lora_weights": .bool(true),
        "layer_replication": .null, "layers_pattern": .null, "layers_to_transform": .null,
        "loftq_config": .object([:]), "lora_alpha": .integer(8), "lora_bias": .bool(false),
        "lora_dropout": .double(0), "megatron_config": .null, "megatron_core": .string("megatron.core"),
        "modules_to_save": .null, "peft_type": .string("LORA"), "qalora_group_size": .integer(16),
        "r": .integer(8), "rank_pattern": .object([:]), "revision": .null, "target_modules": .null,
        "target_parameters": .null, "task_type": .null, "trainable_token_indices": .null,
        "use_dora": .bool(false), "use_qalora": .bool(false), "use_rslora": .bool(false),
    ]
}
