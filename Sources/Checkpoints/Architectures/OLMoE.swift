// OLMoE: Llama with RMSNorm of q and k as wholes, and experts in the place of the MLP, whose scores are shares of all experts.

package struct OLMoE: Architecture {
    package let models = "OLMoE"
    package let modelTypes = ["olmoe"]
    package let gguf: String? = "olmoe"
    package let defaults: JSON.Object = [
        "rms_norm_eps": .double(1e-5), "max_position_embeddings": .integer(4096),
        "intermediate_size": .integer(2048), "num_experts": .integer(64), "num_experts_per_tok": .integer(8),
    ]
    package let tiny: JSON.Object = [
        "intermediate_size": .integer(24), "num_experts": .integer(5), "num_experts_per_tok": .integer(2),
        "tie_word_embeddings": .bool(false),
    ]
    package init() {}

    package func complete(_ config: inout JSON.Object, of model: ModelSpec) {
        if case .softmax(let ofChosen)? = model.experts.first?.scores {
            config["norm_topk_prob"] = .bool(ofChosen)
        }
    }

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Llama().describe(file)
        let heads = try file.heads()
        let counts = try file.experts(hidden: .feedForward)
        let ofChosen = try file.flag("norm_topk_prob")
        let function = try file.activation("hidden_act", default: .silu)
        try model.changeAttention { branch, attention, layer in
            branch.storesRowsInOrder()
            attention.queryNorm = layer.rms("self_attn.q_norm", gguf: "attn_q_norm", size: heads.queryWidth)
            attention.keyNorm = layer.rms("self_attn.k_norm", gguf: "attn_k_norm", size: heads.keyWidth)
        }
        try model.changeFeedForward { branch, layer in
            branch.mixExperts(counts, .softmax(ofChosen: ofChosen), function, layer)
        }
        return model
    }
}
