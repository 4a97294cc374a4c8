// OLMo 2: Llama with RMSNorm of q and k as wholes, and the norms of a block behind its branches instead of in front of them.

package struct Olmo2: Architecture {
    package let models = "OLMo 2"
    package let modelTypes = ["olmo2"]
    package let gguf: String? = "olmo2"
    package let defaults: JSON.Object = ["rms_norm_eps": .double(1e-5)]
    package let tiny: JSON.Object = ["tie_word_embeddings": .bool(false)]
    package init() {}

    /// One with windows is OLMo 3's.
    package func complete(_ config: inout JSON.Object, of model: ModelSpec) {
        for key in ["sliding_window", "layer_types"] { config[key] = nil }
    }

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Llama().describe(file)
        let heads = try file.heads()
        // Those of OLMo 3, which is this architecture's in GGUF.
        let windows = try file.windows { ($0 + 1) % 4 != 0 }
        // A file may give them a base of their own, which is that of all.
        _ = try file.optionalNumber(ModelKey(gguf: "rope.freq_base_swa"))
        try model.changeAttention { branch, attention, layer in
            branch.storesRowsInOrder()
            branch.before = nil
            branch.after = layer.rms("post_attention_layernorm", gguf: "post_attention_norm")
            attention.queryNorm = layer.rms("self_attn.q_norm", gguf: "attn_q_norm", size: heads.queryWidth)
            attention.keyNorm = layer.rms("self_attn.k_norm", gguf: "attn_k_norm", size: heads.keyWidth)
            attention.window = windows[layer.index]
            if attention.window != nil { attention.rope?.scaling = .none }
        }
        try model.changeFeedForward { branch, layer in
            branch.before = nil
            branch.after = layer.rms("post_feedforward_layernorm", gguf: "post_ffw_norm")
        }
        return model
    }
}
