// Rotary embeddings as files describe them: config.json by `rope_theta` and `rope_scaling`, or by `rope_parameters`, which may
// hold an object for each kind of layer; GGUF by keys rope.* and tensors of factors.

extension ModelFile {
    /// Of all layers, or of those that look back all the way.
    package func rope(
        _ heads: HeadCounts, base key: ModelKey = .ropeBase, default other: Double = 10_000
    ) throws(FileError) -> RopeSpec {
        let size = try rotarySize(heads, of: try parameters("full_attention"))
        switch source {
        case .gguf(let file):
            let base = try number(key, default: other)
            return RopeSpec(base: base, scaling: try scaling(file, size: size), size: size)
        case .huggingFace(let fields, _):
            notes.read.formUnion([key.huggingFace, "rope_scaling", "rope_parameters"])
            let new = try parameters("full_attention")
            var base = try new?.optionalPositiveNumber(ModelKey.ropeBase.huggingFace) ?? other
            if new?[ModelKey.ropeBase.huggingFace] == nil {
                base = try fields.optionalPositiveNumber(key.huggingFace) ?? base
            }
            note(key, .float32(Float(base)))
            // Where a file has both, the older key is the one that counts.
            let old = try fields.optionalFields("rope_scaling")
            guard let rule = old ?? new else { return RopeSpec(base: base, size: size) }
            let rope = RopeSpec(base: base, scaling: try scaling(rule, size: size), size: size)
            noteFactors(rope)
            return rope
        }
    }

    /// GGUF has these rules as tensors of divisors.
    private func noteFactors(_ rope: RopeSpec) {
        switch rope.scaling {
        case .llama3:
            let plain = RopeScaling.none.inverseFrequencies(theta: rope.base, size: rope.size)
            notes.factors["rope_freqs.weight"] = zip(plain, rope.inverseFrequencies()).map { Float($0 / $1) }
        case .long(let rule):
            notes.factors["rope_factors_short.weight"] = rule.short
            notes.factors["rope_factors_long.weight"] = rule.long
        default: break
        }
    }

    /// Of the layers with a window, which no rule scales.
    package func localRope(
        _ heads: HeadCounts, base key: ModelKey, default other: Double
    ) throws(FileError) -> RopeSpec {
        let new = try parameters("sliding_attention", mustDiffer: true)
        let size = try rotarySize(heads, of: new)
        if let base = try new?.optionalPositiveNumber("rope_theta") {
            note(key, .float32(Float(base)))
            return RopeSpec(base: base, size: size)
        }
        return RopeSpec(base: try number(key, default: other), size: size)
    }

    /// `rope_parameters`, of this kind of layers where they differ.
    private func parameters(_ layers: String, mustDiffer: Bool = false) throws(FileError) -> JSONFields? {
        guard case .huggingFace(let fields, _) = source else { return nil }
        guard let all = try fields.optionalFields("rope_parameters") else { return nil }
        if all.object[layers] != nil { return try all.optionalFields(layers) }
        return mustDiffer ? nil : all
    }

    /// Queries that grow with their position (Ministral 3).
    package func queryGrowth() throws(FileError) -> RopeSpec.QueryGrowth? {
        let scale = ModelKey("llama_4_scaling_beta", gguf: "attention.temperature_scale")
        let positions = ModelKey.scaling("original_context_length")
        if isGGUF {
            guard let beta = try optionalNumber(scale) else { return nil }
            return RopeSpec.QueryGrowth(
                beta: beta, positions: try integer(positions, in: ModelKey.Range.positions))
        }
        guard let rule = try parameters("full_attention"),
            let beta = try rule.optionalPositiveNumber(scale.huggingFace)
        else { return nil }
        note(scale, .float32(Float(beta)))
        return RopeSpec.QueryGrowth(
            beta: beta,
            positions: try rule.integer("original_max_position_embeddings", in: ModelKey.Range.positions))
    }

