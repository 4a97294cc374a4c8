// Gemma 2: norms in front of and behind each branch, whose weights are 1 + w, a tanh GELU gate, embeddings times √C, capped scores and
// logits; every other layer looks back a window.

package struct Gemma2: Architecture {
    package let models = "Gemma 2"
    package let modelTypes = ["gemma2"]
    package let gguf: String? = "gemma2"
    package let defaults: JSON.Object = [
        "head_dim": .integer(256), "num_key_value_heads": .integer(4), "sliding_window": .integer(4096),
        "query_pre_attn_scalar": .integer(256), "attn_logit_softcapping": .double(50),
        "final_logit_softcapping": .double(30), "tie_word_embeddings": .bool(true),
        "max_position_embeddings": .integer(8192),
    ]
    package let tiny: JSON.Object = [
        "head_dim": .integer(16), "query_pre_attn_scalar": .integer(16), "sliding_window": .integer(5),
        "attn_logit_softcapping": .double(2), "final_logit_softcapping": .double(3),
        "hidden_activation": .string("gelu_pytorch_tanh"),
    ]
    package init() {}

    package func complete(_ config: inout JSON.Object, of model: ModelSpec) {
        config.setQueryScale(of: model)
    }

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try gemma(file)
        model.head.logitCap = try file.number(.logitCap, orNone: 30)
        let cap = try file.number(.scoreCap, orNone: 50)
        let windows = try file.windows { $0 % 2 == 0 }
        try model.changeAttention { _, attention, layer in
            attention.scoreCap = cap
            attention.window = windows[layer.index]
        }
        return model
    }
}

/// What Gemma 2 and 3 share.
func gemma(_ file: ModelFile) throws(FileError) -> ModelSpec {
    var model = try Llama().describe(file)
    model.embedding.scale = Double(model.width).squareRoot()
    model.finalNorm?.offset = 1
    let heads = try file.heads()
    // GGUF does not say it: llama.cpp takes the head's size, but of the largest models C/H.
    let isLargest = file.isGGUF && [46, 62].contains(model.blocks.count)
    let scalar = try file.optionalNumber(ModelKey("query_pre_attn_scalar"))
    let scale = scalar ?? (isLargest ? Double(model.width / heads.queries) : Double(heads.size))
    let activation = try file.activation("hidden_activation", "hidden_act", default: .geluTanh)
    try model.changeAttention { branch, attention, layer in
        branch.storesRowsInOrder()
        branch.before?.offset = 1
        branch.after = layer.rms("post_attention_layernorm", gguf: "post_attention_norm", offset: 1)
        attention.scale = 1 / scale.squareRoot()
    }
    try model.changeFeedForward { branch, layer in
        branch.before = layer.rms("pre_feedforward_layernorm", gguf: "ffn_norm", offset: 1)
        branch.after = layer.rms("post_feedforward_layernorm", gguf: "post_ffw_norm", offset: 1)
        branch.mixer = .activation(ActivationSpec(activation, isGated: true))
    }
    return model
}
