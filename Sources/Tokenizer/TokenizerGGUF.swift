// The tokenizer inside a GGUF file: `gpt2` is byte-level BPE with merges, `llama` is SentencePiece's BPE, whose merges
// follow from the scores of the pieces. Reference: the GGUF specification of ggml, keys tokenizer.ggml.*

import Checkpoints

extension Tokenizer {
    /// Reads what a checkpoint says about its tokenizer.
    package static func load(_ source: Checkpoint.TokenizerSource) throws(FileError) -> Tokenizer {
        switch source {
        case .gguf(let metadata): return try Tokenizer(gguf: metadata)
        case .huggingFace(let files):
            return try Tokenizer(
                json: JSON.read(files.tokenizer), path: files.tokenizer, config: TokenizerConfig(files))
        }
    }

    package convenience init(gguf metadata: GGUFMetadata) throws(FileError) {
        let file = GGUFTokenizer(metadata)
        switch try metadata.optionalString("tokenizer.ggml.model") {
        case "gpt2": self.init(try file.byteLevel())
        case "llama": self.init(try file.sentencePiece())
        default:
            throw metadata.wrong(
                "tokenizer.ggml.model", expected: "\"gpt2\" or \"llama\"",
                remedy: "other tokenizers are not supported")
        }
    }
}

private struct GGUFTokenizer {
    /// `tokenizer.ggml.token_type`.
    private enum Kind: Int {
        /// Not said: llama.cpp takes such tokens as they come.
        case undefined
        case normal
        case unknown, control, userDefined, unused, byte
    }

    /// A longer piece of SentencePiece is refused: its merges take time by the square of its length.
    private static let maximumPieceBytes = 256
    private static let maximumSquares = 1 << 28

    private let metadata: GGUFMetadata

    init(_ metadata: GGUFMetadata) { self.metadata = metadata }

    func byteLevel() throws(FileError) -> Tokenizer.Parts {
        let (vocabulary, kinds) = try vocabulary()
        let name = try metadata.optionalString("tokenizer.ggml.pre")
        guard let pre = GGUFPreTokenizer.named(name ?? "default") else {
            let names = GGUFPreTokenizer.all.flatMap(\.names).joined(separator: ", ")
            throw metadata.wrong(
                "tokenizer.ggml.pre", expected: "one of \(names)",
                remedy: "this pre-tokenizer is not supported")
        }
        var merges = BytePairMerges()
        guard let lines = try metadata.optionalStrings("tokenizer.ggml.merges") else {
            throw metadata.wrong("tokenizer.ggml.merges", expected: "an array of strings")
        }
        for (rank, line) in lines.enumerated() {
            guard let (left, right) = MergeLine.parse(line) else {
                throw FileError(
                    metadata.path,
                    "merge \(rank) is \(JSON.string(line).summary), expected two tokens with one space between them"
                )
            }
            try merges.insert(left, right, rank: rank, vocabulary, path: metadata.path)
        }
        let encoder = WordEncoder(
            vocabulary: vocabulary, merges: merges, alphabet: .bytes, unknown: nil,
            ignoresMerges: pre.ignoresMerges)
        var parts = Tokenizer.Parts(
            encoder: encoder, decoderStyle: .byteLevel, normalizers: pre.normalizers,
            preTokenizer: PreTokenizer(splitting: pre.expressions))
        if try metadata.optionalBool("tokenizer.ggml.add_space_prefix") ?? false {
            parts.preTokenizer.steps.insert(
                .change(.prependOnce([UInt8(ascii: " ")], onlyFirst: false)), at: 0)
        }
        if name == nil {
            parts.warnings.append(
                "\(metadata.path): 'tokenizer.ggml.pre' is missing, so that texts are cut into words by llama.cpp's default "
                    + "rule; if the model was made with another one it sees other tokens than it learned: convert it again"
            )
        }
        try finish(&parts, kinds, addsBOS: pre.addsBOS, defaults: Tokenizer.SpecialIDs())
        return parts
    }

