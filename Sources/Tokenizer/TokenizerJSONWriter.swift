// The tokenizer of a GGUF file as a Hugging Face folder has it: tokenizer.json and tokenizer_config.json. What is written is read again
// and must give the same tokens.

import Checkpoints

extension Tokenizer {
    /// Names and contents of the files.
    package static func huggingFaceFiles(
        of model: Checkpoint
    ) throws(FileError) -> [(name: String, content: JSON)] {
        let tokenizer = try load(for: model)
        let writer = TokenizerJSONWriter(tokenizer)
        let (json, config) = (JSON.object(writer.tokenizer), JSON.object(writer.config))
        var read = try TokenizerConfig(json: config, path: "tokenizer_config.json")
        read.stopIDs = tokenizer.specialIDs.stops.sorted()
        try tokenizer.check(
            Tokenizer(json: json, path: "tokenizer.json", config: read), of: "a tokenizer.json", model.path)
        var generation: JSON.Object = ["_from_model_config": .bool(true)]
        if let bos = tokenizer.specialIDs.bos { generation["bos_token_id"] = .integer(Int(bos)) }
        generation["eos_token_id"] = .array(read.stopIDs.map { .integer(Int($0)) })
        return [
            ("tokenizer.json", json), ("tokenizer_config.json", config),
            ("generation_config.json", .object(generation)),
        ]
    }
}

private struct TokenizerJSONWriter {
    private let source: Tokenizer
    private var parts: Tokenizer.Parts { source.parts }
    private var isByteLevel: Bool { parts.encoder.alphabet == .bytes }

    init(_ source: Tokenizer) { self.source = source }

    var tokenizer: JSON.Object {
        [
            "version": .string("1.0"), "truncation": .null, "padding": .null,
            "added_tokens": .array(source.addedTokens.sorted { $0.id < $1.id }.map(added)),
            "normalizer": sequence(parts.normalizers.map(normalizer), "normalizers"),
            "pre_tokenizer": preTokenizer, "post_processor": postProcessor, "decoder": decoder,
            "model": model,
        ]
    }

    var config: JSON.Object {
        var config: JSON.Object = [
            "tokenizer_class": .string("PreTrainedTokenizerFast"),
            "clean_up_tokenization_spaces": .bool(false),
        ]
        let ids = source.specialIDs
        for case (let name, let id?) in [
            ("bos", ids.bos), ("eos", ids.eos), ("unk", ids.unknown), ("pad", ids.pad),
        ] { if let text = text(id) { config["\(name)_token"] = .string(text) } }
        if let template = source.chatTemplate { config["chat_template"] = .string(template) }
        return config
    }

    private func text(_ id: Int32) -> String? { parts.encoder.vocabulary.text(of: Int(id)) }

    private func added(_ token: AddedToken) -> JSON {
        .object([
            "id": .integer(Int(token.id)), "content": .string(token.content),
            "single_word": .bool(token.singleWord), "lstrip": .bool(token.stripsLeft),
            "rstrip": .bool(token.stripsRight), "normalized": .bool(token.isNormalized),
            "special": .bool(token.isSpecial),
        ])
    }

    private func sequence(_ steps: [JSON], _ list: String) -> JSON {
        switch steps.count {
        case 0: .null
        case 1: steps[0]
        default: .object(["type": .string("Sequence"), list: .array(steps)])
        }
    }

    private func normalizer(_ step: Normalizer) -> JSON {
        func text(_ bytes: [UInt8]) -> JSON { .string(String(decoding: bytes, as: UTF8.self)) }
        return switch step {
        case .nfc: .object(["type": .string("NFC")])
        case .prepend(let prefix): .object(["type": .string("Prepend"), "prepend": text(prefix)])
        case .replace(let pattern, let content):
            .object([
                "type": .string("Replace"), "pattern": .object(["String": text(pattern)]),
                "content": text(content),
            ])
        // A GGUF file's tokenizer has no others.
        default: .null
        }
    }

