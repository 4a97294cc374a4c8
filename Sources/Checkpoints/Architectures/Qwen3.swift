// Qwen 3: Llama with RMSNorm of every head of q and k before they rotate.

package struct Qwen3: Architecture {
    package let models = "Qwen 3"
    package let modelTypes = ["qwen3"]
    package let gguf: String? = "qwen3"
    package let defaults: JSON.Object = ["head_dim": .integer(128), "num_key_value_heads": .integer(32)]
    package let tiny: JSON.Object = ["head_dim": .integer(16)]  // not width / heads, as in the real ones
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Llama().describe(file)
        let windows = try file.optionalWindowsAbove()
        try model.changeAttention { branch, attention, layer in
            branch.storesRowsInOrder()
            attention.queryNorm = layer.rms("self_attn.q_norm", gguf: "attn_q_norm", size: attention.headSize)
            attention.keyNorm = layer.rms("self_attn.k_norm", gguf: "attn_k_norm", size: attention.headSize)
            attention.window = windows[layer.index]
        }
        return model
    }
}
