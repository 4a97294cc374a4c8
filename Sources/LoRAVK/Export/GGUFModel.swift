// A model of a Hugging Face folder as a GGUF file: llama.cpp's names, shapes and row order, its metadata, and the tokenizer.
// The file is read again before it appears: it must describe the same model.

import Checkpoints
import Tokenizer

struct GGUFModel {
    private let model: Checkpoint
    private let metadata: GGUFMetadata
    private let factors: [TensorSource]
    private let spec: ModelSpec

    init(_ model: Checkpoint, type: FileType, out: String) throws(FileError) {
        let file = try model.modelFile()
        spec = try file.spec
        guard spec.gguf != nil else {
            throw FileError(
                out, "llama.cpp has no architecture for \(spec.modelType) models",
                remedy: "name a folder to write a Hugging Face model")
        }
        var metadata = file.ggufMetadata
        metadata.set("general.type", .string("model"))
        metadata.set(
            "general.name", .string(FileSystem.name(of: FileSystem.resolved(model.path) ?? model.path)))
        metadata.describe(type)
        for entry in try Tokenizer.ggufMetadata(of: model).entries { metadata.set(entry.key, entry.value) }
        (self.model, self.metadata) = (model, metadata)
        factors = file.ggufTensors.sorted { $0.name < $1.name }
    }

    /// `source` makes a tensor of the file from those of the model that are parts of it.
    func write(
        to out: String, _ observer: ExportObserver,
        source: (ExpectedTensor, _ parts: [StoredTensor], _ offset: Float) throws(FileError) -> TensorSource
    ) throws(FileError) {
        let offsets = spec.normOffsets
        let experts = try spec.expertTensors(model.path)
        var tensors: [TensorSource] = []
        for expected in spec.expectedTensors(of: .gguf) {
            let names = experts[expected.name] ?? [expected.name]
            var parts: [StoredTensor] = []
            for name in names { parts.append(try model.tensor(name)) }
            tensors.append(try source(expected, parts, offsets[expected.name] ?? 0))
        }
        let file = try AtomicFile(out)
        try GGUFWriter.write(observer.watch(tensors + factors, to: out), metadata: metadata, to: file)
        try file.finish()
        if let difference = difference(of: file.temporary) {
            throw FileError(
                out, "GGUF's \(spec.gguf ?? "") cannot say what this model computes: there \(difference)",
                remedy: "keep the Hugging Face folder")
        }
        try file.commit()
    }

    /// What a reader of the file will compute otherwise; nil where it will compute the same.
    private func difference(of path: String) -> String? {
        do throws(FileError) {
            return try Checkpoint.open(path: path).spec.difference(from: spec)
        } catch {
            return "the file \(error.message)"
        }
    }
}

extension ModelSpec {
    /// The tensors of each expert, by the name of all.
    func expertTensors(_ path: String) throws(FileError) -> [String: [String]] {
        var tensors: [String: [String]] = [:]
        for matrix in experts.flatMap({ [$0.gate, $0.up, $0.down] }) {
            guard case .each(let names) = matrix.stored else {
                throw FileError(
                    path,
                    "has the experts of '\(matrix.name.huggingFace)' in one tensor, which is not converted yet",
                    remedy: "use llama.cpp's convert_hf_to_gguf.py")
            }
            tensors[matrix.name.huggingFace + ".weight"] = names.map { $0 + ".weight" }
        }
        return tensors
    }

    /// What is added to a norm's weight in GGUF, by the weight's name.
    var normOffsets: [String: Float] {
        var norms: [NormSpec?] = [finalNorm]
        for branch in branches {
            norms += [branch.before, branch.after]
            if case .attention(let attention) = branch.mixer {
                norms += [attention.queryNorm, attention.keyNorm]
            }
        }
        return Dictionary(
            first: norms.compactMap(\.self).map { ($0.name.huggingFace + ".weight", Float($0.offset)) })
    }
}

extension GGUFMetadata {
    /// `general.file_type`, and the version that quantised types need.
    mutating func describe(_ type: FileType) {
        set("general.file_type", .uint32(type.number))
        set("general.quantization_version", .uint32(2))
    }
}
