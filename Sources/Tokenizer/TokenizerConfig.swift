// `tokenizer_config.json` and the files beside it: which tokens begin, end and pad a text, and the chat
// template.

import Checkpoints

package struct TokenizerConfig: Sendable {
    package var bosToken: String?
    package var eosToken: String?
    package var padToken: String?
    package var unknownToken: String?
    package var chatTemplate: String?
    /// `added_tokens_decoder`, by rising id.
    package var addedTokens: [AddedToken] = []
    /// Tokens that the files give a meaning: one token each where the vocabulary has them.
    package var namedTokens: [AddedToken] = []
    /// What `generation_config.json` asks for and `generate` does not do, a sentence each.
    package var generationWarnings: [String] = []
    /// What the file asks for and is not done, a sentence each.
    package var warnings: [String] = []
    /// Whether texts begin and end with a token, where this file decides it and not tokenizer.json.
    package var addsBOS: Bool?
    package var addsEOS: Bool?
    /// `eos_token_id` of `generation_config.json`, or of `config.json`.
    package var stopIDs: [Int32] = []

    package init() {}

    /// Of two files that name the same, the more special one counts: a file of its own for the template, what
    /// generation goes by before the model's config, the tokenizer's config before the map of special tokens.
    package init(_ files: Checkpoint.TokenizerFiles) throws(FileError) {
        self.init()
        if let path = files.tokenizerConfig { self = try TokenizerConfig(json: JSON.read(path), path: path) }
        if let path = files.specialTokensMap {
            let map = try TokenizerConfig(json: JSON.read(path), path: path)
            bosToken = bosToken ?? map.bosToken
            eosToken = eosToken ?? map.eosToken
            padToken = padToken ?? map.padToken
            unknownToken = unknownToken ?? map.unknownToken
            namedTokens += map.namedTokens
        }
        if let path = files.generationConfig { try readGeneration(JSONFields(JSON.read(path), path: path)) }
        for path in [files.generationConfig, files.modelConfig] where stopIDs.isEmpty {
            if let path { try addStops(JSONFields(JSON.read(path), path: path)) }
        }
        if let path = files.chatTemplate {
            let bytes = try FileSystem.contents(of: path, limit: 1 << 20)
            try ChatTemplate.checkSize(bytes.count, path)
            if let offset = bytes.withUnsafeBytes(firstInvalidUTF8) {
                throw FileError(path, at: .byte(offset), "the text is not valid UTF-8 here")
            }
            self.chatTemplate = String(decoding: bytes, as: UTF8.self)
        }
    }

    package init(json: JSON, path: String) throws(FileError) {
        let file = try JSONFields(json, path: path)
        bosToken = try TokenizerConfig.token("bos_token", file)
        eosToken = try TokenizerConfig.token("eos_token", file)
        padToken = try TokenizerConfig.token("pad_token", file)
        unknownToken = try TokenizerConfig.token("unk_token", file)
        chatTemplate = try template(file)
        try readAddedTokens(file)
        try readNamedTokens(file)
        if try file.optionalBool("split_special_tokens") ?? false {
            warnings.append(
                "\(path): 'split_special_tokens' is true, and special tokens are found in texts all the same")
        }
        if let name = try file.optionalString("tokenizer_class"), let adds = TokenizerConfig.addsBOS(name) {
            addsBOS = try file.optionalBool("add_bos_token") ?? adds
            addsEOS = try file.optionalBool("add_eos_token") ?? false
        }
    }

    /// The classes of transformers that replace the post-processor of tokenizer.json by what `add_bos_token` and
    /// `add_eos_token` say, and whether they add the first where nothing is said; nil for all others, which ignore both.
    private static func addsBOS(_ name: String) -> Bool? {
        switch name.hasSuffix("Fast") ? String(name.dropLast(4)) : name {
        case "LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "CohereTokenizer": true
        case "GPTNeoXTokenizer": false
        default: nil
        }
    }

    /// One id or several.
    package mutating func addStops(_ file: JSONFields) throws(FileError) {
        let key = "eos_token_id"
        guard let value = file[key] else { return }
        let values = if case .array(let values) = value { values } else { [value] }
        for value in values {
            guard case .integer(let number) = value, let id = Int32(exactly: number), id >= 0 else {
                throw file.wrong(key, expected: "a token id or several")
            }
            stopIDs.append(id)
        }
    }

    /// A token is written as its text or as an added token with its flags.
    private static func token(_ key: String, _ file: JSONFields) throws(FileError) -> String? {
        if case .object? = file[key] { return try file.fields(key).string("content") }
        return try file.optionalString(key)
    }

    private mutating func readAddedTokens(_ file: JSONFields) throws(FileError) {
        guard let tokens = try file.optionalFields("added_tokens_decoder") else { return }
        for key in tokens.object.keys {
            guard let id = Int32(key), 0..<Int32(Vocabulary.maximumCount) ~= id else {
                throw FileError(
                    file.path, "'added_tokens_decoder' names '\(key.shortened)', expected ids of tokens")
            }
            addedTokens.append(try AddedToken(tokens.fields(key), id: id))
        }
        addedTokens.sort { $0.id < $1.id }
    }

    /// Each is a text, or an object with flags; further ones are a list, or an object of them by name.
    private mutating func readNamedTokens(_ file: JSONFields) throws(FileError) {
        func token(_ value: JSON) throws(FileError) -> AddedToken? {
            switch value {
            case .string(let text): return AddedToken(id: 0, content: text, isSpecial: true)
            case .object:
                var token = try AddedToken(JSONFields(value, path: file.path), id: 0)
                token.isSpecial = true
                return token
            default: return nil
            }
        }
        var values = [
            "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
        ]
        .compactMap { file[$0] }
        for key in ["extra_special_tokens", "additional_special_tokens"] {
            switch file[key] {
            case .array(let more)?: values += more
            case .object(let more)?: values += more.members.map(\.value)
            default: break
            }
        }
        for value in values { if let token = try token(value) { namedTokens.append(token) } }
    }

    /// Keys that change what transformers generates, with the value that changes nothing; those of sampling are options.
    private mutating func readGeneration(_ file: JSONFields) throws(FileError) {
        let neutral: [(key: String, values: [JSON])] = [
            ("forced_bos_token_id", []), ("forced_eos_token_id", []), ("suppress_tokens", [.array([])]),
            ("begin_suppress_tokens", [.array([])]), ("bad_words_ids", [.array([])]), ("force_words_ids", []),
            ("sequence_bias", []), ("no_repeat_ngram_size", [.integer(0)]), ("min_length", [.integer(0)]),
            ("min_new_tokens", [.integer(0)]), ("stop_strings", []),
            ("guidance_scale", [.integer(1), .double(1)]),
            ("exponential_decay_length_penalty", []), ("num_beams", [.integer(1)]),
        ]
        for (key, values) in neutral {
            guard let value = file[key], !values.contains(value) else { continue }
            generationWarnings.append("\(file.path): '\(key)' is \(value.summary), which is not done here")
        }
    }

    /// One template, or several by name of which `default` is the one for chats.
    private mutating func template(_ file: JSONFields) throws(FileError) -> String? {
        guard case .array(let templates)? = file["chat_template"] else {
            return try file.optionalString("chat_template")
        }
        var found: String?
        var others: [String] = []
        for template in templates {
            let template = try JSONFields(template, path: file.path)
            let name = try template.string("name")
            if name == "default" {
                found = try template.string("template")
            } else {
                others.append("'\(name.shortened)'")
            }
        }
        if !others.isEmpty {
            warnings.append(
                "\(file.path): of its chat templates only 'default' is used, not \(others.joined(separator: ", "))"
            )
        }
        return found
    }
}
