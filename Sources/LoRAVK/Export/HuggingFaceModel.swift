// A model of a GGUF file as a Hugging Face folder: transformers' names, shapes and row order, config.json, and the tokenizer's files.

import Checkpoints
import Tokenizer

struct HuggingFaceModel {
    let model: Checkpoint

    /// `type`: of all weights; nil: the file's own, of quantised ones F16.
    func write(
        to out: String, _ observer: ExportObserver, type: StorageType?, maxShardBytes: Int
    ) throws(FileError) {
        let own = model.mostCommonType
        let type = type ?? (own.blockElements > 1 ? .f16 : own)
        let (config, spec) = try model.huggingFaceConfig(storedAs: type)
        try spec.requireSeparateExperts(out)
        var files = try Tokenizer.huggingFaceFiles(of: model)
        files.append(("config.json", JSON.object(config)))
        let folder = try AtomicFolder(out)
        for (name, value) in files {
            try AtomicFile.write(value.text(.python) + "\n", to: "\(folder.temporary)/\(name)")
        }
        try ShardedSafetensors.write(
            observer.watch(try sources(spec, type), to: out), maxShardBytes: maxShardBytes,
            to: folder.temporary)
        // What does not open is not put in its place.
        let written = try Checkpoint.open(path: folder.temporary)
        _ = try Tokenizer.load(for: written)
        try folder.commit()
    }

    private func sources(_ spec: ModelSpec, _ type: StorageType) throws(FileError) -> [TensorSource] {
        let offsets = spec.normOffsets
        _ = try spec.expertTensors(model.path)
        let names = Dictionary(first: model.spec.expectedTensors(of: .gguf).map { ($0.ggufName, $0.name) })
        var experts: [String: [StoredTensor]] = [:]
        var sources: [TensorSource] = []
        for expected in spec.expectedTensors {
            let stored = try model.tensor(names[expected.ggufName] ?? expected.name)
            var part = stored
            if stored.shape.count == 3 {
                // In the order of the experts.
                if experts[stored.name] == nil { experts[stored.name] = try stored.matrices() }
                part = experts[stored.name]?.removeFirst() ?? stored
            }
            let shape = expected.isTransposed ? expected.shape : expected.huggingFaceShape
            let source = TensorSource(
                converting: [part], named: expected.name, to: type, shape: shape,
                offset: -(offsets[expected.name] ?? 0))
            sources.append(expected.isTransposed && shape.count == 2 ? source.transposed : source)
        }
        return sources
    }
}
