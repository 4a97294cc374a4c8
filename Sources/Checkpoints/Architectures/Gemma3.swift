// Gemma 3 (text): Gemma 2 without caps, with RMSNorm of every head of q and k, and five layers that look back a window and rotate at
// a base of their own for one that looks back all the way.

package struct Gemma3: Architecture {
    package let models = "Gemma 3"
    package let modelTypes = ["gemma3_text"]
    package let gguf: String? = "gemma3"
    package let defaults: JSON.Object = [
        "vocab_size": .integer(262_208), "hidden_size": .integer(2304), "intermediate_size": .integer(9216),
        "num_hidden_layers": .integer(26), "num_attention_heads": .integer(8),
        "num_key_value_heads": .integer(4),
        "head_dim": .integer(256), "sliding_window": .integer(4096), "query_pre_attn_scalar": .integer(256),
        "tie_word_embeddings": .bool(true), "max_position_embeddings": .integer(131_072),
        "rope_theta": .double(1_000_000),
    ]
    package let tiny: JSON.Object = [
        "head_dim": .integer(16), "query_pre_attn_scalar": .integer(16), "sliding_window": .integer(5),
        "sliding_window_pattern": .integer(2), "rope_local_base_freq": .double(1000),
        "final_logit_softcapping": .double(3), "hidden_activation": .string("gelu_pytorch_tanh"),
    ]
    package init() {}

    package let className = "Gemma3ForCausalLM"

    package func complete(_ config: inout JSON.Object, of model: ModelSpec) {
        config.setQueryScale(of: model)
        // Layers with a window turn at frequencies of their own.
        if let local = model.attentions.first(where: { $0.window != nil })?.rope {
            config["rope_local_base_freq"] = .double(local.base)
        }
    }

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try gemma(file)
        model.head.logitCap = try file.optionalNumber(.logitCap)
        let heads = try file.heads()
        let period = try file.integer(
            ModelKey("sliding_window_pattern"), in: ModelKey.Range.layers, default: 6)
        let windows = try file.windows { ($0 + 1) % period != 0 }
        let local = try file.localRope(
            heads, base: ModelKey("rope_local_base_freq", gguf: "rope.freq_base_swa"), default: 10_000)
        // Files have this key, and no layer applies it.
        _ = try file.optionalNumber(.scoreCap)
        try model.changeAttention { _, attention, layer in
            attention.queryNorm = layer.rms(
                "self_attn.q_norm", gguf: "attn_q_norm", size: heads.size, offset: 1)
            attention.keyNorm = layer.rms(
                "self_attn.k_norm", gguf: "attn_k_norm", size: heads.size, offset: 1)
            attention.window = windows[layer.index]
            if attention.window != nil { attention.rope = local }
        }
        return model
    }
}