    private func rotarySize(_ heads: HeadCounts, of parameters: JSONFields?) throws(FileError) -> Int {
        let key = ModelKey("partial_rotary_factor", gguf: "rope.dimension_count")
        switch source {
        case .gguf: return try integer(key, in: 2...heads.size, default: heads.size)
        case .huggingFace(let fields, _):
            notes.read.insert(key.huggingFace)
            let factor = try firstNumber(key.huggingFace, in: [parameters, fields]) ?? 1
            guard factor <= 1 else { throw fields.wrong(key.huggingFace, expected: "a number up to 1") }
            let size = Int(Double(heads.size) * factor)
            note(key, .uint32(UInt32(size)))
            return size
        }
    }

    private func firstNumber(_ key: String, in places: [JSONFields?]) throws(FileError) -> Double? {
        for case let fields? in places {
            if let number = try fields.optionalPositiveNumber(key) { return number }
        }
        return nil
    }

    private func scaling(_ rule: JSONFields, size: Int) throws(FileError) -> RopeScaling {
        let key = rule["rope_type"] == nil ? "type" : "rope_type"
        let positions = try integer(.positions, in: ModelKey.Range.positions, default: 2048)
        func original() throws(FileError) -> Int {
            let key = "original_max_position_embeddings"
            if let own = try optionalInteger(ModelKey(key), in: ModelKey.Range.positions) { return own }
            return try rule.optionalInteger(key, in: ModelKey.Range.positions) ?? positions
        }
        func noteScaling(_ name: String, factor: Double) throws(FileError) {
            note(.scaling("type"), .string(name))
            note(.scaling("factor"), .float32(Float(factor)))
        }
        switch try rule.optionalString(key) ?? "default" {
        case "default": return .none
        case "dynamic":
            // Up to the model's positions, and no sequence is longer here, nothing is scaled.
            return .none
        case "linear":
            let factor = try rule.positiveNumber("factor")
            try noteScaling("linear", factor: factor)
            return .linear(factor: factor)
        case "llama3":
            let scaling = RopeScaling.llama3(
                factor: try rule.positiveNumber("factor"),
                lowFrequencyFactor: try rule.positiveNumber("low_freq_factor"),
                highFrequencyFactor: try rule.positiveNumber("high_freq_factor"),
                originalMaxPositions: try original())
            return scaling
        case "yarn":
            let factor = try rule.positiveNumber("factor")
            let (scale, whole) = (
                try rule.optionalNumber("mscale") ?? 0, try rule.optionalNumber("mscale_all_dim") ?? 0
            )
            let magnitude =
                scale != 0 && whole != 0
                ? RopeScaling.Yarn.magnitude(factor, scale) / RopeScaling.Yarn.magnitude(factor, whole)
                : RopeScaling.Yarn.magnitude(factor)
            let rule = RopeScaling.Yarn(
                factor: factor, originalPositions: try original(),
                betaFast: try rule.optionalPositiveNumber("beta_fast") ?? 32,
                betaSlow: try rule.optionalPositiveNumber("beta_slow") ?? 1,
                truncates: try rule.optionalBool("truncate") ?? true,
                attentionFactor: try rule.optionalPositiveNumber("attention_factor") ?? magnitude)
            try noteScaling("yarn", factor: factor)
            note(.scaling("yarn_beta_fast"), .float32(Float(rule.betaFast)))
            note(.scaling("yarn_beta_slow"), .float32(Float(rule.betaSlow)))
            if whole != 0 { note(.scaling("yarn_log_multiplier"), .float32(Float(whole))) }
            let own = RopeScaling.Yarn.magnitude(factor) / RopeScaling.Yarn.magnitude(factor, whole)
            if rule.attentionFactor != own {
                note(.scaling("attn_factor"), .float32(Float(rule.attentionFactor / own)))
            }
            note(.scaling("original_context_length"), .uint32(UInt32(rule.originalPositions)))
            return .yarn(rule)
        case "longrope", "su":
            let original = try original()
            let given = try rule.optionalPositiveNumber("factor")
            let factor = given ?? Double(positions) / Double(original)
            let magnitude = RopeScaling.Long.magnitude(factor, originalPositions: original)
            let scaling = RopeScaling.Long(
                short: try rule.floats("short_factor"), long: try rule.floats("long_factor"),
                originalPositions: original,
                attentionFactor: try rule.optionalPositiveNumber("attention_factor") ?? magnitude)
            note(.scaling("attn_factor"), .float32(Float(scaling.attentionFactor)))
            note(.scaling("original_context_length"), .uint32(UInt32(original)))
            return .long(scaling)
        default:
            throw rule.wrong(
                key, expected: "\"default\", \"linear\", \"dynamic\", \"llama3\", \"yarn\" or \"longrope\"")
        }
    }

