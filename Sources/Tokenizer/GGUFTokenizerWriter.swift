// A tokenizer of a Hugging Face folder as GGUF's keys tokenizer.ggml.*. GGUF knows rules that cut texts by name only, and merges of
// SentencePiece by scores: what is written is read again, and refused unless both give the same tokens for a text of everything.

import Checkpoints

extension Tokenizer {
    /// The keys of a model's tokenizer; those of a GGUF file as they are.
    package static func ggufMetadata(of model: Checkpoint) throws(FileError) -> GGUFMetadata {
        switch try model.tokenizerSource() {
        case .gguf(let metadata):
            var own = GGUFMetadata(path: metadata.path)
            for entry in metadata.entries where entry.key.hasPrefix("tokenizer.") {
                own.set(entry.key, entry.value)
            }
            return own
        case .huggingFace(let files):
            return try GGUFTokenizerWriter(
                load(for: model), JSONFields(JSON.read(files.tokenizer), path: files.tokenizer),
                embeddings: model.spec.vocabulary, gguf: model.spec.gguf ?? ""
            ).metadata()
        }
    }
}

private struct GGUFTokenizerWriter {
    private let tokenizer: Tokenizer
    private let file: JSONFields
    private let embeddings: Int
    private let gguf: String

    init(_ tokenizer: Tokenizer, _ file: JSONFields, embeddings: Int, gguf: String) {
        (self.tokenizer, self.file, self.embeddings, self.gguf) = (tokenizer, file, embeddings, gguf)
    }

    func metadata() throws(FileError) -> GGUFMetadata {
        var metadata = GGUFMetadata(path: file.path)
        // What a reader of the tokenizer goes by beside its own keys.
        metadata.set("general.architecture", .string(gguf))
        let isByteLevel = tokenizer.parts.encoder.alphabet == .bytes
        metadata.set("tokenizer.ggml.model", .string(isByteLevel ? "gpt2" : "llama"))
        addTokens(to: &metadata)
        if isByteLevel { try addMerges(to: &metadata) } else { try addScores(to: &metadata) }
        try addSpecialTokens(to: &metadata)
        let prepends =
            tokenizer.parts.normalizers.contains { if case .prepend = $0 { true } else { false } }
            || tokenizer.parts.preTokenizer.steps.contains {
                if case .change(.prependOnce) = $0 { true } else { false }
            }
        if prepends || !isByteLevel { metadata.set("tokenizer.ggml.add_space_prefix", .bool(prepends)) }
        if let template = tokenizer.chatTemplate {
            metadata.set("tokenizer.chat_template", .string(template))
        }
        try tokenizer.check(Tokenizer(gguf: metadata), of: "a GGUF file", file.path)
        return metadata
    }

    private enum Kind: Int32 { case normal = 1, unknown, control, userDefined, unused, byte }

    private func addTokens(to metadata: inout GGUFMetadata) {
        let vocabulary = tokenizer.parts.encoder.vocabulary
        let added = Dictionary(first: tokenizer.addedTokens.map { (Int($0.id), $0) })
        var texts: [GGUFValue] = []
        var kinds: [GGUFValue] = []
        for id in 0..<embeddings {
            let (text, kind) = token(id, added[id], vocabulary)
            texts.append(.string(text))
            kinds.append(.int32(kind.rawValue))
        }
        metadata.set("tokenizer.ggml.tokens", .array(.string, texts))
        metadata.set("tokenizer.ggml.token_type", .array(.int32, kinds))
    }

    private func token(_ id: Int, _ added: AddedToken?, _ vocabulary: Vocabulary) -> (String, Kind) {
        let isByteLevel = tokenizer.parts.encoder.alphabet == .bytes
        if let added {
            if !isByteLevel, tokenizer.specialIDs.unknown == added.id { return (added.content, .unknown) }
            if added.isSpecial || Self.looksSpecial(added.content) { return (added.content, .control) }
            return (added.content, .userDefined)
        }
        guard let text = vocabulary.text(of: id) else { return ("[PAD\(id)]", .unused) }
        if isByteLevel { return (text, .normal) }
        if tokenizer.specialIDs.unknown == Int32(id) { return (text, .unknown) }
        return (text, ByteToken.byte(of: Array(text.utf8)[...]) == nil ? .normal : .byte)
    }

    /// Some models' files do not say of their control tokens that they are special.
    private static func looksSpecial(_ text: String) -> Bool {
        ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(text)
            || [("<|", "|>"), ("<｜", "｜>"), ("<unused", ">")].contains {
                text.hasPrefix($0.0) && text.hasSuffix($0.1)
            }
    }

    // MARK: Merges

    private func merges() throws(FileError) -> [(left: String, right: String)] {
        var merges: [(String, String)] = []
        for (rank, merge) in try file.fields("model").array("merges").enumerated() {
            guard let pair = WordEncoder.pair(merge) else {
                throw FileError(file.path, "merge \(rank) is \(merge.summary), expected two tokens")
            }
            merges.append(pair)
        }
        return merges
    }

    private func addMerges(to metadata: inout GGUFMetadata) throws(FileError) {
        let name = try preTokenizer()
        metadata.set("tokenizer.ggml.pre", .string(name))
        let lines = try merges().map { pair in
            let parts = [pair.left, pair.right].map { part in
                String(String.UnicodeScalarView(part.unicodeScalars.map { $0 == " " ? "Ġ" : $0 }))
            }
            return GGUFValue.string(parts.joined(separator: " "))
        }
        metadata.set("tokenizer.ggml.merges", .array(.string, lines))
    }

