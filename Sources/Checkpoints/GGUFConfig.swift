// ModelConfig from the metadata of a GGUF file of architecture `llama` (which covers Llama, SmolLM2,
// TinyLlama, Mistral).

extension ModelConfig {
    package init(gguf file: GGUFFile) throws(FileError) {
        let metadata = file.metadata
        if let kind = try metadata.optionalString("general.type"), kind != "model" {
            throw metadata.wrong("general.type", expected: "\"model\"")
        }
        guard try metadata.optionalString("general.architecture") == "llama" else {
            throw metadata.wrong("general.architecture", expected: "\"llama\"")
        }
        if let parts = try metadata.optionalInteger("split.count"), parts > 1 {
            throw metadata.wrong(
                "split.count", expected: "1: only whole GGUF files can be read", remedy: "merge its parts")
        }
        for (key, what) in [
            ("llama.expert_count", "mixtures of experts"),
            ("llama.attention.sliding_window", "a sliding window"),
        ] {
            if let count = try metadata.optionalInteger(key), count > 0 {
                throw metadata.wrong(key, expected: "none: \(what) cannot be read")
            }
        }
        let hiddenSize = try metadata.integer("llama.embedding_length", in: Range.width)
        let heads = try metadata.integer("llama.attention.head_count", in: Range.heads)
        let headDim = try ModelConfig.headDim(metadata, hiddenSize: hiddenSize, heads: heads)
        self.init(
            modelType: "llama",
            vocabSize: try ModelConfig.vocabSize(file),
            hiddenSize: hiddenSize,
            intermediateSize: try metadata.integer("llama.feed_forward_length", in: Range.width),
            layers: try metadata.integer("llama.block_count", in: Range.layers),
            heads: heads,
            kvHeads: try metadata.optionalInteger("llama.attention.head_count_kv", in: 1...heads) ?? heads,
            headDim: headDim,
            rmsNormEps: try metadata.positiveNumber("llama.attention.layer_norm_rms_epsilon"),
            ropeTheta: try metadata.optionalPositiveNumber("llama.rope.freq_base") ?? 10_000,
            ropeScaling: try RopeScaling(file),
            maxPositions: try metadata.integer("llama.context_length", in: Range.positions),
            tieWordEmbeddings: file["output.weight"] == nil,
            bosTokenID: try metadata.optionalInteger("tokenizer.ggml.bos_token_id"),
            eosTokenIDs: try ModelConfig.endOfText(metadata),
            padTokenID: try metadata.optionalInteger("tokenizer.ggml.padding_token_id"))
        try validate(file.path)
    }

    private static func headDim(
        _ metadata: GGUFMetadata, hiddenSize: Int, heads: Int
    ) throws(FileError) -> Int {
        var headDim = try metadata.optionalInteger("llama.attention.key_length", in: Range.width)
        if headDim == nil {
            guard hiddenSize % heads == 0 else {
                throw FileError(
                    metadata.path,
                    "'llama.embedding_length' \(hiddenSize) is not a multiple of 'llama.attention.head_count' "
                        + "\(heads), and there is no 'llama.attention.key_length'"
                )
            }
            headDim = hiddenSize / heads
        }
        for key in ["llama.attention.value_length", "llama.rope.dimension_count"] {
            if let other = try metadata.optionalInteger(key), other != headDim {
                throw metadata.wrong(key, expected: "the head size \(headDim ?? 0)")
            }
        }
        return headDim ?? 0
    }

    private static func vocabSize(_ file: GGUFFile) throws(FileError) -> Int {
        let key = "llama.vocab_size"
        if file.metadata[key] == nil, let rows = file["token_embd.weight"]?.shape.first, Range.vocab ~= rows {
            return rows
        }
        return try file.metadata.integer(key, in: Range.vocab)
    }

    /// Chat models end a turn with a token of their own.
    private static func endOfText(_ metadata: GGUFMetadata) throws(FileError) -> [Int] {
        var ids: [Int] = []
        for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"] {
            if let id = try metadata.optionalInteger(key), !ids.contains(id) { ids.append(id) }
        }
        return ids
    }
}

extension RopeScaling {
    fileprivate init(_ file: GGUFFile) throws(FileError) {
        let (kind, factor) = ("llama.rope.scaling.type", "llama.rope.scaling.factor")
        switch try file.metadata.optionalString(kind) ?? "none" {
        case "none": self = .none
        case "linear": self = .linear(factor: try file.metadata.positiveNumber(factor))
        default: throw file.metadata.wrong(kind, expected: "\"none\" or \"linear\"")
        }
        if let divisors = file["rope_freqs.weight"] {
            guard self == .none, divisors.type == .f32 else {
                throw FileError(
                    file.path,
                    "'rope_freqs.weight' is \(divisors.type.name) beside '\(kind)', expected F32 and no other scaling"
                )
            }
            self = .divisors(try divisors.floats())
        }
    }
}
