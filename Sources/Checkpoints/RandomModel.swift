// A model with random weights, of any architecture, size and types of storage, written as GGUF: to probe a device's kernels and to
// measure models that are not at hand.

package struct RandomModel {
    private let file: ModelFile
    private let seed: UInt64

    /// `config`: keys of config.json.
    package init(config: JSON.Object, seed: UInt64 = 1) throws(FileError) {
        file = try ModelFile(huggingFace: JSONFields(config, path: "config.json"))
        self.seed = seed
    }

    /// A Llama of these sizes.
    package static func llama(
        vocabulary: Int, width: Int, hidden: Int, layers: Int, heads: Int, kvHeads: Int, positions: Int,
        isTied: Bool = true
    ) -> JSON.Object {
        [
            "model_type": .string("llama"), "vocab_size": .integer(vocabulary),
            "hidden_size": .integer(width),
            "intermediate_size": .integer(hidden), "num_hidden_layers": .integer(layers),
            "num_attention_heads": .integer(heads), "num_key_value_heads": .integer(kvHeads),
            "max_position_embeddings": .integer(positions), "rms_norm_eps": .double(1e-5),
            "rope_theta": .double(10_000), "tie_word_embeddings": .bool(isTied), "eos_token_id": .integer(0),
        ]
    }

    /// `type` says how a matrix is stored, by its index among them; vectors are F32.
    package func writeGGUF(to path: String, type: (ExpectedTensor, Int) -> StorageType) throws(FileError) {
        let spec = try file.spec
        var matrices = 0
        let sources = spec.expectedTensors(of: .gguf).enumerated().map { index, tensor in
            var values = Values(seed: seed &+ UInt64(index) &* 0x1000_0001)
            guard tensor.shape.count > 1 else {
                return TensorSource(
                    tensor.ggufName, shape: tensor.shape,
                    (0..<tensor.shape[0]).map { _ in 1 + values.next() / 4 })
            }
            matrices += 1
            return source(tensor, type(tensor, matrices - 1), values, spec)
        }
        try GGUFWriter.write(sources + file.ggufTensors, metadata: file.ggufMetadata, to: path)
    }

    /// Values of deviation about 1/√columns, as those of trained models, in pieces that repeat after a million.
    private func source(
        _ tensor: ExpectedTensor, _ type: StorageType, _ values: Values, _ spec: ModelSpec
    ) -> TensorSource {
        let isTable = tensor.shape[0] == spec.vocabulary
        let (rows, columns) = (tensor.shape.dropLast().reduce(1, *), tensor.shape[tensor.shape.count - 1])
        let deviation = isTable ? 0.5 : 1 / Float(columns).squareRoot()
        // Rows that are not whole blocks, as those of a convolution's taps.
        let type = columns % type.blockElements == 0 ? type : .f32
        return TensorSource(tensor.ggufName, type, shape: tensor.shape) { (emit) throws(FileError) in
            var values = values
            let most = max(1, min(rows, (1 << 20) / columns))
            let piece = values.encoded(type, count: most * columns, deviation: deviation)
            for start in stride(from: 0, to: rows, by: most) {
                let count = min(most, rows - start) * (piece.count / most)
                try piece.withUnsafeBufferPointer { (bytes) throws(FileError) in
                    try emit(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: bytes[..<count])))
                }
            }
        }
    }
}

/// Uniform numbers of −1…1 and blocks of them.
private struct Values {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func word() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func next() -> Float { Float(Int32(truncatingIfNeeded: word())) / 2_147_483_648 }

    mutating func encoded(_ type: StorageType, count: Int, deviation: Float) -> [UInt8] {
        let bytes = type.rowBytes(columns: count) ?? 0
        if type.isWritable {
            let values = (0..<count).map { _ in next() * deviation * Float(3).squareRoot() }
            return [UInt8](unsafeUninitializedCapacity: bytes) { target, written in
                values.withUnsafeBufferPointer {
                    type.encode($0, into: UnsafeMutableRawBufferPointer(target))
                }
                written = bytes
            }
        }
        var data = [UInt8](repeating: 0, count: bytes)
        for index in data.indices { data[index] = UInt8(truncatingIfNeeded: word()) }
        for block in stride(from: 0, to: bytes, by: type.blockBytes) {
            func put(_ value: Float, at offset: Int) {
                let half = Half.bits(value)
                (data[block + offset], data[block + offset + 1]) = (UInt8(half & 255), UInt8(half >> 8))
            }
            // Scales and quants are random numbers; the block's factor gives the product its deviation, its minimum the mean 0.
            switch type {
            case .q4_K:
                put(deviation / 200, at: 0)
                put(deviation / 200 * 7.5, at: 2)
            case .q5_K:
                put(deviation / 400, at: 0)
                put(deviation / 400 * 15.5, at: 2)
            case .q6_K: put(deviation / 1366, at: 208)
            case .mxfp4: data[block] = UInt8(clamping: 127 + (deviation / 2.926).exponent)
            default: preconditionFailure("no random blocks of \(type.name) are known")
            }
        }
        return data
    }
}