    /// The piece of the highest score is joined first: a token's score is the rank of the first merge that makes it, below zero.
    private func addScores(to metadata: inout GGUFMetadata) throws(FileError) {
        var ranks: [ExactString: Int] = [:]
        for (rank, pair) in try merges().enumerated() {
            let text = ExactString(pair.left + pair.right)
            if ranks[text] == nil { ranks[text] = rank }
        }
        let vocabulary = tokenizer.parts.encoder.vocabulary
        let scores = (0..<embeddings).map { id in
            let rank = vocabulary.text(of: id).flatMap { ranks[ExactString($0)] }
            return GGUFValue.float32(rank.map { -Float($0) } ?? -Float(ranks.count))
        }
        metadata.set("tokenizer.ggml.pre", .string("default"))
        metadata.set("tokenizer.ggml.scores", .array(.float32, scores))
    }

    /// GGUF's name of the rules that cut the probe as this tokenizer does.
    private func preTokenizer() throws(FileError) -> String {
        let wanted = Self.words(tokenizer.parts.normalizers, tokenizer.parts.preTokenizer)
        let ignoresMerges = tokenizer.parts.encoder.ignoresMerges
        // llama.cpp's own default is for files that name none.
        let known = GGUFPreTokenizer.all.filter { $0.names != ["default"] }
            .filter { Self.words($0.normalizers, PreTokenizer(splitting: $0.expressions)) == wanted }
        if let same = known.first(where: { $0.ignoresMerges == ignoresMerges }) ?? known.first {
            return same.names[0]
        }
        throw FileError(
            file.path, "cuts texts into words by rules that GGUF has no name for",
            remedy: "keep the Hugging Face folder; lora-vk trains and runs it as it is")
    }

    private static func words(_ normalizers: [Normalizer], _ preTokenizer: PreTokenizer) -> [[UInt8]] {
        var text = Array(Tokenizer.probe.utf8)
        for normalizer in normalizers { normalizer.apply(to: &text, isFirst: true) }
        var words: [[UInt8]] = []
        preTokenizer.words(text, isFirst: false) { words.append(Array($0)) }
        return words
    }

    // MARK: Special tokens

    private func addSpecialTokens(to metadata: inout GGUFMetadata) throws(FileError) {
        let ids = tokenizer.specialIDs
        let named = [("bos", ids.bos), ("eos", ids.eos), ("unknown", ids.unknown), ("padding", ids.pad)]
        for case (let name, let id?) in named {
            metadata.set("tokenizer.ggml.\(name)_token_id", .uint32(UInt32(id)))
        }
        if let other = ids.stops.subtracting([ids.eos].compactMap(\.self)).min() {
            metadata.set("tokenizer.ggml.eot_token_id", .uint32(UInt32(other)))
        }
        for (name, around, id) in [("bos", tokenizer.prefix, ids.bos), ("eos", tokenizer.suffix, ids.eos)] {
            guard around.isEmpty || around == [id] else {
                throw FileError(
                    file.path,
                    "puts \(around.count) tokens around each text, and GGUF can say of \(name) only whether it is there"
                )
            }
            metadata.set("tokenizer.ggml.add_\(name)_token", .bool(!around.isEmpty))
        }
    }
}

extension Tokenizer {
    /// Throws where a tokenizer that was written of this one gives other tokens.
    func check(_ twin: Tokenizer, of what: String, _ path: String) throws(FileError) {
        let vocabulary = parts.encoder.vocabulary
        let some = stride(from: 0, to: vocabulary.count, by: max(1, vocabulary.count / 2000))
        let ids = some.map { Int32($0) }.filter { vocabulary.text(of: Int($0)) != nil }
        for text in [Tokenizer.probe, decode(ids, skipSpecialTokens: false)]
        where encode(text) != twin.encode(text) {
            throw FileError(
                path, "has a tokenizer that \(what) cannot say: it would give other tokens",
                remedy: "keep the model as it is; lora-vk trains and runs it so")
        }
    }

    /// What rules differ in: contractions, cases, digits, marks, scripts, signs and white space.
    fileprivate static let probe = """
        I've we'll THEY'RE don't 'tis 'Twas it's, HelloWorld helloWORLD McDonald's iPhone15Pro x86_64 v2.0.1
        1 22 333 4444 55555 1234567890 3.14159 1,000,000 ½ ⅷ ² ١٢٣ १२३  two  spaces   three\ttab \t mixed
        cafe\u{301} caf\u{e9} nai\u{308}ve Ångström \u{212b} İstanbul ǅ ʰ naïve—dash…dots “quotes” ‘single’ $5 €6 <tag/> a=b+c*d/e%f^g|h~i
        Русский текст Ελληνικά עברית العربية हिन्दी ไทยภาษา 中文字符，测试。日本語テスト カタカナ 한국어 ខ្មែរ 😀👍🏽👨‍👩‍👧 ...!!!??? ((())) [[x]] {y} #tag @user
        https://example.com/path?q=1&r=2#frag  foo_bar-baz/qux\\n "json": {"a": [1, 2]}, `code` ```block``` '''


            indented code:
        \r\nwindows\r\n\r\nlines \u{a0}nbsp\u{2003}em  end  
        """
}