    func sentencePiece() throws(FileError) -> Tokenizer.Parts {
        let (vocabulary, kinds) = try vocabulary()
        for (id, kind) in kinds.enumerated() where kind == .byte {
            guard let name = vocabulary.bytes(of: id), ByteToken.byte(of: name) != nil else {
                throw FileError(
                    metadata.path,
                    "token \(id) stands for a byte but is called '\((vocabulary.text(of: id) ?? "").shortened)'",
                    remedy: "the names of such tokens go from <0x00> to <0xFF>")
            }
        }
        if try metadata.optionalBool("tokenizer.ggml.remove_extra_whitespaces") ?? false {
            throw metadata.wrong("tokenizer.ggml.remove_extra_whitespaces", expected: "false")
        }
        let defaults = Tokenizer.SpecialIDs(bos: 1, eos: 2, pad: nil, unknown: 0)
        let encoder = WordEncoder(
            vocabulary: vocabulary, merges: try merges(vocabulary, kinds),
            alphabet: .scalars(byteFallback: true),
            unknown: try id("unknown", vocabulary) ?? defaults.unknown, fusesUnknown: true)
        let addsSpace = try metadata.optionalBool("tokenizer.ggml.add_space_prefix") ?? true
        let space = Array("▁".utf8)
        var parts = Tokenizer.Parts(
            encoder: encoder, decoderStyle: .metaspace(stripsLeadingSpace: addsSpace),
            normalizers: (addsSpace ? [.prepend(space)] : []) + [.replace([UInt8(ascii: " ")], with: space)])
        try finish(&parts, kinds, addsBOS: true, defaults: defaults)
        return parts
    }

    private func vocabulary() throws(FileError) -> (Vocabulary, [Kind]) {
        let path = metadata.path
        guard let tokens = try metadata.optionalStrings("tokenizer.ggml.tokens"),
            1...Vocabulary.maximumCount ~= tokens.count
        else {
            throw metadata.wrong(
                "tokenizer.ggml.tokens", expected: "an array of 1 to \(Vocabulary.maximumCount) strings")
        }
        var kinds = [Kind](repeating: .normal, count: tokens.count)
        if let numbers = try metadata.optionalIntegers("tokenizer.ggml.token_type") {
            guard numbers.count == tokens.count else {
                throw metadata.wrong(
                    "tokenizer.ggml.token_type", expected: "one for each of \(tokens.count) tokens")
            }
            for (id, number) in numbers.enumerated() {
                guard let kind = Kind(rawValue: number) else {
                    throw FileError(path, "token \(id) has the type \(number), types go from 0 to 6")
                }
                kinds[id] = kind
            }
        }
        // An empty text is how a file fills a gap between ids.
        let vocabulary = try Vocabulary(tokens: tokens.map { $0.isEmpty ? nil : $0 }) {
            (first, second) throws(FileError) in
            throw FileError(path, "tokens \(first) and \(second) have the same text")
        }
        return (vocabulary, kinds)
    }

    /// SentencePiece joins the two neighbours that make the piece of the highest score.
    private func merges(_ vocabulary: Vocabulary, _ kinds: [Kind]) throws(FileError) -> BytePairMerges {
        let scores = try metadata.optionalFloats("tokenizer.ggml.scores")
        guard let scores, scores.count == vocabulary.count, scores.allSatisfy({ !$0.isNaN }) else {
            throw metadata.wrong(
                "tokenizer.ggml.scores", expected: "a float32 for each of \(vocabulary.count) tokens")
        }
        var merges = BytePairMerges()
        var rank: Int32 = -1
        var lastScore = Float.nan
        var squares = 0
        let pieces = kinds.indices.filter {
            [.normal, .undefined, .userDefined, .unused].contains(kinds[$0])
        }
        for id in pieces.sorted(by: { scores[$0] > scores[$1] }) {
            guard let piece = vocabulary.bytes(of: id) else { continue }
            guard piece.count <= GGUFTokenizer.maximumPieceBytes else {
                throw FileError(
                    metadata.path,
                    "token \(id) has \(piece.count) bytes, the limit is \(GGUFTokenizer.maximumPieceBytes)")
            }
            squares += piece.count * piece.count
            guard squares <= GGUFTokenizer.maximumSquares else {
                throw FileError(
                    metadata.path, "the tokens are too long: there is too much to find for merges")
            }
            // Pieces of equal score are equals: the leftmost is joined first.
            if scores[id] != lastScore { rank += 1 }
            lastScore = scores[id]
            for cut in piece.indices.dropFirst() where piece[cut] & 0xC0 != 0x80 {
                guard let left = vocabulary.id(of: piece[..<cut]),
                    let right = vocabulary.id(of: piece[cut...])
                else {
                    continue
                }
                merges.insert(left, right, rank: rank, result: Int32(id))
            }
        }
        return merges
    }