    private func scaling(_ file: GGUFFile, size: Int) throws(FileError) -> RopeScaling {
        func tensor(_ name: String) throws(FileError) -> [Float]? {
            guard let tensor = file[name] else { return nil }
            guard tensor.type == .f32 else {
                throw FileError(path, "'\(name)' is \(tensor.type.name), expected F32", tensor: name)
            }
            return try tensor.floats()
        }
        let key = name(.scaling("type"))
        notes.read.insert(key)
        let kind = try file.metadata.optionalString(key)
        let positions = try integer(.positions, in: ModelKey.Range.positions)
        // Files without a rule may have it, and those of some architectures do.
        notes.read.insert(name(.scaling("original_context_length")))
        func original() throws(FileError) -> Int {
            try integer(.scaling("original_context_length"), in: ModelKey.Range.positions, default: positions)
        }
        // Older files say it by a factor alone.
        let old = try optionalNumber(ModelKey(gguf: "rope.scale_linear"))
        if let divisors = try tensor("rope_freqs.weight") {
            guard kind ?? "none" == "none", old == nil else {
                throw FileError(
                    path, "'rope_freqs.weight' is beside '\(key)', expected F32 and no other scaling")
            }
            return .divisors(divisors)
        }
        if let long = try tensor("rope_factors_long.weight") {
            guard let short = try tensor("rope_factors_short.weight") else {
                throw FileError(path, "has 'rope_factors_long.weight' and no 'rope_factors_short.weight'")
            }
            _ = try optionalNumber(.scaling("factor"))
            let original = try original()
            let magnitude = RopeScaling.Long.magnitude(
                Double(positions) / Double(original), originalPositions: original)
            return .long(
                RopeScaling.Long(
                    short: short, long: long, originalPositions: original,
                    attentionFactor: try number(.scaling("attn_factor"), default: magnitude)))
        }
        switch kind {
        case "none": return .none
        case nil, "linear":
            let given = try optionalNumber(.scaling("factor"))
            guard let factor = given ?? old, factor != 1 else { return .none }
            return .linear(factor: factor)
        case "yarn":
            let factor = try number(.scaling("factor"))
            let whole = try optionalNumber(.scaling("yarn_log_multiplier"))
            let magnitude =
                try number(.scaling("attn_factor"), default: 1) * RopeScaling.Yarn.magnitude(factor)
                / (whole.map { RopeScaling.Yarn.magnitude(factor, $0) } ?? 1)
            let stated = try optionalNumber(.scaling("yarn_attn_factor"))
            return .yarn(
                RopeScaling.Yarn(
                    factor: factor, originalPositions: try original(),
                    betaFast: try number(.scaling("yarn_beta_fast"), default: 32),
                    betaSlow: try number(.scaling("yarn_beta_slow"), default: 1),
                    attentionFactor: stated ?? magnitude))
        default:
            throw file.metadata.wrong(
                key, expected: "\"none\", \"linear\", \"yarn\", or \"longrope\" with its tensors of factors")
        }
    }
}

extension ModelKey {
    fileprivate static func scaling(_ name: String) -> ModelKey {
        ModelKey(name, gguf: "rope.scaling.\(name)")
    }
}

extension JSONFields {
    fileprivate func floats(_ key: String) throws(FileError) -> [Float] {
        var numbers: [Float] = []
        for value in try array(key) {
            switch value {
            case .integer(let number): numbers.append(Float(number))
            case .double(let number): numbers.append(Float(number))
            default: throw wrong(key, holding: value, expected: "numbers")
            }
        }
        return numbers
    }
}
