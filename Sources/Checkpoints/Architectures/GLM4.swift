// GLM-4: norms in front of and behind each branch, a bias on q, k and v, one matrix for gate and up; half of a head rotates, in pairs
// of neighbours.

package struct GLM4: Architecture {
    package let models = "GLM-4 (0414)"
    package let modelTypes = ["glm4"]
    package let gguf: String? = "glm4"
    package let defaults: JSON.Object = [
        "head_dim": .integer(128), "num_key_value_heads": .integer(2), "attention_bias": .bool(true),
        "partial_rotary_factor": .double(0.5), "rms_norm_eps": .double(1.5625e-7),
        "max_position_embeddings": .integer(131_072),
    ]
    package let tiny: JSON.Object = ["head_dim": .integer(16)]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Llama().describe(file)
        let hidden = try file.integer(.feedForward, in: ModelKey.Range.width)
        try model.changeAttention { branch, attention, layer in
            branch.storesRowsInOrder()
            branch.output?.hasBias = false
            branch.after = layer.rms("post_self_attn_layernorm", gguf: "post_attention_norm")
            attention.rope?.isInterleaved = true
        }
        try model.changeFeedForward { branch, layer in
            branch.inputs = [layer.linear("mlp.gate_up_proj", gguf: "ffn_up", layer.width, hidden, hidden)]
            branch.after = layer.rms("post_mlp_layernorm", gguf: "post_ffw_norm")
        }
        return model
    }
}
