// What an adapter changes outside of the layers of the blocks: embedding and output, by an update of low rank or by a copy
// of their own (modules_to_save), and weights that PEFT saved whole (norms too). For generation and evaluation the model is
// loaded with those in their place; the rest of the adapter runs as it always does.
//
//   embedding  E' = E + s·(B·A)ᵀ        output  W' = W + s·B·A
//
// Both may have been one matrix: a change of one alone parts them, a weight of the model itself that PEFT saved
// (`save_embedding_layers`) changes both.

import Checkpoints

extension AdapterFiles {
    /// A mix of adapters for a model, and the model with what of it is no update of a block's layer.
    package static func open(
        _ mix: AdapterMix, adapting base: Checkpoint
    ) throws -> (model: Checkpoint, rest: AdapterFiles) {
        let files = try open(mix, for: base).matched(to: base)
        if files.isOfLayers(base.spec) { return (base, files) }
        return (try files.applied(to: base), files.ofLayers(base.spec))
    }

    private func applied(to base: Checkpoint) throws -> Checkpoint {
        let spec = base.spec
        let (embedding, head) = (spec.embedding.name.huggingFace, spec.headName)
        let isTied = spec.head.isTied
        guard !config.ensuresWeightTying || !isTied else {
            throw FileError(
                folder, "keeps the output tied to an embedding that it changes (ensure_weight_tying)",
                remedy: "merge it with PEFT")
        }
        var changed: [String: StoredTensor] = [:]
        for tensor in replaced {
            // One matrix under two names: either is the other.
            let name = isTied && tensor.name == head + ".weight" ? embedding + ".weight" : tensor.name
            changed[name] = tensor.renamed(name)
        }
        var output = isTied ? try changed[embedding + ".weight"] ?? base.tensor(embedding + ".weight") : nil
        output = output?.renamed(head + ".weight")
        var parts = false
        for tensor in saved {
            guard tensor.shape.count == 2 || base.format == .huggingFace else {
                throw FileError(
                    folder,
                    "holds '\(tensor.name.shortened)' whole, which cannot take its place in a GGUF model",
                    remedy: "use the model's Hugging Face folder")
            }
            if isTied, tensor.name == head + ".weight" {
                output = tensor
            } else {
                changed[tensor.name] = tensor
            }
            parts = parts || [head, embedding].contains(String(tensor.name.dropLast(".weight".count)))
        }
        for module in modules where [head, embedding].contains(module.name) {
            let name = module.name + ".weight"
            parts = true
            if isTied, module.name == head, let before = output {
                output = try module.updated(before)
            } else {
                changed[name] = try module.updated(changed[name] ?? base.tensor(name))
            }
        }
        for (name, tensor) in changed where base.spec.isTransposed(name) {
            changed[name] = tensor.renamed(name, isTransposed: true)
        }
        return base.replacing(Array(changed.values), head: isTied && parts ? output : nil)
    }
}

extension ModelSpec {
    fileprivate func isTransposed(_ tensor: String) -> Bool {
        expectedTensors.contains { $0.name == tensor && $0.isTransposed }
    }
}

extension AdapterModule {
    /// A weight with the update, in f32.
    fileprivate func updated(_ weight: StoredTensor) throws(FileError) -> StoredTensor {
        let update = try WeightUpdate(self, columns: weight.columns)
        let before = try weight.floats(rows: 0..<weight.rows)
        var after = before
        before.withUnsafeBufferPointer { before in
            after.withUnsafeMutableBufferPointer { after in
                for row in 0..<weight.rows {
                    let range = row * weight.columns..<(row + 1) * weight.columns
                    update.apply(
                        to: UnsafeBufferPointer(rebasing: before[range]), row: row,
                        into: UnsafeMutableBufferPointer(rebasing: after[range]))
                }
            }
        }
        return try StoredTensor(
            weight.name, computedFrom: weight.path, rows: weight.rows, columns: weight.columns, after)
    }
}
