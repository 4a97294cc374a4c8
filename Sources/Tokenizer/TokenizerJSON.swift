// `tokenizer.json` of the Hugging Face library `tokenizers`: of its parts those that byte-pair models of the Llama
// family use. Any other part is refused by its name, because text would silently become other tokens.

import Checkpoints

extension Tokenizer {
    package convenience init(json: JSON, path: String, config: TokenizerConfig = TokenizerConfig())
        throws(FileError)
    {
        let file = try JSONFields(json, path: path)
        let preTokenizer = try PreTokenizerJSON(file)
        let added = try AddedTokensJSON(file)
        let encoder = try WordEncoder(
            file.fields("model"), alphabetIsBytes: preTokenizer.isByteLevel, added: added)
        try added.check(against: encoder.vocabulary, path: path)
        let (prefix, suffix) = try TemplateJSON.surroundings(file)

        var parts = Parts(
            encoder: encoder, decoderStyle: try TokenDecoder.Style(file),
            normalizers: try file.optionalFields("normalizer").map(Normalizer.list) ?? [],
            preTokenizer: preTokenizer.result, addedTokens: added.tokens, prefix: prefix, suffix: suffix,
            chatTemplate: config.chatTemplate)
        func id(_ token: String?) -> Int32? {
            guard let token else { return nil }
            return added.id(of: token) ?? encoder.vocabulary.id(of: token)
        }
        parts.specialIDs = SpecialIDs(
            bos: id(config.bosToken), eos: id(config.eosToken) ?? config.stopIDs.first,
            pad: id(config.padToken),
            unknown: id(config.unknownToken) ?? encoder.unknown)
        parts.specialIDs.stops = Set(config.stopIDs)
        if let eos = parts.specialIDs.eos { parts.specialIDs.stops.insert(eos) }
        self.init(parts)
    }
}

extension JSONFields {
    fileprivate func refusal(_ key: String, expected: String) -> FileError {
        wrong(key, expected: expected, remedy: "this part of a tokenizer is not supported")
    }

    /// The list of a `Sequence`, or the object itself.
    fileprivate func steps(_ key: String) throws(FileError) -> [JSONFields] {
        guard try optionalString("type") == "Sequence" else { return [self] }
        var steps: [JSONFields] = []
        for step in try array(key) { steps.append(try JSONFields(step, path: path)) }
        return steps
    }
}

