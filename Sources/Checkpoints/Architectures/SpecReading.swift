// From a file to a spec: which architecture it is of, and where the text model's keys are.

extension ModelSpec {
    /// From config.json.
    package init(huggingFace fields: JSONFields) throws(FileError) {
        self = try ModelFile(huggingFace: fields).spec
    }

    package init(gguf file: GGUFFile) throws(FileError) { self = try ModelFile(gguf: file).spec }
}

extension ModelFile {
    package var spec: ModelSpec { get throws(FileError) { try architecture.spec(self) } }

    package init(huggingFace fields: JSONFields) throws(FileError) {
        if fields["peft_type"] != nil {
            throw FileError(
                fields.path, "is the configuration of an adapter, not of a model",
                remedy: "name the base model's folder")
        }
        let modelType = try fields.string("model_type")
        if let architecture = Architectures.named(modelType) {
            self.init(.huggingFace(fields, outer: nil), fields.path, as: architecture)
            return
        }
        // A model of texts and images: its text model is one of those that are known.
        guard let text = try fields.optionalFields("text_config"),
            let architecture = Architectures.named(try text.string("model_type"))
        else { throw fields.wrong("model_type", expected: Architectures.expectation).unsupported() }
        self.init(.huggingFace(text, outer: fields), fields.path, as: architecture)
    }

    package init(gguf file: GGUFFile) throws(FileError) {
        let metadata = file.metadata
        if let kind = try metadata.optionalString("general.type"), kind != "model" {
            throw metadata.wrong("general.type", expected: "\"model\"")
        }
        guard let name = try metadata.optionalString("general.architecture"),
            let architecture = Architectures.gguf(name)
        else {
            throw metadata.wrong("general.architecture", expected: Architectures.expectationGGUF)
                .unsupported()
        }
        if let parts = try metadata.optionalInteger("split.count"), parts > 1 {
            throw metadata.wrong(
                "split.count", expected: "1: only whole GGUF files can be read", remedy: "merge its parts")
        }
        self.init(.gguf(file), file.path, as: architecture)
    }
}

extension ModelSpec {
    /// Holds for every spec, whatever file it came from.
    func validate(_ path: String) throws(FileError) {
        func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(FileError) {
            if !condition { throw FileError(path, message()) }
        }
        for attention in attentions {
            let (heads, kvHeads, size) = (attention.heads, attention.kvHeads, attention.headSize)
            try require(
                heads % kvHeads == 0, "\(heads) attention heads cannot share \(kvHeads) key/value heads")
            try require(
                size % 2 == 0 && (attention.rope?.size ?? 0) % 2 == 0,
                "a head of \(attention.rope?.size ?? size) numbers has no rotary pairs, it must be even")
            if let rope = attention.rope { try rope.scaling.validate(size: rope.size, path) }
        }
        for matrix in experts.flatMap({ [$0.gate, $0.up, $0.down] }) {
            guard case .rows(let joined, _, _) = matrix.stored, joined.layout == .mxfp4 else { continue }
            try require(
                matrix.inFeatures % 32 == 0,
                "'\(joined.blocksName)' has rows of \(matrix.inFeatures) numbers, and MXFP4 has blocks of 32")
        }
        for norm in [embedding.norm, finalNorm] + branches.flatMap({ [$0.before, $0.after, $0.sum] }) {
            let epsilon = norm?.epsilon ?? 0
            try require(epsilon < 1, "the epsilon \(epsilon) of the norms is not below 1")
        }
        for (name, ids) in [
            ("bos", [tokens.bos].compactMap { $0 }), ("eos", tokens.eos),
            ("pad", [tokens.pad].compactMap { $0 }),
        ] {
            for id in ids {
                try require(
                    0 <= id && id < vocabulary,
                    "the \(name) token id \(id) is not one of the \(vocabulary) tokens of the vocabulary")
            }
        }
    }
}

extension Checkpoint {
    /// What the config of a Hugging Face folder says, read again with what GGUF would say of it.
    package func modelFile() throws(FileError) -> ModelFile {
        let path = "\(self.path)/config.json"
        let file = try ModelFile(huggingFace: JSONFields(JSON.read(path), path: path))
        _ = try file.spec
        return file
    }
}
