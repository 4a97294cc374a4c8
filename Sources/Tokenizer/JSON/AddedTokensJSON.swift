// `added_tokens` of tokenizer.json, and those that only `added_tokens_decoder` of tokenizer_config.json names: tokens that are
// found in the text itself.

import Checkpoints

struct AddedTokensJSON {
    private(set) var tokens: [AddedToken] = []
    private var ids: [ExactString: Int32] = [:]

    func id(of token: String) -> Int32? { ids[ExactString(token)] }

    init(_ file: JSONFields) throws(FileError) {
        for json in try file.optionalArray("added_tokens") ?? [] {
            let token = try JSONFields(json, path: file.path)
            let id = Int32(try token.integer("id", in: 0...Vocabulary.maximumCount - 1))
            let added = try AddedToken(token, id: id)
            guard ids.updateValue(id, forKey: ExactString(added.content)) == nil else {
                throw FileError(file.path, "the added token '\(added.content.shortened)' appears twice")
            }
            tokens.append(added)
        }
    }

    /// Whether a token is in the vocabulary, and not among these.
    func isWord(_ token: AddedToken, of vocabulary: Vocabulary) -> Bool {
        id(of: token.content) == nil && vocabulary.id(of: token.content) != nil
    }

    /// Adds what another file names, as transformers does: of tokens that are there the flags are replaced; words of the
    /// vocabulary are found whole from now on; any other gets the next id.
    mutating func add(_ more: [AddedToken], to vocabulary: Vocabulary) {
        var places = Dictionary(first: tokens.enumerated().map { ($1.id, $0) })
        var next = Int32(clamping: max(vocabulary.count, Int(tokens.map(\.id).max() ?? -1) + 1))
        for token in more {
            if let known = id(of: token.content), let place = places[known] {
                tokens[place] = token.with(id: known)
                continue
            }
            let word = vocabulary.id(of: token.content)
            let added = token.with(id: word ?? next)
            if word == nil { next += 1 }
            ids[ExactString(added.content)] = added.id
            places[added.id] = tokens.count
            tokens.append(added)
        }
    }

    func check(against vocabulary: Vocabulary, path: String) throws(FileError) {
        var contents: [Int32: String] = [:]
        for token in tokens {
            if let other = contents.updateValue(token.content, forKey: token.id) {
                throw FileError(
                    path,
                    "the added tokens '\(other.shortened)' and '\(token.content.shortened)' have the same id \(token.id)"
                )
            }
            if let id = vocabulary.id(of: token.content), id != token.id {
                throw FileError(
                    path,
                    "the token '\(token.content.shortened)' is added as \(token.id) but is \(id) in the vocabulary"
                )
            }
            if let other = vocabulary.text(of: Int(token.id)),
                ExactString(other) != ExactString(token.content)
            {
                throw FileError(
                    path,
                    "the added token '\(token.content.shortened)' has the id \(token.id) of the token '\(other.shortened)'"
                )
            }
        }
    }
}

extension AddedToken {
    /// Its text and flags under their names in both files.
    init(_ token: JSONFields, id: Int32) throws(FileError) {
        let content = try token.string("content")
        self.init(
            id: id, content: content, singleWord: try token.optionalBool("single_word") ?? false,
            stripsLeft: try token.optionalBool("lstrip") ?? false,
            stripsRight: try token.optionalBool("rstrip") ?? false,
            isNormalized: try token.optionalBool("normalized") ?? true,
            isSpecial: try token.optionalBool("special") ?? false)
    }

    fileprivate func with(id: Int32) -> AddedToken {
        AddedToken(
            id: id, content: content, singleWord: singleWord, stripsLeft: stripsLeft,
            stripsRight: stripsRight,
            isNormalized: isNormalized, isSpecial: isSpecial)
    }
}