extension WordEncoder {
    fileprivate init(_ model: JSONFields, alphabetIsBytes: Bool, added: AddedTokensJSON) throws(FileError) {
        if let type = try model.optionalString("type"), type != "BPE" {
            throw model.refusal("type", expected: "\"BPE\"")
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

    private static func vocabulary(_ model: JSONFields) throws(FileError) -> Vocabulary {
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
                    model.path, "the tokens '\(other)' and '\(member.key)' have the same id \(id)")
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

    private static func pair(_ merge: JSON) -> (String, String)? {
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

extension Normalizer {
    fileprivate static func list(_ json: JSONFields) throws(FileError) -> [Normalizer] {
        var list: [Normalizer] = []
        for step in try json.steps("normalizers") {
            switch try step.string("type") {
            case "NFC": list.append(.nfc)
            case "Prepend": list.append(.prepend(Array(try step.string("prepend").utf8)))
            case "Replace":
                let pattern = try step.fields("pattern").optionalString("String") ?? ""
                guard !pattern.isEmpty else {
                    throw step.refusal("pattern", expected: "a \"String\" that is not empty")
                }
                list.append(.replace(Array(pattern.utf8), with: Array(try step.string("content").utf8)))
            case "Sequence": list += try Normalizer.list(step)
            default:
                throw step.refusal("type", expected: "NFC, Prepend, Replace or Sequence in the normalizer")
            }
        }
        return list
    }
}

private struct PreTokenizerJSON {
    var result = PreTokenizer()
    var isByteLevel = false

    init(_ file: JSONFields) throws(FileError) {
        guard let json = try file.optionalFields("pre_tokenizer") else { return }
        for step in try json.steps("pretokenizers") {
            switch try step.string("type") {
            case "ByteLevel": try byteLevel(step)
            case "Digits":
                guard try step.optionalBool("individual_digits") ?? false else {
                    throw step.refusal("individual_digits", expected: "true")
                }
                result.splits.append(.digits)
            case "Split": result.splits.append(try PreTokenizerJSON.split(step))
            case "Metaspace": try metaspace(step)
            default:
                throw step.refusal(
                    "type", expected: "ByteLevel, Digits, Split, Metaspace or Sequence of the pre-tokenizer")
            }
        }
    }

    private mutating func byteLevel(_ step: JSONFields) throws(FileError) {
        isByteLevel = true
        if try step.optionalBool("add_prefix_space") ?? true {
            guard result.splits.isEmpty else {
                throw step.refusal("add_prefix_space", expected: "false behind another pre-tokenizer")
            }
            result.transforms.append(.prependOnce([UInt8(ascii: " ")], onlyFirst: false))
        }
        if try step.optionalBool("use_regex") ?? true { result.splits.append(.gpt2) }
    }

    private mutating func metaspace(_ step: JSONFields) throws(FileError) {
        guard result == PreTokenizer() else {
            throw step.refusal("type", expected: "Metaspace as the only pre-tokenizer")
        }
        let replacement = Array((try step.optionalString("replacement") ?? "▁").utf8)
        guard replacement == Array("▁".utf8) else { throw step.refusal("replacement", expected: "\"▁\"") }
        result.transforms.append(.replace([UInt8(ascii: " ")], with: replacement))
        let older = try step.optionalBool("add_prefix_space") ?? true ? "always" : "never"
        switch try step.optionalString("prepend_scheme") ?? older {
        case "always": result.transforms.append(.prependOnce(replacement, onlyFirst: false))
        case "first": result.transforms.append(.prependOnce(replacement, onlyFirst: true))
        case "never": break
        default: throw step.refusal("prepend_scheme", expected: "\"always\", \"first\" or \"never\"")
        }
        if try step.optionalBool("split") ?? true { result.splits.append(.metaspace) }
    }

    private static let numberRule = #"\p{N}{1,3}"#
    private static let gpt2 = [
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
        #"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
    ]
    private static let llama3 = [
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"#,
        #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
    ]

    private static func split(_ step: JSONFields) throws(FileError) -> PreTokenizer.Split {
        let pattern = try step.fields("pattern").string("Regex")
        // The expressions match everything, so taking what they match and cutting around it are the same.
        let inverted = try step.optionalBool("invert") ?? false
        guard try step.string("behavior") == (inverted ? "Removed" : "Isolated") else {
            throw step.refusal("behavior", expected: inverted ? "\"Removed\"" : "\"Isolated\"")
        }
        if gpt2.contains(pattern) { return .gpt2 }
        if pattern == llama3.joined(separator: numberRule) { return .llama3(numbers: 3) }
        if pattern == llama3.joined(separator: #"\p{N}"#) { return .llama3(numbers: 1) }
        throw FileError(
            step.path,
            "the pre-tokenizer splits by the regular expression \(pattern.prefix(300)), which is not known",
            remedy: "those of GPT-2, SmolLM, Llama 3 and Qwen 2 are")
    }
}

extension TokenDecoder.Style {
    fileprivate init(_ file: JSONFields) throws(FileError) {
        guard let json = try file.optionalFields("decoder") else {
            throw file.wrong(
                "decoder", expected: "a decoder", remedy: "without one tokens cannot become text")
        }
        var isByteLevel = false
        var stripsLeadingSpace = false
        for step in try json.steps("decoders") {
            switch try step.string("type") {
            case "ByteLevel": isByteLevel = true
            case "Metaspace":
                let older = try step.optionalBool("add_prefix_space") ?? true ? "always" : "never"
                stripsLeadingSpace = try step.optionalString("prepend_scheme") ?? older != "never"
            case "Replace":
                guard try step.fields("pattern").optionalString("String") == "▁",
                    try step.string("content") == " "
                else { throw step.refusal("pattern", expected: "▁ replaced by a space") }
            case "Strip":
                guard try step.string("content") == " ", try step.integer("start") == 1,
                    try step.integer("stop") == 0
                else { throw step.refusal("start", expected: "one space at the start") }
                stripsLeadingSpace = true
            case "ByteFallback", "Fuse": break
            default:
                throw step.refusal(
                    "type",
                    expected: "ByteLevel, Metaspace, Replace, ByteFallback, Fuse or Strip of the decoder")
            }
        }
        self = isByteLevel ? .byteLevel : .metaspace(stripsLeadingSpace: stripsLeadingSpace)
    }
}

private struct AddedTokensJSON {
    private(set) var tokens: [AddedToken] = []
    private var ids: [ExactString: Int32] = [:]

    func id(of token: String) -> Int32? { ids[ExactString(token)] }

    init(_ file: JSONFields) throws(FileError) {
        for json in try file.optionalArray("added_tokens") ?? [] {
            let token = try JSONFields(json, path: file.path)
            let content = try token.string("content")
            let id = Int32(try token.integer("id", in: 0...Vocabulary.maximumCount - 1))
            guard ids.updateValue(id, forKey: ExactString(content)) == nil else {
                throw FileError(file.path, "the added token '\(content)' appears twice")
            }
            tokens.append(
                AddedToken(
                    id: id, content: content, singleWord: try token.optionalBool("single_word") ?? false,
                    stripsLeft: try token.optionalBool("lstrip") ?? false,
                    stripsRight: try token.optionalBool("rstrip") ?? false,
                    isNormalized: try token.optionalBool("normalized") ?? true,
                    isSpecial: try token.optionalBool("special") ?? false))
        }
    }

    func check(against vocabulary: Vocabulary, path: String) throws(FileError) {
        var contents: [Int32: String] = [:]
        for token in tokens {
            if let other = contents.updateValue(token.content, forKey: token.id) {
                throw FileError(
                    path, "the added tokens '\(other)' and '\(token.content)' have the same id \(token.id)")
            }
            if let id = vocabulary.id(of: token.content), id != token.id {
                throw FileError(
                    path,
                    "the token '\(token.content)' is added as \(token.id) but is \(id) in the vocabulary")
            }
            if let other = vocabulary.text(of: Int(token.id)),
                ExactString(other) != ExactString(token.content)
            {
                throw FileError(
                    path, "the added token '\(token.content)' has the id \(token.id) of the token '\(other)'")
            }
        }
    }
}

private enum TemplateJSON {
    /// What a post-processor puts before and behind a text.
    static func surroundings(_ file: JSONFields) throws(FileError) -> ([Int32], [Int32]) {
        var (prefix, suffix): ([Int32], [Int32]) = ([], [])
        guard let json = try file.optionalFields("post_processor") else { return ([], []) }
        for step in try json.steps("processors") {
            switch try step.string("type") {
            case "ByteLevel": break
            case "TemplateProcessing": (prefix, suffix) = try template(step)
            default:
                throw step.refusal(
                    "type", expected: "TemplateProcessing, ByteLevel or Sequence of the post-processor")
            }
        }
        return (prefix, suffix)
    }

    private static func template(_ step: JSONFields) throws(FileError) -> ([Int32], [Int32]) {
        var (before, after): ([Int32], [Int32]) = ([], [])
        var isAfter = false
        for item in try step.array("single") {
            let item = try JSONFields(item, path: step.path)
            if try item.optionalFields("Sequence") != nil {
                guard !isAfter else { throw step.refusal("single", expected: "one sequence in the template") }
                isAfter = true
                continue
            }
            let name = try item.fields("SpecialToken").string("id")
            for id in try step.fields("special_tokens").fields(name).array("ids") {
                guard case .integer(let number) = id, let id = Int32(exactly: number), id >= 0 else {
                    throw FileError(step.path, "the template's token '\(name)' has the id \(id.summary)")
                }
                if isAfter { after.append(id) } else { before.append(id) }
            }
        }
        return (before, after)
    }
}
