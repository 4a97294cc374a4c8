// The one validation of weights: every tensor of the model is there, in a shape and type that can be used, and nothing is there
// that the model would need and this program would ignore.

struct TensorMatch {
    /// In the order of the model's layers, under Hugging Face's names and in its row order.
    private(set) var tensors: [StoredTensor] = []
    /// Their names in the files.
    private(set) var fileNames: [String] = []
    /// Names of tensors that the model does not use.
    private(set) var unused: [String] = []

    init(
        _ stored: [StoredTensor], _ spec: ModelSpec, _ format: Checkpoint.Format, _ path: String
    ) throws(FileError) {
        var remaining: [ExactString: StoredTensor] = [:]
        var problems: [String] = []
        for tensor in stored where remaining.updateValue(tensor, forKey: ExactString(tensor.name)) != nil {
            problems.append("'\(tensor.name.shortened)' is there twice")
        }
        let prefix = spec.missingPrefix(remaining.keys)
        for expected in spec.expectedTensors {
            let isGGUF = format == .gguf
            let name = isGGUF ? expected.ggufName : expected.name.dropping(prefix: prefix)
            guard let tensor = remaining.removeValue(forKey: ExactString(name)) else {
                problems.append("'\(name)' is missing")
                continue
            }
            let shape = isGGUF ? expected.shape : expected.huggingFaceShape
            if tensor.shape != shape {
                problems.append("'\(name)' has the shape \(tensor.shape), the config says \(shape)")
            } else if !tensor.type.isReadable {
                problems.append("'\(name)' has the type \(tensor.type.name), which is not supported")
            }
            tensors.append(
                tensor.renamed(
                    expected.name, order: isGGUF ? expected.ggufOrder : .asStored,
                    isTransposed: !isGGUF && expected.isTransposed))
            fileNames.append(name)
        }
        for name in stored.map(\.name) where remaining[ExactString(name)] != nil {
            if spec.ignores(name) {
                unused.append(name)
            } else {
                problems.append("'\(name.shortened)' does not belong to a model of this config")
            }
        }
        guard problems.isEmpty else {
            let more = problems.count > 4 ? " and \(problems.count - 4) more" : ""
            throw FileError(
                path, "does not fit its config: " + problems.prefix(4).joined(separator: ", ") + more)
        }
    }
}

extension ModelSpec {
    /// Files of a model without its head leave out what all of its names begin with: `model.` or `transformer.`.
    fileprivate func missingPrefix(_ names: some Sequence<ExactString>) -> String {
        let prefix = String(embedding.name.huggingFace.prefix { $0 != "." }) + "."
        return names.contains { $0.text.hasPrefix(prefix) || $0.text.hasPrefix("blk.") } ? "" : prefix
    }

    /// Tensors that may be there without changing what the model computes: tables derived from the config, masks, a copy of tied
    /// embeddings, heads of other tasks, what a model of texts and images has beside its text model.
    fileprivate func ignores(_ name: String) -> Bool {
        let tables = [".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"]
        if tables.contains(where: name.hasSuffix) { return true }
        if ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"].contains(name) {
            return true
        }
        if name.hasSuffix("lm_head.weight") || name == "output.weight" { return head.isTied }
        let model = String(embedding.name.huggingFace.prefix { $0 != "." }) + "."
        let isInside = embedding.name.huggingFace.hasPrefix("model.language_model.")
        let own = [
            isInside ? "model.language_model." : model, "blk.", "lm_head.", "output", "token_", "h.",
            "layers.",
        ]
        return !own.contains { name.hasPrefix($0) }
    }
}

extension String {
    fileprivate func dropping(prefix: String) -> String {
        !prefix.isEmpty && hasPrefix(prefix) ? String(dropFirst(prefix.count)) : self
    }
}
