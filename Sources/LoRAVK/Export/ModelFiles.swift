// Writes a model into files of either format: a Hugging Face folder or a GGUF file, from either.

import Checkpoints

extension ModelSpec {
    /// Refuses models of which one tensor of a Hugging Face folder has all experts.
    func requireSeparateExperts(_ out: String) throws(FileError) {
        guard experts.allSatisfy({ !$0.gate.names.isEmpty }) else {
            throw FileError(
                out,
                "the experts of \(modelType) models, which lie in one tensor, are not converted yet",
                remedy: "keep the GGUF file")
        }
    }
}

enum ModelFiles {
    static func write(_ plan: MergePlan, _ observer: ExportObserver) throws(FileError) {
        let out = plan.out
        switch plan.format {
        case .gguf:
            guard !FileSystem.isFolder(out) else {
                throw FileError(out, "is a folder, and what is written is a file", remedy: "name a file")
            }
            if plan.model.format == .gguf { return try writeGGUF(plan, observer) }
            let type = plan.config.fileType ?? FileType.all[0]
            try GGUFModel(plan.model, type: type, out: out).write(to: out, observer, source: plan.source)
        case .huggingFace:
            guard ((try? FileSystem.names(in: out)) ?? []).isEmpty, !FileSystem.isFile(out) else {
                throw FileError(out, "is there already", remedy: "name a folder that is not there yet")
            }
            if plan.model.format == .huggingFace { return try writeFolder(plan, observer) }
            try HuggingFaceModel(model: plan.model).write(
                to: out, observer, type: plan.config.type, maxShardBytes: plan.config.maxShardBytes)
        }
    }

    private static func writeGGUF(_ plan: MergePlan, _ observer: ExportObserver) throws(FileError) {
        let model = plan.model
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
        if let type = plan.config.fileType {
            metadata.describe(type)
        } else if !zip(tensors, model.storedTensors).allSatisfy({ $0.type == $1.type }) {
            metadata.describeTypes(of: tensors)
        }
        try GGUFWriter.write(observer.watch(tensors, to: plan.out), metadata: metadata, to: plan.out)
    }

    private static func writeFolder(_ plan: MergePlan, _ observer: ExportObserver) throws(FileError) {
        let model = plan.model
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
    /// The same by the type that most numbers have.
    fileprivate mutating func describeTypes(of tensors: [TensorSource]) {
        var bytes: [StorageType: Int] = [:]
        for tensor in tensors { bytes[tensor.type, default: 0] += tensor.byteCount ?? 0 }
        let most = bytes.max { $0.value < $1.value }?.key
        if let type = FileType.all.first(where: { $0.base == most && $0.isNamedByItsType }) {
            set("general.file_type", .uint32(type.number))
        }
        if self["general.quantization_version"] == nil, bytes.keys.contains(where: { $0.blockElements > 1 }) {
            set("general.quantization_version", .uint32(2))
        }
    }
}
