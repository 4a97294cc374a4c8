// LFM2's mixtures of experts: LFM2 with experts in the place of the MLP behind some dense layers. Scores are sigmoids; a bias
// decides with them which experts are chosen, and not how much they count.

package struct LFM2MoE: Architecture {
    package let models = "LFM2 and LFM2.5 (experts)"
    package let modelTypes = ["lfm2_moe"]
    package let gguf: String? = "lfm2moe"
    package let keys = LFM2().keys
    package let defaults: JSON.Object = {
        var defaults = LFM2().defaults
        for (key, value) in [
            ("intermediate_size", JSON.integer(7168)), ("moe_intermediate_size", .integer(1792)),
            ("block_auto_adjust_ff_dim", .bool(false)), ("num_dense_layers", .integer(2)),
            ("num_experts", .integer(32)), ("num_experts_per_tok", .integer(4)),
        ] { defaults[key] = value }
        return defaults
    }()
    package let tiny: JSON.Object = [
        "layer_types": .array([.string("conv"), .string("full_attention"), .string("conv")]),
        "num_hidden_layers": .integer(3), "num_dense_layers": .integer(1), "num_experts": .integer(6),
        "num_experts_per_tok": .integer(3), "moe_intermediate_size": .integer(24),
    ]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try LFM2().describe(file)
        let counts = try file.experts(
            hidden: ModelKey("moe_intermediate_size", gguf: "expert_feed_forward_length"), isSigmoid: true)
        let dense = try file.integer(
            ModelKey("num_dense_layers", gguf: "leading_dense_block_count"), in: 0...Int.max, default: 0)
        let scores = ExpertsSpec.Scores.sigmoid(
            isNormalised: try file.flag("norm_topk_prob", default: true),
            scale: try file.number(
                ModelKey("routed_scaling_factor", gguf: "expert_weights_scale"), default: 1))
        var names = ExpertNames()
        names.router = "feed_forward.gate"
        names.matrices = .each("feed_forward.experts", gate: "w1", up: "w3", down: "w2")
        if try file.flag("use_expert_bias", default: true) { names.bias = "feed_forward.expert_bias" }
        try model.changeFeedForward { branch, layer in
            if layer.index >= dense { branch.mixExperts(counts, scores, .silu, layer, names: names) }
        }
        return model
    }
}
