// What config.json and GGUF metadata call the same number. GGUF's names stand behind the architecture's: llama.block_count.

package struct ModelKey: Sendable {
    package let huggingFace: String
    package let gguf: String?

    package init(_ huggingFace: String, gguf: String? = nil) {
        (self.huggingFace, self.gguf) = (huggingFace, gguf)
    }

    /// A key that config.json has no name for.
    package init(gguf: String) { self.init("", gguf: gguf) }

    package static let vocabulary = ModelKey("vocab_size", gguf: "vocab_size")
    package static let width = ModelKey("hidden_size", gguf: "embedding_length")
    package static let feedForward = ModelKey("intermediate_size", gguf: "feed_forward_length")
    package static let layers = ModelKey("num_hidden_layers", gguf: "block_count")
    package static let positions = ModelKey("max_position_embeddings", gguf: "context_length")
    package static let heads = ModelKey("num_attention_heads", gguf: "attention.head_count")
    package static let kvHeads = ModelKey("num_key_value_heads", gguf: "attention.head_count_kv")
    package static let headSize = ModelKey("head_dim", gguf: "attention.key_length")
    package static let rmsEpsilon = ModelKey("rms_norm_eps", gguf: "attention.layer_norm_rms_epsilon")
    package static let layerEpsilon = ModelKey("layer_norm_epsilon", gguf: "attention.layer_norm_epsilon")
    package static let window = ModelKey("sliding_window", gguf: "attention.sliding_window")
    package static let ropeBase = ModelKey("rope_theta", gguf: "rope.freq_base")
    package static let embeddingScale = ModelKey("embedding_multiplier", gguf: "embedding_scale")
    package static let residualScale = ModelKey("residual_multiplier", gguf: "residual_scale")
    package static let attentionScale = ModelKey("attention_multiplier", gguf: "attention.scale")
    package static let logitScale = ModelKey("logits_scaling", gguf: "logit_scale")
    package static let scoreCap = ModelKey("attn_logit_softcapping", gguf: "attn_logit_softcapping")
    package static let logitCap = ModelKey("final_logit_softcapping", gguf: "final_logit_softcapping")

    /// What a file may state: far above any model, far below where products overflow.
    package enum Range {
        package static let vocabulary = 1...(1 << 24)
        package static let width = 1...(1 << 20)
        package static let layers = 1...10_000
        package static let heads = 1...(1 << 14)
        package static let positions = 1...(1 << 30)
    }
}

extension ModelFile {
    /// Keys of config.json that change what a model computes, with the values that change nothing. One that `describe` does
    /// not read must have such a value.
    static let arithmetic: [String: [JSON]] = [
        "attention_bias": [.bool(false)], "mlp_bias": [.bool(false)], "use_bias": [.bool(false)],
        "sliding_window": [], "use_sliding_window": [.bool(false)], "layer_types": [],
        "no_rope_layers": [], "partial_rotary_factor": [.integer(1), .double(1)], "rope_scaling": [],
        "rope_parameters": [], "rotary_pct": [.integer(1), .double(1)], "query_pre_attn_scalar": [],
        "attn_logit_softcapping": [], "final_logit_softcapping": [], "logit_scale": [],
        "attention_multiplier": [.integer(1), .double(1)], "residual_multiplier": [.integer(1), .double(1)],
        "logits_scaling": [.integer(1), .double(1)], "embedding_multiplier": [.integer(1), .double(1)],
        "clip_qkv": [], "use_qk_norm": [.bool(false)], "qk_layernorm": [.bool(false)],
        "parallel_attn": [.bool(false)], "use_parallel_residual": [.bool(false)], "alibi": [.bool(false)],
        "num_experts": [.integer(0)], "num_local_experts": [.integer(0)], "n_routed_experts": [.integer(0)],
        "use_bidirectional_attention": [.bool(false)], "is_decoder": [.bool(true)],
        "add_cross_attention": [.bool(false)], "scale_attn_by_inverse_layer_idx": [.bool(false)],
        "scale_attn_weights": [.bool(true)], "reorder_and_upcast_attn": [.bool(false), .bool(true)],
        "quantization_config": [], "conv_L_cache": [], "conv_bias": [.bool(false)], "full_attn_idxs": [],
        "norm_topk_prob": [], "num_dense_layers": [], "use_expert_bias": [.bool(false)],
        "routed_scaling_factor": [.integer(1), .double(1)], "mlp_only_layers": [.array([])],
        "decoder_sparse_step": [.integer(1)],
        "num_experts_per_tok": [], "moe_intermediate_size": [],
        "swiglu_alpha": [.double(1.702)], "swiglu_limit": [.integer(7), .double(7)],
    ]

    /// The same of GGUF's metadata, behind the architecture's name: beginnings of keys.
    static let arithmeticGGUF = [
        "attention.", "rope.", "expert_", "ssm.", "logit_scale", "residual_scale", "embedding_scale",
        "attn_logit_softcapping", "final_logit_softcapping", "use_parallel_residual", "pooling_type",
        "swin_norm", "wkv_head_size", "shortconv.", "nextn_predict_layers",
    ]
}
