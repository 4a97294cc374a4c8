// Which tensor of a model becomes what in a merge: merged with its update, replaced by one saved whole, converted, or
// copied as it is.

import Checkpoints

final class MergePlan {
    let model: Checkpoint
    let config: MergeConfig
    let out: String
    private let modules: [String: AdapterModule]  // by the name of the weight
    private let saved: [String: StoredTensor]
    private var merged: [MergedWeight] = []
    private var widened: [MergeReport.Widened] = []

    init(_ adapter: AdapterFiles, _ model: Checkpoint, _ config: MergeConfig, _ out: String) throws(FileError)
    {
        (self.model, self.config, self.out) = (model, config, out)
        try adapter.requireNoHead("a merged model would lose")
        modules = Dictionary(
            first: adapter.modules.map { ($0.name + ".weight", $0) })
        saved = Dictionary(first: (adapter.saved + adapter.replaced).map { ($0.name, $0) })
        if let type = config.type, !MergePlan.types(of: model.format).contains(type) {
            let names = MergePlan.types(of: model.format).map(\.name).joined(separator: ", ")
            throw FileError(
                out, "a \(model.format.rawValue) model cannot be written as \(type.name)",
                remedy: "use \(names)")
        }
        let ends = [model.spec.headName, model.spec.embedding.name.huggingFace]
        if model.spec.head.isTied, let module = adapter.modules.first(where: { ends.contains($0.name) }) {
            throw FileError(
                adapter.folder,
                "changes '\(module.name)', and the model's output is tied to its embedding: a merge would change both",
                remedy: "lora-vk generate and eval take the adapter as it is")
        }
        for tensor in adapter.saved {
            guard model.tensors.contains(where: { $0.name == tensor.name }) else {
                throw FileError(
                    adapter.folder, "holds '\(tensor.name.shortened)' whole, which the model does not have",
                    remedy: "where the output is tied to the embedding it cannot be merged alone")
            }
            if model.spec.head.isTied, tensor.name == model.spec.embedding.name.huggingFace + ".weight" {
                throw FileError(
                    adapter.folder,
                    "holds the embedding whole, and the model's output is tied to it: a merge would change both"
                )
            }
        }
        if model.format == .gguf, config.type == nil { try widen() }
    }

    /// Of quantised weights the first type that keeps the update.
    private func widen() throws(FileError) {
        let weights = model.tensors.compactMap { tensor in
            modules[tensor.name].map { MergedWeight(tensor, $0, as: tensor.type) }
        }
        let quantised = Set(weights.map(\.base.type)).filter { $0.blockElements > 1 }
        for type in quantised.sorted(by: { $0.bitsPerNumber < $1.bitsPerNumber }) {
            let own = weights.filter { $0.base.type == type }
            let first = type.isWritable ? try sampledLoss(own, as: type) : nil
            if first?.isKept == true { continue }
            var after = StorageType.f32
            for wider in [StorageType.q8_0, .f16] where try sampledLoss(own, as: wider).isKept {
                after = wider
                break
            }
            widened.append(MergeReport.Widened(before: type, loss: first, after: after))
        }
    }

    private func sampledLoss(_ weights: [MergedWeight], as type: StorageType) throws(FileError) -> UpdateLoss
    {
        var loss = UpdateLoss()
        for weight in weights where weight.base.columns % type.blockElements == 0 {
            loss = loss + (try weight.sampledLoss(as: type))
        }
        return loss
    }

    /// What a model of a format may be written as.
    static func types(of format: Checkpoint.Format) -> [StorageType] {
        switch format {
        case .huggingFace: [.f32, .f16, .bf16]
        case .gguf: StorageType.allCases.filter(\.isWritable)
        }
    }

    /// A tensor of the model as it is in the merged one, as its file lays it out.
    func source(_ tensor: StoredTensor, named name: String) -> TensorSource {
        let source = rows(of: tensor, named: name)
        return tensor.isTransposed ? source.transposed : source
    }

    /// The same in the rows' order of its file.
    private func rows(of tensor: StoredTensor, named name: String) -> TensorSource {
        let type = type(of: tensor)
        if let module = modules[tensor.name] {
            let weight = MergedWeight(saved[tensor.name] ?? tensor, module, as: type)
            merged.append(weight)
            return weight.source(named: name, order: tensor.order)
        }
        if let whole = saved[tensor.name] {
            return TensorSource(converting: whole, named: name, to: type, order: tensor.order)
        }
        return TensorSource(converting: tensor, named: name, to: type, order: tensor.order)
    }

    private func type(of tensor: StoredTensor) -> StorageType {
        switch model.format {
        // MXFP4's bytes are no numbers, and stay.
        case .huggingFace: return tensor.type.isReadable ? config.type ?? tensor.type : tensor.type
        case .gguf:
            let isChanged = modules[tensor.name] != nil || saved[tensor.name] != nil
            guard isChanged, tensor.shape.count == 2 else { return tensor.type }
            let own = tensor.type.isWritable ? tensor.type : .q8_0
            let wide = modules[tensor.name].flatMap { _ in widened.first { $0.before == tensor.type }?.after }
            let type = config.type ?? wide ?? own
            // As llama.cpp does where rows are not whole blocks.
            return tensor.columns % type.blockElements == 0 ? type : .f16
        }
    }

    /// After everything was written.
    func report() throws(FileError) -> MergeReport {
        var report = MergeReport()
        report.widened = widened
        for weight in merged {
            report.modules.append(
                MergeReport.Module(
                    name: weight.module.name, before: weight.base.type, type: weight.type, loss: weight.loss))
        }
        guard !report.total.isKept else { return report }
        for type in model.format == .gguf ? [StorageType.q8_0, .f16, .f32] : [.f16, .f32] {
            let loss = try sampledLoss(merged, as: type)
            guard loss.isKept || type == .f32 else { continue }
            report.better = MergeReport.Better(type: type, loss: loss)
            break
        }
        return report
    }
}

extension TensorSource {
    /// A copy of a tensor in a row order, in another type where that differs.
    fileprivate init(
        converting tensor: StoredTensor, named name: String, to type: StorageType, order: RowOrder
    ) {
        self.init(name, type, shape: tensor.shape) { (emit) throws(FileError) in
            if type == tensor.type, order == tensor.order, !tensor.isTransposed {
                return try tensor.eachPiece(emit)
            }
            let encoded = EncodedRow(type, columns: tensor.columns)
            for place in 0..<tensor.rows {
                let row = order.row(storedAt: place)
                try tensor.floats(rows: row..<row + 1, into: encoded.values)
                try encoded.encode(row, of: tensor)
                try emit(encoded.bytes)
            }
        }
    }
}

extension TensorSource {
    /// The same matrix with its columns as rows, of a type without blocks. Held whole while it is written.
    fileprivate var transposed: TensorSource {
        let (rows, columns, size) = (shape[0], shape[1], type.blockBytes)
        return TensorSource(name, type, shape: [columns, rows]) { (emit) throws(FileError) in
            var bytes = [UInt8](repeating: 0, count: rows * columns * size)
            var done = 0  // numbers, in the rows' order
            func put(_ part: UnsafeRawBufferPointer) throws(FileError) {
                for at in stride(from: 0, to: part.count, by: size) {
                    let place = (done % columns * rows + done / columns) * size
                    for byte in 0..<size { bytes[place + byte] = part[at + byte] }
                    done += 1
                }
            }
            try produce(put)
            try bytes.withUnsafeBufferPointer { (bytes) throws(FileError) in
                try emit(UnsafeRawBufferPointer(bytes))
            }
        }
    }
}
