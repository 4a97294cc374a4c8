// A small random model of any architecture, from its description alone: as a Hugging Face folder and as GGUF. Every weight is a
// multiple of 1/64 below 4: exact in f16 and bf16, so that storage types can be compared bit by bit.

import Checkpoints

package struct TinyCheckpoint {
    package let architecture: any Architecture
    /// Keys of config.json.
    package var config: JSON.Object
    package var seed: UInt64 = 1

    /// `changes` are keys of config.json that differ, by Llama's names.
    package init(_ architecture: any Architecture, _ changes: JSON.Object = [:]) {
        self.architecture = architecture
        var config: JSON.Object = ["model_type": .string(architecture.name)]
        let usual: JSON.Object = [
            "vocab_size": .integer(96), "hidden_size": .integer(32), "intermediate_size": .integer(64),
            "num_hidden_layers": .integer(2), "num_attention_heads": .integer(4),
            "num_key_value_heads": .integer(2), "max_position_embeddings": .integer(64),
            "rms_norm_eps": .double(1e-5), "rope_theta": .double(10_000), "eos_token_id": .integer(0),
            "tie_word_embeddings": .bool(true),
        ]
        for keys in [usual, architecture.tiny, changes] {
            for member in keys.members { config[architecture.keys[member.key] ?? member.key] = member.value }
        }
        self.config = config
    }

    private var file: ModelFile {
        get throws { try ModelFile(huggingFace: JSONFields(config, path: "config.json")) }
    }

    package var spec: ModelSpec { get throws { try file.spec } }

    package func writeFolder(_ folder: String) throws {
        try AtomicFile.write(JSON.object(config).text(.python), to: "\(folder)/config.json")
        let spec = try spec
        let sources = try huggingFaceValues(spec).map { expected, values in
            let isOffset = spec.offsets[expected.name] ?? 0
            let own = values.map { $0 - Float(isOffset) }
            return TensorSource(
                expected.name, shape: expected.huggingFaceShape,
                expected.isTransposed ? transposed(own, expected.shape) : own)
        }
        try SafetensorsWriter.write(sources, to: "\(folder)/model.safetensors")
    }

    package func writeGGUF(_ path: String) throws {
        let file = try file
        let spec = try file.spec
        let sources = try values(spec, .gguf).map { expected, values in
            let width = expected.shape.count == 1 ? 1 : expected.shape[expected.shape.count - 1]
            let rows = (0..<values.count / width).flatMap { place in
                let row = expected.ggufOrder.row(storedAt: place)
                return values[row * width..<(row + 1) * width]
            }
            return TensorSource(expected.ggufName, shape: expected.shape, rows)
        }
        try GGUFWriter.write(sources + file.ggufTensors, metadata: metadata(file, spec), to: path)
    }

    private func metadata(_ file: ModelFile, _ spec: ModelSpec) -> GGUFMetadata {
        var metadata = file.ggufMetadata
        for (name, id) in [
            ("bos", spec.tokens.bos), ("eos", spec.tokens.eos.first), ("padding", spec.tokens.pad),
        ] {
            if let id { metadata.set("tokenizer.ggml.\(name)_token_id", .uint32(UInt32(id))) }
        }
        return metadata
    }

    /// The same numbers of experts that lie in one tensor of gate and up, in the order of its file.
    private func huggingFaceValues(_ spec: ModelSpec) throws -> [(ExpectedTensor, [Float])] {
        let joined = spec.experts.flatMap { [$0.gate, $0.up, $0.down] }
        guard joined.contains(where: { if case .rows = $0.stored { true } else { false } }) else {
            return try values(spec, .huggingFace)
        }
        let logical = Dictionary(uniqueKeysWithValues: try values(spec, .gguf).map { ($0.0.name, $0.1) })
        return spec.expectedTensors.map { expected in
            if let own = logical[expected.name] { return (expected, own) }
            var values = [Float](repeating: 0, count: expected.shape.reduce(1, *))
            for matrix in joined {
                guard case .rows(let whole, let first, let step) = matrix.stored else { continue }
                let isBias = whole.biasName == expected.name
                guard isBias || whole.name == expected.name,
                    let own = logical[matrix.name.huggingFace + (isBias ? ".bias" : ".weight")]
                else { continue }
                let columns = isBias ? 1 : matrix.inFeatures
                for (index, value) in own.enumerated() {
                    let (row, column) = (index / columns % matrix.outFeatures, index % columns)
                    let expert = index / columns / matrix.outFeatures
                    let place = first + row * step
                    let at =
                        whole.layout == .columns && !isBias
                        ? (expert * columns + column) * whole.rows + place
                        : (expert * whole.rows + place) * columns + column
                    values[at] = value
                }
            }
            return (expected, values)
        }
    }

    /// Values in Hugging Face's row order, with what norms add. Those of experts are the same one behind the other and as one tensor.
    private func values(
        _ spec: ModelSpec, _ format: Checkpoint.Format
    ) throws -> [(ExpectedTensor, [Float])] {
        var random = RandomValues(seed: seed)
        return spec.expectedTensors(of: format).map { expected in
            let count = expected.shape.reduce(1, *)
            if expected.shape.count == 1 {
                let isBias = expected.name.hasSuffix(".bias")
                return (expected, random.uniform(count, in: isBias ? -0.25...0.25 : 0.75...1.25))
            }
            let isTable = expected.shape[0] == spec.vocabulary || expected.shape[0] == spec.positions
            let deviation = isTable ? 0.5 : 1.3 / Float(expected.shape.last ?? 1).squareRoot()
            let values = random.normal(count, deviation: deviation)
                .map { min(max(($0 * 64).rounded() / 64, -3), 3) }
            return (expected, values)
        }
    }

    private func transposed(_ values: [Float], _ shape: [Int]) -> [Float] {
        (0..<shape[1]).flatMap { column in (0..<shape[0]).map { values[$0 * shape[1] + column] } }
    }

    /// A GGUF of a folder's model, all weights F32.
    package static func writeGGUF(ofFolder folder: String, to path: String) throws {
        let checkpoint = try Checkpoint.open(path: folder)
        let file = try ModelFile(
            huggingFace: JSONFields(JSON.read("\(folder)/config.json"), path: "config.json"))
        let offsets = checkpoint.spec.offsets
        let tensors = try file.spec.expectedTensors.map { expected in
            let tensor = try checkpoint.tensor(expected.name)
            let rows = try (0..<tensor.rows).flatMap { place in
                try tensor.floats(
                    rows: expected.ggufOrder.row(storedAt: place)..<expected.ggufOrder.row(storedAt: place)
                        + 1)
            }
            let offset = Float(offsets[expected.name] ?? 0)
            return TensorSource(expected.ggufName, shape: expected.shape, rows.map { $0 + offset })
        }
        try GGUFWriter.write(tensors + file.ggufTensors, metadata: file.ggufMetadata, to: path)
    }
}

extension ModelSpec {
    /// What norms add to the numbers of a Hugging Face file, by the tensors' names.
    fileprivate var offsets: [String: Double] {
        var norms = [finalNorm]
        for branch in branches {
            norms += [branch.before, branch.after].compactMap { $0 }
            if case .attention(let attention) = branch.mixer {
                norms += [attention.queryNorm, attention.keyNorm].compactMap { $0 }
            }
        }
        return Dictionary(
            first: norms.map { ($0.name.huggingFace + ".weight", $0.offset) })
    }
}
