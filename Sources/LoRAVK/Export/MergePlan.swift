// Which tensor of a model becomes what in a merge: merged with its update, replaced by one saved whole, converted, or
// copied as it is.

import Checkpoints

final class MergePlan {
    let model: Checkpoint
    let config: MergeConfig
    let out: String
    /// Of what is written.
    let format: Checkpoint.Format
    private let modules: [String: AdapterModule]  // by the name of the weight
    private let saved: [String: StoredTensor]
    /// Of a GGUF file whose tensors all get a type, by their names there.
    private let types: [String: StorageType]?
    private var merged: [MergedWeight] = []
    private var widened: [MergeReport.Widened] = []

    /// Without an adapter the model is written as it is, in other types or another format.
    init(
        _ adapter: AdapterFiles?, _ model: Checkpoint, _ config: MergeConfig, _ out: String,
        to format: Checkpoint.Format
    ) throws(FileError) {
        (self.model, self.out, self.format) = (model, out, format)
        modules = Dictionary(
            first: (adapter?.modules ?? []).map { ($0.name + ".weight", $0) })
        saved = Dictionary(first: ((adapter?.saved ?? []) + (adapter?.replaced ?? [])).map { ($0.name, $0) })
        self.config = try MergePlan.settled(config, model, format, out)
        types = self.config.fileType?.types(model.spec.expectedTensors(of: .gguf), of: model.spec)
        guard let adapter else { return }
        try MergePlan.checkEnds(adapter, model)
        if model.format == .gguf, self.config.type == nil, types == nil { try widen() }
    }

    /// Types that the format has: one for each weight of a folder, a file type for a new GGUF file.
    private static func settled(
        _ config: MergeConfig, _ model: Checkpoint, _ format: Checkpoint.Format, _ out: String
    ) throws(FileError) -> MergeConfig {
        var config = config
        if format == .huggingFace {
            config.type = config.type ?? config.fileType?.base
            if let fileType = config.fileType, !types(of: format).contains(fileType.base) {
                throw wrongType(fileType.name, format, out)
            }
            config.fileType = nil
        } else if model.format == .huggingFace, config.fileType == nil {
            let type = config.type ?? model.mostCommonType
            config.fileType = FileType.all.first { $0.base == type && $0.isPlain } ?? FileType.named("F16")
        }
        if let type = config.type, !types(of: format).contains(type) {
            throw wrongType(type.name, format, out)
        }
        return config
    }

    private static func wrongType(_ name: String, _ format: Checkpoint.Format, _ out: String) -> FileError {
        FileError(
            out, "a \(format.rawValue) model cannot be written as \(name)",
            remedy: "use \(types(of: format).map(\.name).joined(separator: ", "))")
    }

    /// A merge of an output that is the embedding's matrix would change both.
    private static func checkEnds(_ adapter: AdapterFiles, _ model: Checkpoint) throws(FileError) {
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
        let type = type(of: tensor, named: name)
        if let weight = merging(tensor, as: type) { return weight.source(named: name, order: tensor.order) }
        return TensorSource(
            converting: saved[tensor.name] ?? tensor, named: name, to: type, order: tensor.order)
    }

    /// A tensor of a new GGUF file, made of tensors of a Hugging Face folder.
    func source(_ expected: ExpectedTensor, _ parts: [StoredTensor], _ offset: Float) -> TensorSource {
        let type = types?[expected.ggufName] ?? .f32
        if parts.count == 1, let weight = merging(parts[0], as: type) {
            return weight.source(named: expected.ggufName, order: expected.ggufOrder)
        }
        return TensorSource(
            converting: parts.map { saved[$0.name] ?? $0 }, named: expected.ggufName, to: type,
            shape: expected.shape, order: expected.ggufOrder, offset: offset)
    }

    private func merging(_ tensor: StoredTensor, as type: StorageType) -> MergedWeight? {
        guard let module = modules[tensor.name] else { return nil }
        let weight = MergedWeight(saved[tensor.name] ?? tensor, module, as: type)
        merged.append(weight)
        return weight
    }

    private func type(of tensor: StoredTensor, named name: String) -> StorageType {
        // MXFP4's bytes are no numbers, and stay.
        if format == .huggingFace { return tensor.type.isReadable ? config.type ?? tensor.type : tensor.type }
        if let types { return types[name] ?? tensor.type }
        let isChanged = modules[tensor.name] != nil || saved[tensor.name] != nil
        guard isChanged, tensor.shape.count == 2 else { return tensor.type }
        let own = tensor.type.isWritable ? tensor.type : .q8_0
        let wide = modules[tensor.name].flatMap { _ in widened.first { $0.before == tensor.type }?.after }
        return FileType.fitting(config.type ?? wide ?? own, columns: tensor.columns)
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
        for type in format == .gguf ? [StorageType.q8_0, .f16, .f32] : [.f16, .f32] {
            let loss = try sampledLoss(merged, as: type)
            guard loss.isKept || type == .f32 else { continue }
            report.better = MergeReport.Better(type: type, loss: loss)
            break
        }
        return report
    }
}

extension Checkpoint {
    /// Of most of its bytes.
    var mostCommonType: StorageType {
        let bytes = tensors.reduce(into: [StorageType: Int]()) { $0[$1.type, default: 0] += $1.byteCount }
        return bytes.max { $0.value < $1.value }?.key ?? .f32
    }
}

extension TensorSource {
    /// The same matrix with its columns as rows, of a type without blocks. Held whole while it is written.
    var transposed: TensorSource {
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
