// gpt-oss: Llama with biases, experts in the place of the MLP, windows in every other layer, and a learned score of each head (a sink)
// that takes its part of the softmax and has no value.
//   attention = Σ_j p_j·v_j,  p_j = exp(s_j)/(exp(sink) + Σ exp(s))
//   experts = Σ s_e·down_e(z·σ(1.702·z)·(u + 1)),  z = gate_e(n) up to 7, u = up_e(n) in ±7

package struct GptOss: Architecture {
    package let models = "gpt-oss"
    package let modelTypes = ["gpt_oss"]
    package let gguf: String? = "gpt-oss"
    package let defaults: JSON.Object = [
        "vocab_size": .integer(201_088), "hidden_size": .integer(2880), "intermediate_size": .integer(2880),
        "num_hidden_layers": .integer(36), "num_attention_heads": .integer(64),
        "num_key_value_heads": .integer(8), "head_dim": .integer(64), "attention_bias": .bool(true),
        "num_local_experts": .integer(128), "num_experts_per_tok": .integer(4),
        "sliding_window": .integer(128),
        "max_position_embeddings": .integer(131_072), "rms_norm_eps": .double(1e-5),
        "rope_theta": .double(150_000),
        "rope_parameters": .object([
            "rope_type": .string("yarn"), "factor": .double(32), "beta_fast": .double(32),
            "beta_slow": .double(1),
            "truncate": .bool(false), "original_max_position_embeddings": .integer(4096),
        ]),
    ]
    package let tiny: JSON.Object = [
        "head_dim": .integer(16), "intermediate_size": .integer(24), "num_local_experts": .integer(6),
        "num_experts_per_tok": .integer(3), "sliding_window": .integer(5),
        "tie_word_embeddings": .bool(false),
        "rope_parameters": .object([
            "rope_type": .string("yarn"), "factor": .double(4), "truncate": .bool(false),
            "original_max_position_embeddings": .integer(16),
        ]),
    ]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Llama().describe(file)
        let windows = try file.windows { $0 % 2 == 0 }
        let counts = try file.experts(
            hidden: ModelKey("intermediate_size", gguf: "expert_feed_forward_length"))
        var names = ExpertNames()
        names.router = "mlp.router"
        names.matrices = .joined(
            gateUp: "mlp.experts.gate_up_proj", inTurns: true, down: "mlp.experts.down_proj",
            try file.hasMXFP4() ? .mxfp4 : .columns)
        try model.changeAttention { branch, attention, layer in
            branch.storesRowsInOrder()
            attention.window = windows[layer.index]
            attention.sinks = layer.name("self_attn.sinks", gguf: "attn_sinks.weight")
            // No file of llama.cpp's says that the rule's ends are not rounded, and no model's are.
            if file.isGGUF { attention.rope?.scaling.keepFractions() }
        }
        try model.changeFeedForward { branch, layer in
            branch.before?.name = layer.name("post_attention_layernorm", gguf: "post_attention_norm")
            branch.mixExperts(
                counts, .softmax(ofChosen: true), .clamped, layer, names: names, hasBiases: true)
        }
        return model
    }
}
