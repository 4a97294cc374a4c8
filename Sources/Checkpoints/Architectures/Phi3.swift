// Phi-3 and Phi-4: Llama with one matrix for q, k and v and one for gate and up, which PEFT adapts as one. Part of a head may rotate,
// by longrope.

package struct Phi3: Architecture {
    package let models = "Phi-3, Phi-3.5, Phi-4, Phi-4-mini"
    package let modelTypes = ["phi3"]
    package let gguf: String? = "phi3"
    package let defaults: JSON.Object = [
        "rms_norm_eps": .double(1e-5), "max_position_embeddings": .integer(4096),
        "original_max_position_embeddings": .integer(4096),
    ]
    package let tiny: JSON.Object = [
        "head_dim": .integer(16), "partial_rotary_factor": .double(0.75), "sliding_window": .integer(20),
        "original_max_position_embeddings": .integer(8),
        "rope_scaling": .object([
            "type": .string("longrope"),
            "short_factor": .array([1, 1.5, 2, 2.5, 3, 3.5].map { .double($0) }),
            "long_factor": .array([2, 3, 4, 5, 6, 7].map { .double($0) }),
        ]),
    ]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Llama().describe(file)
        let heads = try file.heads()
        let hidden = try file.integer(.feedForward, in: ModelKey.Range.width)
        let windows = try file.windows { _ in true }
        // It serves longrope alone, which has read it where it is used.
        _ = try file.optionalInteger(ModelKey("original_max_position_embeddings"))
        try model.changeAttention { branch, attention, layer in
            branch.inputs = [
                layer.linear(
                    "self_attn.qkv_proj", gguf: "attn_qkv", layer.width, heads.queryWidth, heads.keyWidth,
                    heads.keyWidth)
            ]
            attention.window = windows[layer.index]
        }
        try model.changeFeedForward { branch, layer in
            branch.inputs = [layer.linear("mlp.gate_up_proj", gguf: "ffn_up", layer.width, hidden, hidden)]
        }
        return model
    }
}