    private var preTokenizer: JSON {
        guard isByteLevel else { return .null }
        var (steps, prepends): ([JSON], Bool) = ([], false)
        for step in parts.preTokenizer.steps {
            switch step {
            case .change: prepends = true
            case .bert: break  // WordPiece's, which no GGUF file here has
            case .split(let splitter):
                steps.append(
                    .object([
                        "type": .string("Split"),
                        "pattern": .object(["Regex": .string(splitter.expression.pattern)]),
                        "behavior": .string(splitter.behavior.rawValue), "invert": .bool(false),
                    ]))
            }
        }
        return sequence(steps + [byteLevel(addsSpace: prepends)], "pretokenizers")
    }

    private func byteLevel(addsSpace: Bool) -> JSON {
        .object([
            "type": .string("ByteLevel"), "add_prefix_space": .bool(addsSpace), "trim_offsets": .bool(true),
            "use_regex": .bool(false),
        ])
    }

    private var postProcessor: JSON {
        if source.prefix.isEmpty, source.suffix.isEmpty {
            return isByteLevel ? byteLevel(addsSpace: false) : .null
        }
        func token(_ id: Int32, _ sequence: Int) -> JSON {
            .object(["SpecialToken": .object(["id": .string(text(id) ?? ""), "type_id": .integer(sequence)])])
        }
        func around(_ name: String, _ sequence: Int) -> [JSON] {
            let text: JSON = .object([
                "Sequence": .object(["id": .string(name), "type_id": .integer(sequence)])
            ])
            return source.prefix.map { token($0, sequence) } + [text]
                + source.suffix.map { token($0, sequence) }
        }
        var tokens = JSON.Object()
        for id in source.prefix + source.suffix {
            let name = text(id) ?? ""
            tokens[name] = .object([
                "id": .string(name), "ids": .array([.integer(Int(id))]), "tokens": .array([.string(name)]),
            ])
        }
        return .object([
            "type": .string("TemplateProcessing"), "single": .array(around("A", 0)),
            "pair": .array(around("A", 0) + around("B", 1)), "special_tokens": .object(tokens),
        ])
    }

    private var decoder: JSON {
        if isByteLevel { return byteLevel(addsSpace: true) }
        var steps: [JSON] = [
            .object([
                "type": .string("Replace"), "pattern": .object(["String": .string("▁")]),
                "content": .string(" "),
            ]),
            .object(["type": .string("ByteFallback")]), .object(["type": .string("Fuse")]),
        ]
        if parts.normalizers.contains(.prepend(Array("▁".utf8))) {
            steps.append(
                .object([
                    "type": .string("Strip"), "content": .string(" "), "start": .integer(1),
                    "stop": .integer(0),
                ]))
        }
        return .object(["type": .string("Sequence"), "decoders": .array(steps)])
    }

    private var model: JSON {
        let vocabulary = parts.encoder.vocabulary
        var vocab = JSON.Object()
        for id in 0..<vocabulary.count {
            if let text = vocabulary.text(of: id) { vocab[text] = .integer(id) }
        }
        var merges: [(rank: Int32, left: Int32, right: Int32)] = []
        parts.encoder.merges.forEachPair { merges.append(($2, $0, $1)) }
        merges.sort { ($0.rank, $0.left, $0.right) < ($1.rank, $1.left, $1.right) }
        return .object([
            "type": .string("BPE"), "dropout": .null,
            "unk_token": parts.encoder.unknown.flatMap(text).map { .string($0) } ?? .null,
            "continuing_subword_prefix": .null, "end_of_word_suffix": .null,
            "fuse_unk": .bool(parts.encoder.fusesUnknown), "byte_fallback": .bool(!isByteLevel),
            "ignore_merges": .bool(parts.encoder.ignoresMerges), "vocab": .object(vocab),
            "merges": .array(
                merges.map { .array([.string(text($0.left) ?? ""), .string(text($0.right) ?? "")]) }),
        ])
    }
}
