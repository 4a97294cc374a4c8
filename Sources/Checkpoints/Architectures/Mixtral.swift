// Mixtral: Mistral with experts in the place of the MLP. Its GGUF files are Llama's architecture, which then has experts.

package struct Mixtral: Architecture {
    package let models = "Mixtral"
    package let modelTypes = ["mixtral"]
    package let gguf: String? = "llama"
    package let defaults: JSON.Object = [
        "num_key_value_heads": .integer(8), "rms_norm_eps": .double(1e-5), "rope_theta": .double(1_000_000),
        "max_position_embeddings": .integer(131_072), "num_experts": .integer(8),
        "num_experts_per_tok": .integer(2),
    ]
    package let tiny: JSON.Object = [
        "intermediate_size": .integer(24), "num_local_experts": .integer(4), "sliding_window": .null,
    ]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Llama().describe(file)
        let windows = try file.windows { _ in true }
        let counts = try file.experts(hidden: .feedForward)
        let function = try file.activation("hidden_act", default: .silu)
        var names = ExpertNames()
        names.router = "block_sparse_moe.gate"
        names.matrices = .each("block_sparse_moe.experts", gate: "w1", up: "w3", down: "w2")
        try model.changeAttention { _, attention, layer in attention.window = windows[layer.index] }
        try model.changeFeedForward { branch, layer in
            branch.mixExperts(counts, .softmax(ofChosen: true), function, layer, names: names)
        }
        return model
    }
}
