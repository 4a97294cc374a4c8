// The `model` of tokenizer.json, and of byte-pair encoding its vocabulary and merges.

import Checkpoints

extension WordEncoder {
    init(_ model: JSONFields, alphabetIsBytes: Bool, added: AddedTokensJSON) throws(FileError) {
        switch try model.optionalString("type") {
        case "BPE", nil: break
        case "WordPiece":
            self = try .wordPiece(model, added: added)
            return
        case "Unigram":
            self = try .unigram(model)
            return
        default: throw model.refusal("type", expected: "BPE, WordPiece or Unigram")
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let affix = try model.optionalString(key), !affix.isEmpty {
                throw model.refusal(key, expected: "null")
            }
        }
        if let dropout = try model.optionalNumber("dropout"), dropout != 0 {
            throw model.wrong("dropout", expected: "null", remedy: "random merges are not supported")
        }
        let vocabulary = try WordEncoder.vocabulary(model)
        var unknown: Int32?
        if let token = try model.optionalString("unk_token") {
            unknown = vocabulary.id(of: token) ?? added.id(of: token)
            if unknown == nil { throw model.wrong("unk_token", expected: "a token of the vocabulary") }
        }
        let byteFallback = try model.optionalBool("byte_fallback") ?? false
        try self.init(
            vocabulary: vocabulary, merges: WordEncoder.merges(model, vocabulary),
            alphabet: alphabetIsBytes ? .bytes : .scalars(byteFallback: byteFallback), unknown: unknown,
            fusesUnknown: model.optionalBool("fuse_unk") ?? false,
            ignoresMerges: model.optionalBool("ignore_merges") ?? false)
    }

    static func vocabulary(_ model: JSONFields) throws(FileError) -> Vocabulary {
        let fields = try model.fields("vocab")
        var tokens: [String?] = []
        for member in fields.object.members {
            guard case .integer(let id) = member.value, 0..<Vocabulary.maximumCount ~= id else {
                throw fields.wrong(member.key, expected: "an id from 0 to \(Vocabulary.maximumCount - 1)")
            }
            if id >= tokens.count {
                tokens.append(contentsOf: repeatElement(nil, count: id + 1 - tokens.count))
            }
            if let other = tokens[id] {
                throw FileError(
                    model.path,
                    "the tokens '\(other.shortened)' and '\(member.key.shortened)' have the same id \(id)")
            }
            tokens[id] = member.key
        }
        return try Vocabulary(tokens: tokens) { (first, second) throws(FileError) in
            throw FileError(model.path, "ids \(first) and \(second) are given to the same token")
        }
    }

    private static func merges(_ model: JSONFields, _ vocabulary: Vocabulary) throws(FileError)
        -> BytePairMerges
    {
        var merges = BytePairMerges()
        for (rank, merge) in try model.array("merges").enumerated() {
            guard let (left, right) = WordEncoder.pair(merge) else {
                throw FileError(
                    model.path,
                    "merge \(rank) is \(merge.summary), expected two tokens with one space between them")
            }
            try merges.insert(left, right, rank: rank, vocabulary, path: model.path)
        }
        return merges
    }

    static func pair(_ merge: JSON) -> (String, String)? {
        switch merge {
        case .string(let line): return MergeLine.parse(line)
        case .array(let tokens):
            guard tokens.count == 2, case .string(let left) = tokens[0], case .string(let right) = tokens[1]
            else {
                return nil
            }
            return (left, right)
        default: return nil
        }
    }
}

enum MergeLine {
    /// "left right"; nil where there is not exactly one space with something on both sides.
    static func parse(_ line: String) -> (String, String)? {
        let parts = line.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        return (String(Substring(parts[0])), String(Substring(parts[1])))
    }
}

extension BytePairMerges {
    /// Adds a merge of two tokens; both and what they become must be in the vocabulary.
    mutating func insert(
        _ left: String, _ right: String, rank: Int, _ vocabulary: Vocabulary, path: String
    ) throws(FileError) {
        func id(_ token: String) throws(FileError) -> Int32 {
            guard let id = vocabulary.id(of: token) else {
                let shown = token.unicodeScalars.prefix(40).map(String.init).joined()
                throw FileError(
                    path, "merge \(rank) needs the token '\(shown)', which the vocabulary lacks",
                    remedy: "vocabulary and merges are of different tokenizers")
            }
            return id
        }
        guard let rank32 = Int32(exactly: rank) else { throw FileError(path, "has more than 2^31 merges") }
        insert(try id(left), try id(right), rank: rank32, result: try id(left + right))
    }
}
