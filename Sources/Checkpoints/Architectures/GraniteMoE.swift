// Granite's mixtures of experts: Granite with experts in the place of the MLP.

package struct GraniteMoE: Architecture {
    package let models = "Granite 3 (experts)"
    package let modelTypes = ["granitemoe"]
    package let gguf: String? = "granitemoe"
    package let defaults: JSON.Object = [
        "num_local_experts": .integer(8), "num_experts_per_tok": .integer(2),
    ]
    package let tiny: JSON.Object = [
        "embedding_multiplier": .double(3), "attention_multiplier": .double(0.25),
        "residual_multiplier": .double(0.5), "logits_scaling": .double(2), "intermediate_size": .integer(24),
        "num_local_experts": .integer(6), "num_experts_per_tok": .integer(3),
    ]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Granite().describe(file)
        let counts = try file.experts(hidden: .feedForward)
        let function = try file.activation("hidden_act", default: .silu)
        var names = ExpertNames()
        names.router = "block_sparse_moe.router.layer"
        names.matrices = .joined(
            gateUp: "block_sparse_moe.input_linear.weight", inTurns: false,
            down: "block_sparse_moe.output_linear.weight", .rows)
        try model.changeFeedForward { branch, layer in
            branch.mixExperts(counts, .softmax(ofChosen: true), function, layer, names: names)
        }
        return model
    }
}
