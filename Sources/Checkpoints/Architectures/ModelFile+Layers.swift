// The parts that most architectures share: heads, rotary embeddings, windows, special tokens, and the model around its blocks.

package struct HeadCounts: Sendable, Equatable {
    package var queries: Int  // H
    package var keys: Int  // KVH
    package var size: Int  // D

    package var queryWidth: Int { queries * size }
    package var keyWidth: Int { keys * size }
}

extension ModelFile {
    package func heads() throws(FileError) -> HeadCounts {
        let width = try integer(.width, in: ModelKey.Range.width)
        let heads = try integer(.heads, in: ModelKey.Range.heads)
        let keys: Int
        if let counts = try layerIntegers(.kvHeads) {
            // Layers that have none do not attend.
            let own = Set(counts.filter { $0 != 0 })
            guard own.count == 1, let count = own.first, 1...heads ~= count else {
                throw wrong(.kvHeads, expected: "one count of 1 to \(heads) heads")
            }
            keys = count
        } else {
            keys = try integer(.kvHeads, in: 1...heads, default: heads)
        }
        var size = try optionalInteger(.headSize, in: ModelKey.Range.width)
        if size == nil {
            guard width % heads == 0 else {
                throw FileError(
                    path,
                    "'\(name(.width))' \(width) is not a multiple of '\(name(.heads))' \(heads), "
                        + "and there is no '\(name(.headSize))'")
            }
            size = width / heads
            note(.headSize, .uint32(UInt32(width / heads)))
        }
        let headSize = size ?? 0
        let values = ModelKey("head_dim", gguf: "attention.value_length")
        if isGGUF, let other = try optionalInteger(values), other != headSize {
            throw wrong(values, expected: "the head size \(headSize)")
        }
        note(values, .uint32(UInt32(headSize)))
        return HeadCounts(queries: heads, keys: keys, size: headSize)
    }

    /// How many experts there are, how many of them a token uses, and their width.
    package func experts(
        hidden: ModelKey, default other: Int
    ) throws(FileError) -> (count: Int, used: Int, hidden: Int) {
        // Newer files call them local, and may have both names.
        let newer = try optionalInteger(ModelKey("num_local_experts"), in: 1...1024)
        let key = ModelKey("num_experts", gguf: "expert_count")
        let older = try integer(key, in: 1...1024, default: isGGUF ? nil : newer ?? other)
        let count = newer ?? older
        note(key, .uint32(UInt32(count)))
        let used = try integer(
            ModelKey("num_experts_per_tok", gguf: "expert_used_count"), in: 1...count,
            default: isGGUF ? nil : min(8, count))
        return (count, used, try integer(hidden, in: ModelKey.Range.width))
    }

    /// The window of each layer, nil where it looks back all the way. `slides` says which have one where the file does not.
    package func windows(_ slides: (Int) -> Bool) throws(FileError) -> [Int?] {
        let layers = try integer(.layers, in: ModelKey.Range.layers)
        let types = try slidingLayers()
        guard let window = try optionalInteger(.window, in: 0...Int.max), window > 0 else {
            return [Int?](repeating: nil, count: layers)
        }
        let pattern = types ?? (0..<layers).map(slides)
        guard pattern.count == layers else {
            throw FileError(
                path, "names the kinds of \(pattern.count) layers, and the model has \(layers)",
                remedy: "the file is damaged: copy or download it again")
        }
        note(
            ModelKey(gguf: "attention.sliding_window_pattern"), .array(.bool, pattern.map { .bool($0) }))
        return pattern.map { $0 ? window : nil }
    }

    /// config.json's kinds of layers; nil where it does not name them.
    package func layerTypes(among known: [String]) throws(FileError) -> [String]? {
        guard case .huggingFace(let fields, _) = source else { return nil }
        notes.read.insert("layer_types")
        guard let types = try fields.optionalStrings("layer_types") else { return nil }
        if let other = types.first(where: { !known.contains($0) }) {
            throw fields.wrong(
                "layer_types", holding: .string(other), expected: known.joined(separator: " and "))
        }
        return types
    }

    /// A number of GGUF's that each layer has its own of; nil where all have one.
    package func layerIntegers(_ key: ModelKey) throws(FileError) -> [Int]? {
        guard case .gguf(let file) = source, let name = readGGUF(key), case .array = file.metadata[name]
        else { return nil }
        return try file.metadata.optionalIntegers(name)
    }

    /// Which layers slide, as `layer_types` or GGUF's pattern says.
    private func slidingLayers() throws(FileError) -> [Bool]? {
        switch source {
        case .huggingFace:
            return try layerTypes(among: ["full_attention", "sliding_attention"])?
                .map { $0 == "sliding_attention" }
        case .gguf(let file):
            let name = self.name(ModelKey(gguf: "attention.sliding_window_pattern"))
            notes.read.insert(name)
            if case .array(let array) = file.metadata[name] {
                return array.values.map { $0 == .bool(true) || ($0.integer ?? 0) > 0 }
            }
            // Every so many layers the last one looks back all the way.
            guard let period = try file.metadata.optionalInteger(name, in: 0...10_000), period > 0 else {
                return nil
            }
            return (0..<(try integer(.layers, in: ModelKey.Range.layers))).map { $0 % period < period - 1 }
        }
    }