    private func finish(
        _ parts: inout Tokenizer.Parts, _ kinds: [Kind], addsBOS: Bool, defaults: Tokenizer.SpecialIDs
    ) throws(FileError) {
        let vocabulary = parts.encoder.vocabulary
        func valid(_ id: Int32?) -> Int32? { id.flatMap { vocabulary.bytes(of: Int($0)) == nil ? nil : $0 } }
        func id(_ name: String) throws(FileError) -> Int32? {
            let key = "tokenizer.ggml.\(name)_token_id"
            guard let number = try metadata.optionalInteger(key) else { return nil }
            if let id = try self.id(name, vocabulary) { return id }
            parts.warnings.append(
                "\(metadata.path): '\(key)' is \(number), which is none of the \(vocabulary.count) tokens; it was ignored"
            )
            return nil
        }
        if let first = kinds.firstIndex(of: .undefined) {
            parts.warnings.append(
                "\(metadata.path): \(kinds.count { $0 == .undefined }) tokens, of which \(first) is the first, have the type 0 "
                    + "(undefined); they were taken for normal ones")
        }
        parts.specialIDs = Tokenizer.SpecialIDs(
            bos: try id("bos") ?? valid(defaults.bos), eos: try id("eos") ?? valid(defaults.eos),
            pad: try id("padding"), unknown: try id("unknown") ?? valid(defaults.unknown))
        if let eos = try self.id("eos", vocabulary) { parts.specialIDs.stops.insert(eos) }
        for name in ["eot", "eom"] { if let id = try id(name) { parts.specialIDs.stops.insert(id) } }
        if let eos = parts.specialIDs.eos { parts.specialIDs.stops.insert(eos) }
        for (id, kind) in kinds.enumerated() where [.unknown, .control, .userDefined].contains(kind) {
            guard let content = vocabulary.text(of: id) else { continue }
            parts.addedTokens.append(
                AddedToken(
                    id: Int32(id), content: content, stripsRight: try stripsRight(content),
                    isSpecial: kind != .userDefined))
        }
        try AddedTokenMatcher.check(parts.addedTokens, growth: 1, path: metadata.path)
        if try metadata.optionalBool("tokenizer.ggml.add_bos_token") ?? addsBOS {
            parts.prefix = [try needed(parts.specialIDs.bos, "bos")]
        }
        if try metadata.optionalBool("tokenizer.ggml.add_eos_token") ?? false {
            parts.suffix = [try needed(parts.specialIDs.eos, "eos")]
        }
        parts.chatTemplate = try metadata.optionalString("tokenizer.chat_template")
    }

    /// Phi-3's tokens of a chat take the white space behind them along; a GGUF file has no place to say so.
    private func stripsRight(_ token: String) throws(FileError) -> Bool {
        guard try metadata.optionalString("general.architecture") == "phi3",
            try metadata.optionalString("tokenizer.ggml.model") == "llama"
        else { return false }
        return !["<unk>", "<s>", "<|endoftext|>"].contains(token)
    }

    /// nil where the file names none, or one that the vocabulary does not have (old files write −1).
    private func id(_ name: String, _ vocabulary: Vocabulary) throws(FileError) -> Int32? {
        let number = try metadata.optionalInteger("tokenizer.ggml.\(name)_token_id")
        return number.flatMap { 0..<vocabulary.count ~= $0 ? Int32($0) : nil }
    }

    private func needed(_ id: Int32?, _ name: String) throws(FileError) -> Int32 {
        guard let id else {
            throw metadata.wrong(
                "tokenizer.ggml.\(name)_token_id", expected: "the id of the token added to each text")
        }
        return id
    }
}
