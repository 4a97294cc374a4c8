// An adapter folded into the weights of its model: a Hugging Face folder gives a folder, a GGUF file a GGUF file. Tensor
// by tensor and row by row, so that memory holds one module's matrices, and with a report of what the stored types lose.

import Checkpoints

package struct MergeConfig: Sendable, Equatable {
    /// The type of the merged weights, in a folder of all tensors. nil: as in the model, but of quantised weights the first
    /// of their own type, Q8_0, F16 and F32 that keeps the update.
    package var type: StorageType?
    /// The most bytes of one file of a folder, unless a single tensor is larger.
    package var maxShardBytes = Defaults.maxShardBytes

    package init() {}
}

package enum Merge {
    /// Writes the merged model to `out`, which appears when it is complete. A folder must not be there yet; a file is
    /// replaced.
    package static func write(
        _ adapter: AdapterFiles, into model: Checkpoint, to out: String, config: MergeConfig = MergeConfig(),
        observer: ExportObserver = ExportObserver()
    ) throws(FileError) -> MergeReport {
        if model.format == .huggingFace, out.lowercased().hasSuffix(".gguf") {
            throw FileError(
                out, "is the name of a GGUF file, and a Hugging Face folder merges into a folder",
                remedy: "name a folder; llama.cpp's convert_hf_to_gguf.py makes a GGUF file of it")
        }
        let plan = try MergePlan(adapter.matched(to: model), model, config, out)
        switch model.format {
        case .huggingFace: try writeFolder(plan, observer)
        case .gguf: try writeGGUF(plan, observer)
        }
        return try plan.report()
    }

    private static func writeGGUF(_ plan: MergePlan, _ observer: ExportObserver) throws(FileError) {
        let model = plan.model
        guard !FileSystem.isFolder(plan.out) else {
            throw FileError(plan.out, "is a folder", remedy: "a GGUF model merges into a file: name one")
        }
        let names = Dictionary(
            first: model.spec.expectedTensors(of: .gguf).map { ($0.ggufName, $0.name) })
        var tensors: [TensorSource] = []
        for stored in model.storedTensors {
            if let name = names[stored.name] {
                tensors.append(plan.source(try model.tensor(name), named: stored.name))
            } else {
                tensors.append(TensorSource(stored))
            }
        }
        var metadata = model.metadata ?? GGUFMetadata(path: plan.out)
        if !zip(tensors, model.storedTensors).allSatisfy({ $0.type == $1.type }) {
            metadata.describeTypes(of: tensors)
        }
        try GGUFWriter.write(observer.watch(tensors, to: plan.out), metadata: metadata, to: plan.out)
    }

    private static func writeFolder(_ plan: MergePlan, _ observer: ExportObserver) throws(FileError) {
        let model = plan.model
        guard ((try? FileSystem.names(in: plan.out)) ?? []).isEmpty, !FileSystem.isFile(plan.out) else {
            throw FileError(plan.out, "is there already", remedy: "name a folder that is not there yet")
        }
        let used = Set(model.tensors.map { model.fileName(of: $0.name) })
        let unused = model.storedTensors.filter { !used.contains($0.name) }
        let own = model.tensors.map { plan.source($0, named: model.fileName(of: $0.name)) }
        let tensors = own + unused.map { TensorSource($0) }
        let folder = try AtomicFolder(plan.out)
        try copyCompanions(of: model.path, to: folder.temporary, type: plan.config.type)
        try ShardedSafetensors.write(
            observer.watch(tensors, to: plan.out), maxShardBytes: plan.config.maxShardBytes,
            to: folder.temporary)
        try folder.commit()
    }

    /// What a model's folder holds beside weights: its config, tokenizer, chat template, licence.
    private static func copyCompanions(
        of model: String, to folder: String, type: StorageType?
    ) throws(FileError) {
        let endings = [".json", ".jinja", ".model", ".txt", ".tiktoken"]
        for name in try FileSystem.names(in: model) {
            guard FileSystem.isFile("\(model)/\(name)"), !name.hasSuffix(".index.json"),
                endings.contains(where: name.hasSuffix) || name.hasPrefix("LICENSE")
                    || name.hasPrefix("NOTICE")
            else { continue }
            if name == "config.json", let type {
                try writeConfig("\(model)/\(name)", type, to: "\(folder)/\(name)")
            } else {
                let bytes = try FileSystem.contents(of: "\(model)/\(name)")
                try AtomicFile.write(bytes, to: "\(folder)/\(name)")
            }
        }
    }

    /// config.json with the new type of the weights, under the key that it uses: `torch_dtype`, or `dtype` since
    /// transformers 4.56.
    private static func writeConfig(
        _ source: String, _ type: StorageType, to target: String
    ) throws(FileError) {
        guard case .object(var object) = try JSON.read(source) else { return }  // opening the model read it
        let names: [StorageType: String] = [.f32: "float32", .f16: "float16", .bf16: "bfloat16"]
        let key = object["torch_dtype"] == nil && object["dtype"] != nil ? "dtype" : "torch_dtype"
        object[key] = names[type].map { .string($0) }
        try AtomicFile.write(JSON.object(object).text(.python) + "\n", to: target)
    }
}

extension GGUFMetadata {
    /// `general.file_type` by the type that most numbers have, and the version that quantised types need.
    fileprivate mutating func describeTypes(of tensors: [TensorSource]) {
        var bytes: [StorageType: Int] = [:]
        for tensor in tensors { bytes[tensor.type, default: 0] += tensor.byteCount ?? 0 }
        let fileTypes: [StorageType: UInt32] = [
            .f32: 0, .f16: 1, .q4_0: 2, .q4_1: 3, .q8_0: 7, .q5_0: 8, .q5_1: 9, .bf16: 32,
        ]
        let most = bytes.max { $0.value < $1.value }?.key
        if let number = most.flatMap({ fileTypes[$0] }) { set("general.file_type", .uint32(number)) }
        if self["general.quantization_version"] == nil, bytes.keys.contains(where: { $0.blockElements > 1 }) {
            set("general.quantization_version", .uint32(2))
        }
    }
}