    /// The windows of models that have them only where `use_sliding_window` says so.
    package func optionalWindows(_ slides: (Int) -> Bool) throws(FileError) -> [Int?] {
        if try flag("use_sliding_window") { return try windows(slides) }
        notes.read.formUnion(["sliding_window", "layer_types"])
        return [Int?](repeating: nil, count: try integer(.layers, in: ModelKey.Range.layers))
    }

    /// The same of models whose first `max_window_layers` layers have none.
    package func optionalWindowsAbove() throws(FileError) -> [Int?] {
        let first = try integer(ModelKey("max_window_layers"), default: 28)
        return try optionalWindows { $0 >= first }
    }

    /// The model around its blocks: Llama's names, an embedding, a norm, a head.
    package func model(
        epsilon key: ModelKey = .rmsEpsilon, layers: String? = nil,
        _ block: (Layer) throws(FileError) -> [BranchSpec]
    ) throws(FileError) -> ModelSpec {
        let width = try integer(.width, in: ModelKey.Range.width)
        let epsilon = try number(key, default: isGGUF ? nil : 1e-6)
        let embedding = TensorName(prefix + "embed_tokens", gguf: "token_embd")
        let isTied = try tiesHead()
        var blocks: [[BranchSpec]] = []
        for index in 0..<(try integer(.layers, in: ModelKey.Range.layers)) {
            blocks.append(
                try block(Layer(index, layers ?? prefix + "layers.", width: width, epsilon: epsilon)))
        }
        return ModelSpec(
            modelType: architecture.modelTypes[0], gguf: architecture.gguf,
            vocabulary: try vocabulary(), width: width,
            positions: try integer(
                .positions, in: ModelKey.Range.positions, default: isGGUF ? nil : 2048),
            embedding: EmbeddingSpec(embedding), blocks: blocks,
            finalNorm: NormSpec(
                kind: .rms, name: TensorName(prefix + "norm", gguf: "output_norm"), size: width,
                epsilon: epsilon),
            head: HeadSpec(isTied ? nil : TensorName("lm_head", gguf: "output")),
            tokens: try tokens())
    }

    package func tiesHead() throws(FileError) -> Bool {
        switch source {
        case .gguf(let file): return file["output.weight"] == nil
        case .huggingFace(let fields, let outer):
            let key = "tie_word_embeddings"
            if let own = try fields.optionalBool(key) { return own }
            return try outer?.optionalBool(key) ?? false
        }
    }

    /// Where the names of the text model begin: inside a model of texts and images it has a place of its own.
    package var prefix: String {
        if case .huggingFace(_, _?) = source { "model.language_model." } else { "model." }
    }

    package func vocabulary() throws(FileError) -> Int {
        if case .gguf(let file) = source, file.metadata[name(.vocabulary)] == nil,
            let rows = file["token_embd.weight"]?.shape.first, ModelKey.Range.vocabulary ~= rows
        {
            return rows
        }
        return try integer(.vocabulary, in: ModelKey.Range.vocabulary)
    }

    /// What ends an answer, of chat models also a token of their own.
    package func tokens() throws(FileError) -> TokenIDs {
        switch source {
        case .huggingFace(let fields, let outer):
            func ids(_ key: String) throws(FileError) -> [Int] {
                let own = try fields.tokenIDs(key)
                if !own.isEmpty { return own }
                return try outer?.tokenIDs(key) ?? []
            }
            return TokenIDs(
                bos: try ids("bos_token_id").first, eos: try ids("eos_token_id"),
                pad: try ids("pad_token_id").first)
        case .gguf(let file):
            // One that is no token stands for none, as in llama.cpp; the tokenizer warns of it.
            let ids = 0..<(try vocabulary())
            func id(_ name: String) throws(FileError) -> Int? {
                try file.metadata.optionalInteger("tokenizer.ggml.\(name)_token_id").flatMap {
                    ids ~= $0 ? $0 : nil
                }
            }
            var eos: [Int] = []
            for name in ["eos", "eot"] {
                if let id = try id(name), !eos.contains(id) { eos.append(id) }
            }
            return TokenIDs(bos: try id("bos"), eos: eos, pad: try id("padding"))
        }
    }
}

extension JSONFields {
    /// One id or a list of them; −1 stands for none in old files.
    fileprivate func tokenIDs(_ key: String) throws(FileError) -> [Int] {
        guard case .array(let values) = self[key] else {
            return [try optionalInteger(key, in: -1...Int.max)].compactMap { $0 }.filter { $0 >= 0 }
        }
        var ids: [Int] = []
        for value in values {
            guard case .integer(let id) = value else {
                throw wrong(key, holding: value, expected: "token ids")
            }
            ids.append(id)
        }
        return ids
    }
}
