// A LoRA adapter as mlx-lm loads it (--adapter-path): y = x·Wᵀ + s·(x·a)·b with a (in, R) = Aᵀ and b (R, out) = Bᵀ, one rank and one
// scale for all layers; with a magnitude m the rows of the sum are scaled to it (DoRA). Reference: mlx-lm's tuner.

import Checkpoints

package enum MLXExport {
    private static let layers = "model.layers."

    /// Writes the folder; it appears when it is complete.
    package static func write(
        _ adapter: AdapterFiles, for base: Checkpoint, to out: String,
        observer: ExportObserver = ExportObserver()
    ) throws(FileError) {
        guard ((try? FileSystem.names(in: out)) ?? []).isEmpty, !FileSystem.isFile(out) else {
            throw FileError(out, "is there already", remedy: "name a folder that is not there yet")
        }
        let adapter = try adapter.matched(to: base)
        try refuseWhatHasNoPlace(adapter)
        let widths = Dictionary(first: base.spec.linears.map { ($0.name.huggingFace, $0.inFeatures) })
        let rank = adapter.modules.map(\.rank).max() ?? 0
        // B carries the difference where a module scales otherwise, and zeros where its rank is smaller.
        let scale = adapter.modules.first?.scaling ?? 1
        var tensors: [TensorSource] = []
        for module in adapter.modules {
            let a = module.loraA.cut(toColumns: widths[module.name] ?? module.loraA.columns)
            let factor = Float(module.scaling / scale)
            tensors.append(
                TensorSource(
                    "\(module.name).lora_a", shape: [a.columns, rank], try transposed(a, width: rank)))
            let b = try transposed(module.loraB, width: module.loraB.rows).map { $0 * factor }
            let padding = [Float](repeating: 0, count: (rank - module.rank) * module.loraB.rows)
            tensors.append(
                TensorSource("\(module.name).lora_b", shape: [rank, module.loraB.rows], b + padding))
            if let magnitude = module.magnitude {
                tensors.append(
                    TensorSource("\(module.name).m", shape: [magnitude.count], try magnitude.floats()))
            }
        }
        let folder = try AtomicFolder(out)
        try AtomicFile.write(
            JSON.object(config(adapter, base, rank: rank, scale: scale)).text(.python) + "\n",
            to: "\(folder.temporary)/adapter_config.json")
        try SafetensorsWriter.write(
            observer.watch(tensors, to: out), metadata: ["format": "mlx"],
            to: "\(folder.temporary)/adapters.safetensors")
        try folder.commit()
    }

    private static func config(
        _ adapter: AdapterFiles, _ base: Checkpoint, rank: Int, scale: Double
    ) -> JSON.Object {
        // Names inside a layer: mlx-lm changes them in all layers, and those that the file lacks add nothing.
        let keys = Set(
            adapter.modules.map { module in
                guard module.name.hasPrefix(layers) else { return module.name }
                return String(module.name.dropFirst(layers.count).drop { $0 != "." }.dropFirst())
            })
        return [
            "fine_tune_type": .string(adapter.modules.contains { $0.magnitude != nil } ? "dora" : "lora"),
            "num_layers": .integer(base.spec.blocks.count),
            "lora_parameters": .object([
                "rank": .integer(rank), "scale": .double(scale), "dropout": .double(adapter.config.dropout),
                "keys": .array(keys.sorted().map { .string($0) }),
            ]),
        ]
    }

    /// The transpose of a matrix, its rows padded with zeros to `width` numbers.
    private static func transposed(_ matrix: AdapterMatrix, width: Int) throws(FileError) -> [Float] {
        let values = try matrix.floats()
        var result = [Float](repeating: 0, count: matrix.columns * width)
        for row in 0..<matrix.rows {
            for column in 0..<matrix.columns {
                result[column * width + row] = values[row * matrix.columns + column]
            }
        }
        return result
    }

    private static func refuseWhatHasNoPlace(_ adapter: AdapterFiles) throws(FileError) {
        let what: String
        let own = adapter.modules.map(\.name)
        if let name = own.first(where: { !$0.hasPrefix(layers) && $0 != "lm_head" }) {
            what = "an update of '\(name)', which mlx-lm calls otherwise"
        } else if !adapter.saved.isEmpty || !adapter.replaced.isEmpty {
            what = "whole modules (modules_to_save, save_embedding_layers)"
        } else if adapter.modules.contains(where: { $0.magnitude == nil }),
            adapter.modules.contains(where: { $0.magnitude != nil })
        {
            what = "magnitudes of some modules only"
        } else {
            return
        }
        throw FileError(
            adapter.folder, "the adapter holds \(what), for which mlx-lm's adapters have no place",
            remedy:
                "merge it into the model's Hugging Face folder with lora-vk merge; mlx_lm.convert reads that")
    }
}
