// BERT's words to tokens (Schuster and Nakajima 2012): the longest token that the word begins with, then the longest that continues
// it, and so on. A word that is not such a row is unknown as a whole. Time grows with the word's length, whatever the tokens are.

import Checkpoints

struct WordPiece: WordModel {
    private let beginnings: PatternAutomaton
    private let continuations: PatternAutomaton
    private let beginningIDs: [Int32]
    private let continuationIDs: [Int32]
    private let unknown: Int32
    /// Longer words are unknown.
    private let mostScalars: Int

    init(_ vocabulary: Vocabulary, prefix: [UInt8], unknown: Int32, mostScalars: Int) {
        let tokens = (0..<vocabulary.count).compactMap { id in
            vocabulary.bytes(of: id).map { (id: Int32(id), bytes: Array($0)) }
        }
        let continuing = tokens.filter { $0.bytes.starts(with: prefix) }
        beginnings = PatternAutomaton(tokens.map(\.bytes))
        beginningIDs = tokens.map(\.id)
        continuations = PatternAutomaton(continuing.map { Array($0.bytes[prefix.count...]) })
        continuationIDs = continuing.map(\.id)
        (self.unknown, self.mostScalars) = (unknown, mostScalars)
    }

    func encode(_ word: ArraySlice<UInt8>, into ids: inout [Int32]) {
        let word = Array(word)
        guard word.reduce(0, { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }) <= mostScalars else {
            return ids.append(unknown)
        }
        guard let first = beginnings.longestMatches(in: word).last, first.start == 0 else {
            return ids.append(unknown)
        }
        let start = ids.count
        ids.append(beginningIDs[first.pattern])
        var position = first.count
        if position == word.count { return }
        for match in continuations.longestMatches(in: word).reversed() where match.start >= position {
            guard match.start == position else { break }
            ids.append(continuationIDs[match.pattern])
            position += match.count
        }
        guard position < word.count else { return }
        ids.removeSubrange(start...)
        ids.append(unknown)
    }
}

extension WordEncoder {
    static func wordPiece(_ model: JSONFields, added: AddedTokensJSON) throws(FileError) -> WordEncoder {
        let vocabulary = try vocabulary(model)
        let name = try model.optionalString("unk_token") ?? "[UNK]"
        guard let unknown = vocabulary.id(of: name) ?? added.id(of: name) else {
            throw model.wrong("unk_token", expected: "a token of the vocabulary")
        }
        let piece = WordPiece(
            vocabulary, prefix: Array((try model.optionalString("continuing_subword_prefix") ?? "##").utf8),
            unknown: unknown,
            mostScalars: try model.optionalInteger("max_input_chars_per_word", in: 0...Int.max) ?? 100)
        return WordEncoder(piece, vocabulary: vocabulary, unknown: unknown)
    }
}
