// Granite (dense): Llama with multipliers of the embedding, the scores, what each branch adds, and the logits.

package struct Granite: Architecture {
    package let models = "Granite 3 (dense)"
    package let modelTypes = ["granite"]
    package let gguf: String? = "granite"
    package let tiny: JSON.Object = [
        "embedding_multiplier": .double(3), "attention_multiplier": .double(0.25),
        "residual_multiplier": .double(0.5), "logits_scaling": .double(2),
    ]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Llama().describe(file)
        model.embedding.scale = try file.number(.embeddingScale, default: 1)
        model.head.scale = try 1 / file.number(.logitScale, default: 1)
        let residual = try file.number(.residualScale, default: 1)
        let scale =
            try file.isGGUF ? file.optionalNumber(.attentionScale) : file.number(.attentionScale, default: 1)
        let rotates = try file.optionalGGUFFlag("rope.scaling.finetuned") ?? true
        try model.changeAttention { branch, attention, _ in
            if !rotates { attention.rope = nil }
            branch.scale = residual
            attention.scale = scale ?? attention.scale
        }
        try model.changeFeedForward { branch, _ in branch.scale = residual }
        return model
    }
}
