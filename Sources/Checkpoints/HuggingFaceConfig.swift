// ModelConfig from Hugging Face's config.json, old (`rope_theta`, `rope_scaling`) and new (`rope_parameters`)
// keys. What this program would compute differently from what the file asks for is refused, never ignored.

extension ModelConfig {
    package static let supportedModelTypes = ["llama", "mistral"]

    package static func huggingFace(_ path: String, limits: LoadLimits = .standard) throws(FileError)
        -> ModelConfig
    {
        try ModelConfig(huggingFace: JSONFields(JSON.read(path, limits: limits), path: path))
    }

    package init(huggingFace fields: JSONFields) throws(FileError) {
        if fields["peft_type"] != nil {
            throw FileError(
                fields.path, "is the configuration of an adapter, not of a model",
                remedy: "name the base model's folder")
        }
        let modelType = try fields.string("model_type")
        guard ModelConfig.supportedModelTypes.contains(modelType) else {
            throw fields.wrong(
                "model_type", expected: ModelConfig.supportedModelTypes.joined(separator: " or "))
        }
        let hiddenSize = try fields.integer("hidden_size", in: Range.width)
        let heads = try fields.integer("num_attention_heads", in: Range.heads)
        var headDim = try fields.optionalInteger("head_dim", in: Range.width)
        if headDim == nil {
            guard hiddenSize % heads == 0 else {
                throw FileError(
                    fields.path,
                    "'hidden_size' \(hiddenSize) is not a multiple of 'num_attention_heads' \(heads), "
                        + "and there is no 'head_dim'"
                )
            }
            headDim = hiddenSize / heads
        }
        let maxPositions =
            try fields.optionalInteger("max_position_embeddings", in: Range.positions) ?? 2048
        try ModelConfig.refuseOtherArithmetic(fields, maxPositions: maxPositions)
        let rope = try ModelConfig.rope(fields, maxPositions: maxPositions)
        self.init(
            modelType: modelType,
            vocabSize: try fields.integer("vocab_size", in: Range.vocab),
            hiddenSize: hiddenSize,
            intermediateSize: try fields.integer("intermediate_size", in: Range.width),
            layers: try fields.integer("num_hidden_layers", in: Range.layers),
            heads: heads,
            kvHeads: try fields.optionalInteger("num_key_value_heads", in: 1...heads) ?? heads,
            headDim: headDim ?? 0,
            rmsNormEps: try fields.optionalPositiveNumber("rms_norm_eps") ?? 1e-6,
            ropeTheta: rope.theta,
            ropeScaling: rope.scaling,
            maxPositions: maxPositions,
            tieWordEmbeddings: try fields.optionalBool("tie_word_embeddings") ?? false,
            bosTokenID: try ModelConfig.tokenIDs(fields, "bos_token_id").first,
            eosTokenIDs: try ModelConfig.tokenIDs(fields, "eos_token_id"),
            padTokenID: try ModelConfig.tokenIDs(fields, "pad_token_id").first)
        try validate(fields.path)
    }

    private static func rope(
        _ fields: JSONFields, maxPositions: Int
    ) throws(FileError) -> (theta: Double, scaling: RopeScaling) {
        let theta = try fields.optionalPositiveNumber("rope_theta") ?? 10_000
        if let new = try fields.optionalFields("rope_parameters") {
            return (
                try new.optionalPositiveNumber("rope_theta") ?? theta,
                try RopeScaling(new, maxPositions: maxPositions)
            )
        }
        guard let old = try fields.optionalFields("rope_scaling") else { return (theta, .none) }
        return (theta, try RopeScaling(old, maxPositions: maxPositions))
    }

    /// One id or a list of them; −1 stands for none in old files.
    private static func tokenIDs(_ fields: JSONFields, _ key: String) throws(FileError) -> [Int] {
        guard case .array(let values) = fields[key] else {
            return [try fields.optionalInteger(key, in: -1...Int.max)].compactMap { $0 }.filter { $0 >= 0 }
        }
        var ids: [Int] = []
        for value in values {
            guard case .integer(let id) = value else {
                throw fields.wrong(key, holding: value, expected: "token ids")
            }
            ids.append(id)
        }
        return ids
    }

    private static func refuseOtherArithmetic(_ fields: JSONFields, maxPositions: Int) throws(FileError) {
        for key in ["attention_bias", "mlp_bias"] where try fields.optionalBool(key) == true {
            throw fields.wrong(key, expected: "false: layers with a bias are not supported")
        }
        for key in ["hidden_act", "hidden_activation"] {
            if let name = try fields.optionalString(key), !["silu", "swish"].contains(name) {
                throw fields.wrong(key, expected: "\"silu\", the only activation supported")
            }
        }
        if let window = try fields.optionalInteger("sliding_window", in: 1...Int.max), window < maxPositions,
            try fields.optionalBool("use_sliding_window") != false
        {
            throw fields.wrong(
                "sliding_window",
                expected:
                    "null or at least 'max_position_embeddings' (\(maxPositions)): "
                    + "a sliding window is not supported",
                remedy: "for texts of at most \(window) tokens, set 'max_position_embeddings' to \(window)")
        }
        if let factor = try fields.optionalNumber("partial_rotary_factor"), factor != 1 {
            throw fields.wrong("partial_rotary_factor", expected: "1: partly rotated heads are not supported")
        }
        if fields["quantization_config"] != nil {
            throw fields.wrong(
                "quantization_config", expected: "none: such weights cannot be read",
                remedy: "use the unquantised model or a GGUF file")
        }
    }
}

extension RopeScaling {
    fileprivate init(_ fields: JSONFields, maxPositions: Int) throws(FileError) {
        let key = fields["rope_type"] == nil ? "type" : "rope_type"
        switch try fields.optionalString(key) ?? "default" {
        case "default": self = .none
        case "linear": self = .linear(factor: try fields.positiveNumber("factor"))
        case "llama3":
            self = .llama3(
                factor: try fields.positiveNumber("factor"),
                lowFrequencyFactor: try fields.positiveNumber("low_freq_factor"),
                highFrequencyFactor: try fields.positiveNumber("high_freq_factor"),
                originalMaxPositions: try fields.optionalInteger(
                    "original_max_position_embeddings", in: ModelConfig.Range.positions) ?? maxPositions)
        default: throw fields.wrong(key, expected: "\"default\", \"linear\" or \"llama3\"")
        }
    }
}
