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
        for expected in spec.expectedTensors(of: format) {
            let isGGUF = format == .gguf
            let names = isGGUF ? [expected.ggufName] : spec.fileNames(of: expected.name)
            let name = names.first { remaining[ExactString($0)] != nil } ?? names[0]
            guard let tensor = remaining.removeValue(forKey: ExactString(name)) else {
                problems.append("'\(name)' is missing")
                continue
            }
            let shape = isGGUF ? expected.shape : expected.huggingFaceShape
            if tensor.shape != shape {
                problems.append("'\(name)' has the shape \(tensor.shape), the config says \(shape)")
            } else if !(expected.isPacked ? tensor.type == .u8 : tensor.type.isReadable) {
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
    /// What `model.language_model.` was called before transformers 5.
    private static let inside = (now: "model.language_model.", before: "language_model.model.")

    /// What all names of the text model begin with.
    private var prefix: String {
        let name = embedding.name.huggingFace
        return name.hasPrefix(Self.inside.now) ? Self.inside.now : String(name.prefix { $0 != "." }) + "."
    }

    /// Names that a tensor may have in a file: its own, the older one, or, in a file of a model without its head, the rest of it.
    fileprivate func fileNames(of name: String) -> [String] {
        guard prefix == Self.inside.now else {
            return [name] + (name.hasPrefix(prefix) ? [String(name.dropFirst(prefix.count))] : [])
        }
        let isInside = name.hasPrefix(prefix)
        return [
            name, isInside ? Self.inside.before + name.dropFirst(prefix.count) : "language_model." + name,
        ]
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
        var own = [prefix, "blk.", "lm_head.", "output", "token_"]
        own += prefix == Self.inside.now ? [Self.inside.before] : ["layers.", "h."]
        return !own.contains { name.hasPrefix($0) }
    }
}
