// A LoRA adapter as llama.cpp loads it: general.type adapter, adapter.type lora, and for each module NAME.lora_a (R, in)
// and NAME.lora_b (out, R) under the GGUF names and in the row order of the base model. llama.cpp adds alpha/R·B·A to a
// weight, with one alpha for all. Reference: llama.cpp's loader of adapters, src/llama-adapter.cpp.

import Checkpoints

package enum GGUFExport {
    /// What llama.cpp multiplies by, in any rank.
    package static let types: [StorageType] = [.f32, .f16, .bf16]

    /// Writes the file; it appears when it is complete. Of `base` only names and shapes count: a Hugging Face folder
    /// gives the adapter for the GGUF that llama.cpp's converter makes of it.
    package static func write(
        _ adapter: AdapterFiles, for base: Checkpoint, type: StorageType = .f32, to path: String,
        observer: ExportObserver = ExportObserver()
    ) throws(FileError) {
        guard types.contains(type) else {
            throw FileError(
                path, "an adapter cannot be stored as \(type.name)",
                remedy: "use \(types.map(\.name).joined(separator: ", "))")
        }
        guard let architecture = base.spec.gguf else {
            throw FileError(
                path, "llama.cpp has no architecture for \(base.spec.modelType) models",
                remedy: "use the adapter's folder, which PEFT loads")
        }
        let adapter = try adapter.matched(to: base)
        try refuseWhatHasNoPlace(adapter)
        try adapter.requireNoHead("llama.cpp has no place for")
        let expected = Dictionary(
            first: base.spec.expectedTensors.map { ($0.name, $0) })
        // The alpha of the first module; where another scales differently (patterns, rsLoRA of several ranks), its B
        // carries the difference.
        let alpha = Float(adapter.modules.first?.alphaOverRank ?? 0)
        var tensors: [TensorSource] = []
        for module in adapter.modules {
            guard let weight = expected[module.name + ".weight"] else { continue }  // `check` found them all
            let factor = Float(module.alphaOverRank / Double(alpha))
            let loraA = module.loraA.cut(toColumns: weight.shape[1])
            tensors.append(source(loraA, "\(weight.ggufName).lora_a", as: type))
            tensors.append(
                source(
                    module.loraB, "\(weight.ggufName).lora_b", as: type, order: weight.ggufOrder,
                    times: factor))
        }
        var metadata = GGUFMetadata(path: path)
        metadata.set("general.type", .string("adapter"))
        metadata.set("general.architecture", .string(architecture))
        metadata.set("adapter.type", .string("lora"))
        metadata.set("adapter.lora.alpha", .float32(alpha))
        try GGUFWriter.write(observer.watch(tensors, to: path), metadata: metadata, to: path)
    }

    private static func refuseWhatHasNoPlace(_ adapter: AdapterFiles) throws(FileError) {
        let what: String
        if adapter.modules.contains(where: { $0.magnitude != nil }) {
            what = "DoRA magnitudes"
        } else if !adapter.saved.isEmpty || !adapter.replaced.isEmpty {
            what = "whole modules (modules_to_save, save_embedding_layers)"
        } else if adapter.modules.contains(where: \.isOfEmbedding) {
            what = "an update of the embedding"
        } else {
            return
        }
        throw FileError(
            adapter.folder, "the adapter holds \(what), for which llama.cpp's adapters have no place",
            remedy: "merge it into the model with lora-vk merge")
    }

    private static func source(
        _ matrix: AdapterMatrix, _ name: String, as type: StorageType, order: RowOrder = .asStored,
        times factor: Float = 1
    ) -> TensorSource {
        TensorSource(name, type, shape: matrix.shape) { (emit) throws(FileError) in
            let row = EncodedRow(type, columns: matrix.columns)
            for place in 0..<matrix.rows {
                let source = order.row(storedAt: place)
                for (i, value) in try matrix.floats(row: source).enumerated() {
                    row.values[i] = value * factor
                }
                try row.encode(source, of: matrix.tensor)
                try emit(row.bytes)
            }
        }
    }
}

extension AdapterModule {
    /// The alpha that scales B·A of this rank as the module does: s·R.
    fileprivate var alphaOverRank: Double { scaling * Double(rank) }
}
