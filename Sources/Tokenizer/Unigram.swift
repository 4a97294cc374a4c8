// The most probable tokens of a text (Kudo 2018): of all rows of tokens that are the text the one with the largest sum of scores,
// token by token from the left (Viterbi 1967). What no token covers is unknown, scalar by scalar, at a score of its own.

import Checkpoints

struct Unigram: WordModel {
    /// Longer tokens are refused: time grows with their length.
    static let longestToken = 512
    /// Below the worst score.
    private static let unknownPenalty = 10.0
    private static let placesUnwatched = 1 << 16

    private let scores: [Double]
    private let unknown: Int32?
    private let unknownScore: Double
    /// The tokens of the bytes that an unknown text becomes; empty where it becomes the unknown token.
    private let byteTokens: [Int32]
    private let vocabulary: Vocabulary
    /// (node, byte) → node, and the token that ends at a node; −1 for none.
    private var children = PairTable<Int32>(filler: 0)
    private var tokens: [Int32] = [-1]

    init(_ vocabulary: Vocabulary, scores: [Double], unknown: Int32?, byteFallback: Bool) {
        (self.vocabulary, self.scores, self.unknown) = (vocabulary, scores, unknown)
        unknownScore = (scores.min() ?? 0) - Self.unknownPenalty
        let bytes = (UInt8.min...UInt8.max).map { vocabulary.id(of: ByteToken.name(of: $0)) ?? -1 }
        byteTokens = byteFallback ? bytes : []
        for id in 0..<vocabulary.count {
            var node: Int32 = 0
            for byte in vocabulary.bytes(of: id) ?? [] {
                if let child = children[node, Int32(byte)] {
                    node = child
                } else {
                    children[node, Int32(byte)] = Int32(tokens.count)
                    node = Int32(tokens.count)
                    tokens.append(-1)
                }
            }
            // Of equal texts the last counts, as in `tokenizers`.
            if node > 0 { tokens[Int(node)] = Int32(id) }
        }
    }

    /// The best row of tokens that ends at a place: its score, and where its last token begins and which it is.
    private struct Best {
        var score = 0.0
        var start = -1
        var token: Int32 = -1
    }

    func encode(_ word: ArraySlice<UInt8>, into ids: inout [Int32]) {
        let word = Array(word)
        guard let best = best(word) else { return }
        var pieces: [(range: Range<Int>, token: Int32)] = []
        var end = word.count
        while end > 0 {
            let last = best[end]
            if last.token < 0, let next = pieces.last, next.token < 0 {
                pieces[pieces.count - 1].range = last.start..<next.range.upperBound
            } else {
                pieces.append((last.start..<end, last.token))
            }
            end = last.start
        }
        for (range, token) in pieces.reversed() {
            if token >= 0 {
                ids.append(token)
            } else {
                append(unknown: word[range], to: &ids)
            }
        }
    }

    /// nil behind an interruption.
    private func best(_ word: [UInt8]) -> [Best]? {
        var best = [Best](repeating: Best(), count: word.count + 1)
        func offer(_ token: Int32, _ score: Double, from start: Int, to end: Int) {
            if best[end].start < 0 || score > best[end].score {
                best[end] = Best(score: score, start: start, token: token)
            }
        }
        var start = 0
        while start < word.count {
            if start % Self.placesUnwatched < 4, Interruption.isRequested { return nil }
            let scalarEnd = min(start + UTF8Text.length(word[start]), word.count)
            let score = best[start].score
            var node: Int32 = 0
            var coversScalar = false
            for end in start..<word.count {
                guard let child = children[node, Int32(word[end])] else { break }
                node = child
                let token = tokens[Int(node)]
                guard token >= 0 else { continue }
                offer(token, score + scores[Int(token)], from: start, to: end + 1)
                if end + 1 == scalarEnd { coversScalar = true }
            }
            if !coversScalar { offer(-1, score + unknownScore, from: start, to: scalarEnd) }
            start = scalarEnd
        }
        return best
    }

    private func append(unknown text: ArraySlice<UInt8>, to ids: inout [Int32]) {
        if let id = vocabulary.id(of: text) {
            ids.append(id)
        } else if !byteTokens.isEmpty, text.allSatisfy({ byteTokens[Int($0)] >= 0 }) {
            ids += text.map { byteTokens[Int($0)] }
        } else if let unknown {
            ids.append(unknown)
        }
    }
}

extension WordEncoder {
    static func unigram(_ model: JSONFields) throws(FileError) -> WordEncoder {
        func number(_ value: JSON) -> Double? {
            switch value {
            case .integer(let number): Double(number)
            case .double(let number): number
            default: nil
            }
        }
        var tokens: [String?] = []
        var scores: [Double] = []
        for (id, entry) in try model.array("vocab").enumerated() {
            guard case .array(let pair) = entry, pair.count == 2, case .string(let token) = pair[0],
                let score = number(pair[1]), id < Vocabulary.maximumCount,
                token.utf8.count <= Unigram.longestToken
            else {
                throw FileError(
                    model.path,
                    "token \(id) is \(entry.summary), expected a text of at most \(Unigram.longestToken) bytes and its score"
                )
            }
            tokens.append(token)
            scores.append(score)
        }
        let vocabulary = try Vocabulary(tokens: tokens) { (first, second) throws(FileError) in
            throw FileError(model.path, "ids \(first) and \(second) are given to the same token")
        }
        let unknown = try model.optionalInteger("unk_id", in: 0...max(0, tokens.count - 1)).map { Int32($0) }
        let unigram = Unigram(
            vocabulary, scores: scores, unknown: unknown,
            byteFallback: try model.optionalBool("byte_fallback") ?? false)
        return WordEncoder(unigram, vocabulary: vocabulary, unknown: unknown)
    }
}
