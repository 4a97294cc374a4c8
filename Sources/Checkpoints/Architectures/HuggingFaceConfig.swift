// config.json of a model in a GGUF file: its keys by their other names, and what follows from the model's description. Of the
// architectures that GGUF has under one name the first that computes the same is taken; a file that none can say is refused.

extension Checkpoint {
    /// The config, and the model as a Hugging Face folder with it is described.
    package func huggingFaceConfig(storedAs type: StorageType) throws(FileError) -> (JSON.Object, ModelSpec) {
        let file = try ModelFile(gguf: GGUFFile(path))
        _ = try file.spec
        var reason = "no architecture of this name is known"
        for architecture in Architectures.all where architecture.gguf == spec.gguf {
            for namesLayers in [false, true] {
                var config = file.config(named: architecture)
                config.describe(spec, as: architecture, type, namesLayers: namesLayers)
                architecture.complete(&config, of: spec)
                do throws(FileError) {
                    let twin = try ModelSpec(huggingFace: JSONFields(config, path: "config.json"))
                    guard let difference = twin.difference(from: spec) else { return (config, twin) }
                    reason = "in \(architecture.name)'s \(difference)"
                } catch { reason = "\(error)" }
            }
        }
        throw FileError(
            path, "computes what no config.json says: \(reason)",
            remedy: "keep the GGUF file; lora-vk trains and runs it as it is")
    }
}

extension JSON.Object {
    /// What all families say alike. `namesLayers`: as newer ones do, what kind each layer is of.
    fileprivate mutating func describe(
        _ model: ModelSpec, as architecture: any Architecture, _ type: StorageType, namesLayers: Bool
    ) {
        let names: [StorageType: String] = [.f32: "float32", .f16: "float16", .bf16: "bfloat16"]
        func key(_ name: String) -> String { architecture.keys[name] ?? name }
        self["architectures"] = .array([.string(architecture.className)])
        self["model_type"] = .string(architecture.name)
        self["torch_dtype"] = names[type].map { .string($0) }
        self[key("vocab_size")] = .integer(model.vocabulary)
        self["tie_word_embeddings"] = .bool(model.head.isTied)
        self["bos_token_id"] = model.tokens.bos.map { .integer($0) } ?? .null
        self["eos_token_id"] =
            model.tokens.eos.count > 1
            ? .array(model.tokens.eos.map { .integer($0) })
            : model.tokens.eos.first.map { .integer($0) } ?? .null
        self["pad_token_id"] = model.tokens.pad.map { .integer($0) } ?? .null
        for (flag, part) in [("attention_bias", "self_attn.o_proj"), ("mlp_bias", "mlp.up_proj")] {
            let layers = model.linears.filter { $0.name.huggingFace.hasSuffix(part) }
            if layers.contains(where: \.hasBias) { self[flag] = .bool(true) }
        }
        describeLayers(model, named: namesLayers)
        describeRope(model)
    }

    private mutating func describeLayers(_ model: ModelSpec, named: Bool) {
        let windows = Set(model.attentions.map(\.window))
        if windows == [nil] { self["sliding_window"] = .null }
        let attends = model.blocks.map { block in
            block.lazy.compactMap { branch -> AttentionSpec? in
                if case .attention(let attention) = branch.mixer { attention } else { nil }
            }.first
        }
        guard named, windows.count > 1 || attends.contains(where: { $0 == nil }) else { return }
        self["layer_types"] = .array(
            attends.map { attention in
                guard let attention else { return .string("conv") }
                return .string(attention.window == nil ? "full_attention" : "sliding_attention")
            })
    }

    private mutating func describeRope(_ model: ModelSpec) {
        let ropes = model.attentions.filter { $0.rope != nil }
        // That of layers with a window, where they differ, is the family's business.
        guard let attention = ropes.first(where: { $0.window == nil }) ?? ropes.first,
            let rope = attention.rope
        else { return }
        self["rope_theta"] = .double(rope.base)
        if rope.size < attention.headSize {
            self["partial_rotary_factor"] = .double(Double(rope.size) / Double(attention.headSize))
        }
        guard var rule = rope.scaling.config(of: rope) else { return }
        if case .long(let long) = rope.scaling {
            self["original_max_position_embeddings"] = .integer(long.originalPositions)
        }
        guard let growth = rope.queryGrowth else { return self["rope_scaling"] = .object(rule) }
        rule["rope_theta"] = .double(rope.base)
        rule["llama_4_scaling_beta"] = .double(growth.beta)
        rule["original_max_position_embeddings"] = .integer(growth.positions)
        self["rope_parameters"] = .object(rule)
    }

    /// Of families whose scores have a scale of their own: √(1/s).
    package mutating func setQueryScale(of model: ModelSpec) {
        guard let scale = model.attentions.first?.scale else { return }
        let scalar = 1 / (scale * scale)
        let whole = scalar.rounded()
        self["query_pre_attn_scalar"] =
            abs(scalar - whole) < 1e-4 * scalar ? .integer(Int(whole)) : .double(scalar)
    }
}

extension RopeScaling {
    /// nil where nothing is scaled.
    fileprivate func config(of rope: RopeSpec) -> JSON.Object? {
        func numbers(_ values: [Float]) -> JSON { .array(values.map { .double(Double($0)) }) }
        switch self {
        case .none: return nil
        case .linear(let factor): return ["rope_type": .string("linear"), "factor": .double(factor)]
        case .yarn(let rule):
            return [
                "rope_type": .string("yarn"), "factor": .double(rule.factor),
                "original_max_position_embeddings": .integer(rule.originalPositions),
                "beta_fast": .double(rule.betaFast), "beta_slow": .double(rule.betaSlow),
                "attention_factor": .double(rule.attentionFactor),
            ]
        case .long(let rule):
            return [
                "rope_type": .string("longrope"), "short_factor": numbers(rule.short),
                "long_factor": numbers(rule.long), "attention_factor": .double(rule.attentionFactor),
            ]
        case .divisors(let divisors): return RopeScaling.llama3(ofDivisors: divisors, rope)?.llama3Config
        case .llama3: return llama3Config
        }
    }

    private var llama3Config: JSON.Object? {
        guard case .llama3(let factor, let low, let high, let positions) = self else { return nil }
        return [
            "rope_type": .string("llama3"), "factor": .double(factor), "low_freq_factor": .double(low),
            "high_freq_factor": .double(high), "original_max_position_embeddings": .integer(positions),
        ]
    }

    /// The rule that divides so: GGUF holds what it gives. Low and high factors are 1 and 4 in all models that are known.
    private static func llama3(ofDivisors divisors: [Float], _ rope: RopeSpec) -> RopeScaling? {
        let wanted = rope.inverseFrequencies()
        let candidates = (4...20).map { power in
            RopeScaling.llama3(
                factor: Double(divisors.max() ?? 1), lowFrequencyFactor: 1, highFrequencyFactor: 4,
                originalMaxPositions: 1 << power)
        }
        return candidates.first { candidate in
            zip(candidate.inverseFrequencies(theta: rope.base, size: rope.size), wanted).allSatisfy {
                abs($0 - $1) <= 1e-5 * $1
            }
        }
    }
}
