// `tokenizer.json` of the Hugging Face library `tokenizers`: of its parts those that byte-pair models use. Any other
// part is refused by its name, because text would silently become other tokens.

import Checkpoints

extension Tokenizer {
    package convenience init(json: JSON, path: String, config: TokenizerConfig = TokenizerConfig())
        throws(FileError)
    {
        let file = try JSONFields(json, path: path)
        let preTokenizer = try PreTokenizerJSON(file)
        var added = try AddedTokensJSON(file)
        let encoder = try WordEncoder(
            file.fields("model"), alphabetIsBytes: preTokenizer.isByteLevel, added: added)
        added.add(config.addedTokens, to: encoder.vocabulary)
        added.add(
            config.namedTokens.filter { added.isWord($0, of: encoder.vocabulary) }, to: encoder.vocabulary)
        try added.check(against: encoder.vocabulary, path: path)
        let normalizers = try Normalizer.list(file)
        try AddedTokenMatcher.check(added.tokens, growth: normalizers.growth, path: path)
        let (prefix, suffix) = try PostProcessorJSON.surroundings(file)

        var parts = Parts(
            encoder: encoder, decoderStyle: try TokenDecoder.Style(file),
            normalizers: normalizers.steps,
            preTokenizer: preTokenizer.result, addedTokens: added.tokens, prefix: prefix, suffix: suffix,
            chatTemplate: config.chatTemplate)
        var warnings = config.warnings
        func id(_ token: String?) -> Int32? {
            guard let token else { return nil }
            let id = added.id(of: token) ?? encoder.vocabulary.id(of: token)
            if id == nil {
                warnings.append(
                    "\(path): '\(token.shortened)', which the tokenizer's config names as a special token, is no token of the vocabulary"
                )
            }
            return id
        }
        parts.specialIDs = SpecialIDs(
            bos: id(config.bosToken), eos: id(config.eosToken) ?? config.stopIDs.first,
            pad: id(config.padToken),
            unknown: id(config.unknownToken) ?? encoder.unknown)
        if let adds = config.addsBOS, let bos = parts.specialIDs.bos { parts.prefix = adds ? [bos] : [] }
        if let adds = config.addsEOS, let eos = parts.specialIDs.eos { parts.suffix = adds ? [eos] : [] }
        parts.specialIDs.stops = Set(config.stopIDs)
        if let eos = parts.specialIDs.eos { parts.specialIDs.stops.insert(eos) }
        (parts.warnings, parts.generationWarnings) = (warnings, config.generationWarnings)
        self.init(parts)
    }
}

extension JSONFields {
    func refusal(_ key: String, expected: String) -> FileError {
        wrong(key, expected: expected, remedy: "this part of a tokenizer is not supported")
    }

    /// The parts of a `Sequence` under this key, of those inside it too; or the one part that the key has. None for null.
    func steps(_ key: String, list: String) throws(FileError) -> [JSONFields] {
        guard let part = try optionalFields(key) else { return [] }
        return try part.flattened(list)
    }

    private func flattened(_ list: String) throws(FileError) -> [JSONFields] {
        guard try optionalString("type") == "Sequence" else { return [self] }
        var steps: [JSONFields] = []
        for step in try array(list) { steps += try JSONFields(step, path: path).flattened(list) }
        guard steps.count <= 32 else { throw wrong(list, expected: "at most 32 parts") }
        return steps
    }

    /// The regular expression that a `Replace` or `Split` looks for.
    func expression(_ pattern: String) throws(FileError) -> Expression {
        do {
            return try Expression(pattern)
        } catch {
            let shown = pattern.unicodeScalars.prefix(300).map(String.init).joined()
            throw FileError(
                path, "the regular expression \(shown) is not supported: \(error.reason)",
                remedy: "use a tokenizer whose pre-tokenizer is that of a known family")
        }
    }
}
