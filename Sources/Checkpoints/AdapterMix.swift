// Several adapters as one: ΔW = Σ wᵢ·sᵢ·Bᵢ·Aᵢ is one product of the rank R = Σ Rᵢ, A = [w₁s₁A₁; w₂s₂A₂; …] (R, in) and
// B = [B₁ B₂ …] (out, R), with the scaling 1. That is exact, and what PEFT's add_weighted_adapter does with "cat".

package struct AdapterMix: Sendable, Equatable {
    package struct Term: Sendable, Equatable {
        package var path: String
        package var weight: Double
    }

    package var terms: [Term]

    /// `PATH[=WEIGHT],…`; what is there under the whole text is one path.
    package init(_ text: String) {
        func term(_ text: Substring) -> Term {
            let path = String(text)
            guard !FileSystem.exists(path), let sign = text.lastIndex(of: "="),
                let weight = Double(text[text.index(after: sign)...])
            else { return Term(path: path, weight: 1) }
            return Term(path: String(text[..<sign]), weight: weight)
        }
        terms =
            FileSystem.exists(text)
            ? [Term(path: text, weight: 1)]
            : text.split(separator: ",", omittingEmptySubsequences: false).map(term)
    }

    package func scaled(by factor: Double) -> AdapterMix {
        var mix = self
        for index in mix.terms.indices { mix.terms[index].weight *= factor }
        return mix
    }

    /// One adapter as it is.
    package var plainPath: String? {
        terms.count == 1 && terms[0].weight == 1 ? terms[0].path : nil
    }

    package var text: String {
        terms.map { $0.weight == 1 ? $0.path : "\($0.path)=\($0.weight)" }.joined(separator: ",")
    }
}

extension AdapterFiles {
    /// A mix as one adapter; one adapter of the weight 1 is that as it is, whatever its kind.
    package static func open(
        _ mix: AdapterMix, for base: Checkpoint, limits: LoadLimits = .standard
    ) throws(FileError) -> AdapterFiles {
        if let path = mix.plainPath { return try open(path, for: base, limits: limits) }
        return try mixed(mix, for: base, limits: limits)
    }

    /// The sum of a mix. Without a model all must be PEFT folders.
    package static func mixed(
        _ mix: AdapterMix, for base: Checkpoint?, limits: LoadLimits = .standard
    ) throws(FileError) -> AdapterFiles {
        var parts: [(AdapterFiles, Double)] = []
        for term in mix.terms {
            if let base {
                parts.append((try open(term.path, for: base, limits: limits).matched(to: base), term.weight))
            } else if FileSystem.isFile(term.path) {
                throw FileError(
                    term.path, "is a file, whose names are those of its model",
                    remedy: "name the model by --model, or a PEFT folder")
            } else {
                parts.append((try AdapterFiles(term.path, limits: limits), term.weight))
            }
        }
        return try mixed(parts)
    }

    /// Σ wᵢ·ΔWᵢ. The modules are those of any of them.
    package static func mixed(
        _ parts: [(files: AdapterFiles, weight: Double)]
    ) throws(FileError) -> AdapterFiles {
        guard let first = parts.first else { preconditionFailure("a mix of nothing") }
        for (files, weight) in parts { try files.checkMixable(weight) }
        var names: [String] = []
        var terms: [String: [(module: AdapterModule, factor: Double)]] = [:]
        for (files, weight) in parts {
            for module in files.modules {
                if terms[module.name] == nil { names.append(module.name) }
                terms[module.name, default: []].append((module, weight * module.scaling))
            }
        }
        let folder = parts.map(\.files.folder).joined(separator: ", ")
        let ranks = names.map { (terms[$0] ?? []).reduce(0) { $0 + $1.module.rank } }
        let rank = ranks.max() ?? 1
        guard PEFTConfig.ranks.contains(rank) else {
            throw FileError(
                folder, "have \(rank) ranks together, and at most \(PEFTConfig.ranks.upperBound) are read")
        }
        var config = PEFTConfig(
            rank: rank, alpha: Double(rank), targetModules: .names(names),
            baseModel: first.files.config.baseModel)
        config.taskType = first.files.config.taskType
        config.fanInFanOut = first.files.config.fanInFanOut
        var tensors: [StoredTensor] = []
        for (name, rank) in zip(names, ranks) {
            if rank != config.rank {
                let pattern = try ModulePattern(name, path: folder)
                config.rankPattern.append(.init(pattern, rank))
                config.alphaPattern.append(.init(pattern, Double(rank)))
            }
            tensors += try concatenated(name, terms[name] ?? [], folder)
        }
        return try AdapterFiles(folder, config, tensors: tensors)
    }

    private static func concatenated(
        _ name: String, _ terms: [(module: AdapterModule, factor: Double)], _ folder: String
    ) throws(FileError) -> [StoredTensor] {
        let (inputs, outputs) = (terms[0].module.loraA.columns, terms[0].module.loraB.rows)
        for (module, _) in terms where module.loraA.columns != inputs || module.loraB.rows != outputs {
            throw FileError(
                folder,
                "change '\(name.shortened)' as (\(outputs), \(inputs)) and as (\(module.loraB.rows), "
                    + "\(module.loraA.columns)): they belong to different models")
        }
        let rank = terms.reduce(0) { $0 + $1.module.rank }
        var a: [Float] = []
        var b = [Float](repeating: 0, count: outputs * rank)
        for (module, factor) in terms {
            let start = a.count / inputs
            a += try module.loraA.floats().map { Float(Double($0) * factor) }
            let own = try module.loraB.floats()
            for row in 0..<outputs {
                for column in 0..<module.rank {
                    b[row * rank + start + column] = own[row * module.rank + column]
                }
            }
        }
        return [
            try StoredTensor(key(name, .loraA), computedFrom: folder, rows: rank, columns: inputs, a),
            try StoredTensor(key(name, .loraB), computedFrom: folder, rows: outputs, columns: rank, b),
        ]
    }

    /// Only products of two matrices are summed and scaled exactly.
    private func checkMixable(_ weight: Double) throws(FileError) {
        func refused(_ what: String) -> FileError {
            FileError(
                folder, "\(what), and can be neither mixed with another adapter nor scaled",
                remedy: "use it alone with the weight 1, or merge it into the model (lora-vk merge)")
        }
        guard weight.isFinite else {
            throw FileError(folder, "has the weight \(weight) in a mix; it must be a finite number")
        }
        guard config.kind == .lora else { throw refused("is a \(config.kind.name) adapter") }
        guard !config.usesDoRA else { throw refused("is a DoRA adapter, which is no sum of products") }
        guard saved.isEmpty, score == nil, replaced.isEmpty, !modules.contains(where: \.isOfEmbedding) else {
            throw refused("changes the embedding or holds whole modules")
        }
    }

    /// Writes it as PEFT does.
    package func save(to folder: String) throws(FileError) {
        try Self.write(
            config, tensors.map { TensorSource($0) },
            metadata: metadata.isEmpty ? SafetensorsWriter.pytorch : metadata, to: folder)
    }
}
