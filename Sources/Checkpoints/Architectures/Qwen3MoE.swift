// Qwen 3's mixtures of experts: Qwen 3 with experts in the place of the MLP.

package struct Qwen3MoE: Architecture {
    package let models = "Qwen 3 (experts)"
    package let modelTypes = ["qwen3_moe"]
    package let gguf: String? = "qwen3moe"
    package let defaults: JSON.Object = [
        "num_key_value_heads": .integer(4), "intermediate_size": .integer(6144),
        "max_position_embeddings": .integer(32768), "moe_intermediate_size": .integer(768),
    ]
    package let tiny: JSON.Object = [
        "head_dim": .integer(16), "num_experts": .integer(6), "num_experts_per_tok": .integer(3),
        "moe_intermediate_size": .integer(24), "norm_topk_prob": .bool(true),
    ]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Qwen3().describe(file)
        let experts = try file.experts(
            hidden: ModelKey("moe_intermediate_size", gguf: "expert_feed_forward_length"), default: 128)
        // llama.cpp has experts in all layers, and scores of the chosen that add up to one.
        let isRenormalised = try file.flag("norm_topk_prob", default: file.isGGUF)
        let period = try file.integer(ModelKey("decoder_sparse_step"), default: 1)
        let dense = try file.optionalIntegers("mlp_only_layers") ?? []
        let function = try file.activation("hidden_act", default: .silu)
        try model.changeFeedForward { branch, layer in
            guard !dense.contains(layer.index), period > 0, (layer.index + 1) % period == 0 else { return }
            branch.inputs = []
            branch.output = nil
            func matrix(_ name: String, gguf: String, _ inFeatures: Int, _ outFeatures: Int)
                -> ExpertMatrixSpec
            {
                layer.experts(
                    "mlp.experts", name, gguf: gguf, count: experts.count, inFeatures, outFeatures)
            }
            branch.mixer = .experts(
                ExpertsSpec(
                    router: layer.name("mlp.gate", gguf: "ffn_gate_inp"), used: experts.used,
                    renormalises: isRenormalised, function,
                    gate: matrix("gate_proj", gguf: "ffn_gate_exps", layer.width, experts.hidden),
                    up: matrix("up_proj", gguf: "ffn_up_exps", layer.width, experts.hidden),
                    down: matrix("down_proj", gguf: "ffn_down_exps", experts.hidden, layer.width)))
        }
        return model
    }
}
