// Qwen 3's mixtures of experts: Qwen 3 with experts in the place of the MLP, in all layers or some.

package struct Qwen3MoE: Architecture {
    package let models = "Qwen 3 (experts)"
    package let modelTypes = ["qwen3_moe"]
    package let gguf: String? = "qwen3moe"
    package let defaults: JSON.Object = [
        "num_key_value_heads": .integer(4), "intermediate_size": .integer(6144),
        "max_position_embeddings": .integer(32768), "moe_intermediate_size": .integer(768),
        "num_experts": .integer(128), "num_experts_per_tok": .integer(8),
    ]
    package let tiny: JSON.Object = [
        "head_dim": .integer(16), "num_experts": .integer(6), "num_experts_per_tok": .integer(3),
        "moe_intermediate_size": .integer(24), "norm_topk_prob": .bool(true),
    ]
    package init() {}

    package func complete(_ config: inout JSON.Object, of model: ModelSpec) {
        if case .softmax(let ofChosen)? = model.experts.first?.scores {
            config["norm_topk_prob"] = .bool(ofChosen)
        }
    }

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Qwen3().describe(file)
        let counts = try file.experts(
            hidden: ModelKey("moe_intermediate_size", gguf: "expert_feed_forward_length"))
        // llama.cpp has experts in all layers, and scores of the chosen that add up to one.
        let ofChosen = try file.flag("norm_topk_prob", default: file.isGGUF)
        let period = try file.integer(ModelKey("decoder_sparse_step"), in: 1...Int.max, default: 1)
        let dense = try file.optionalIntegers("mlp_only_layers") ?? []
        let function = try file.activation("hidden_act", default: .silu)
        try model.changeFeedForward { branch, layer in
            guard !dense.contains(layer.index), (layer.index + 1) % period == 0 else { return }
            branch.mixExperts(counts, .softmax(ofChosen: ofChosen), function, layer)
        }
        return model
    }
}
