// `added_tokens` of tokenizer.json: tokens that are found in the text itself.

import Checkpoints

struct AddedTokensJSON {
    private(set) var tokens: [AddedToken] = []
    private var ids: [ExactString: Int32] = [:]

    func id(of token: String) -> Int32? { ids[ExactString(token)] }

    init(_ file: JSONFields) throws(FileError) {
        for json in try file.optionalArray("added_tokens") ?? [] {
            let token = try JSONFields(json, path: file.path)
            let content = try token.string("content")
            let id = Int32(try token.integer("id", in: 0...Vocabulary.maximumCount - 1))
            guard ids.updateValue(id, forKey: ExactString(content)) == nil else {
                throw FileError(file.path, "the added token '\(content.shortened)' appears twice")
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
