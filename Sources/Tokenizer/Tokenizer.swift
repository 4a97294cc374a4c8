// Text to token ids and back: added tokens are taken out of the text, the rest is normalized, cut into words and
// merged. Everything is decided when it is loaded; a tokenizer may be shared between threads: all that changes is its memory of
// words that were encoded before, which one thread has at a time.

import Checkpoints
import Synchronization

package final class Tokenizer: Sendable {
    /// The tokens that a model gives a meaning, by id.
    package struct SpecialIDs: Sendable, Equatable {
        package var bos: Int32?
        package var eos: Int32?
        package var pad: Int32?
        package var unknown: Int32?
        /// Each of these ends what a model writes: `eos` and those that end a turn.
        package var stops: Set<Int32> = []
    }

    package let specialIDs: SpecialIDs
    /// The source of the chat template that came with the tokenizer.
    package let chatTemplate: String?
    package let addedTokens: [AddedToken]
    /// One more than the largest id.
    package let vocabularySize: Int
    /// The ids put before and behind a text by `encode(_:addSpecialTokens: true)`.
    package var prefix: [Int32] { parts.prefix }
    package var suffix: [Int32] { parts.suffix }

    private let encoder: WordEncoder
    private let decoder: TokenDecoder
    private let normalizers: [Normalizer]
    private let preTokenizer: PreTokenizer
    private let matcher: AddedTokenMatcher
    private let normalizedMatcher: AddedTokenMatcher
    private let addedIDs: [ExactString: Int32]
    private let addedTexts: [Int32: String]
    let parts: Parts
    private let memory = Mutex<WordEncoder.Memory?>(nil)

    /// Everything that a file says about a tokenizer, checked by whoever read it.
    struct Parts {
        var encoder: WordEncoder
        var decoderStyle: TokenDecoder.Style
        var normalizers: [Normalizer] = []
        var preTokenizer = PreTokenizer()
        var addedTokens: [AddedToken] = []
        var prefix: [Int32] = []
        var suffix: [Int32] = []
        var specialIDs = SpecialIDs()
        var chatTemplate: String?
        /// Ids that the model has no embedding for.
        var missing: Set<Int32> = []
        var warnings: [String] = []
        var generationWarnings: [String] = []
    }

    /// What the files say of the tokenizer that is not as they say, a sentence each.
    package var warnings: [String] { parts.warnings }
    /// Of `generation_config.json`.
    package var generationWarnings: [String] { parts.generationWarnings }

    init(_ parts: Parts) {
        encoder = parts.encoder
        decoder = TokenDecoder(
            style: parts.decoderStyle, vocabulary: parts.encoder.vocabulary, addedTokens: parts.addedTokens)
        normalizers = parts.normalizers
        preTokenizer = parts.preTokenizer
        addedTokens = parts.addedTokens
        self.parts = parts
        specialIDs = parts.specialIDs
        chatTemplate = parts.chatTemplate
        var size = parts.encoder.vocabulary.count
        while size > 0, parts.missing.contains(Int32(size - 1)) { size -= 1 }
        vocabularySize = max(size, (parts.addedTokens.map { Int($0.id) }.max() ?? -1) + 1)
        addedIDs = Dictionary(parts.addedTokens.map { (ExactString($0.content), $0.id) }) { first, _ in first
        }
        addedTexts = Dictionary(parts.addedTokens.map { ($0.id, $0.content) }) { first, _ in first }

        let plain = parts.addedTokens.filter { !$0.isNormalized }
        let normalized = parts.addedTokens.filter(\.isNormalized)
        matcher = AddedTokenMatcher(plain, patterns: plain.map { Array($0.content.utf8) })
        normalizedMatcher = AddedTokenMatcher(
            normalized,
            patterns: normalized.map { token in
                var pattern = Array(token.content.utf8)
                for normalizer in parts.normalizers { normalizer.apply(to: &pattern, isFirst: true) }
                return pattern
            })
    }

    /// Bytes of beginnings that are encoded to find where pieces meet, where the tokens do not tell.
    private static let mostEncodedAgain = 1 << 23

    /// `addSpecialTokens` adds what the model expects around a text, such as the token that begins it. Where an `Interruption`
    /// is requested, the tokens of a long text may be missing at its end: whoever requests it looks again behind this.
    package func encode(_ text: String, addSpecialTokens: Bool = true) -> [Int32] {
        var ids = addSpecialTokens ? prefix : []
        var memory = self.memory.withLock { $0.take() } ?? WordEncoder.Memory()
        memory.isStopped = false
        defer { self.memory.withLock { [memory] in $0 = memory } }
        let text = Array(text.utf8)
        for section in matcher.sections(text) {
            switch section {
            case .token(let id, _): ids.append(id)
            case .text(let range): encode(text[range], into: &ids, &memory)
            }
        }
        if addSpecialTokens { ids += suffix }
        return ids
    }

    /// The tokens of the whole text, divided where the pieces meet. A token that lies over the border belongs to the
    /// piece in which it ends. (Pieces that are encoded by themselves can give other tokens than the whole.)
    package func encode(pieces: [String], addSpecialTokens: Bool = true) throws(FileError) -> [[Int32]] {
        var text: [UInt8] = []
        var borders: [Int] = []
        for piece in pieces {
            text += piece.utf8
            borders.append(text.count)
        }
        var memory = self.memory.withLock { $0.take() } ?? WordEncoder.Memory()
        memory.isStopped = false
        defer { self.memory.withLock { [memory] in $0 = memory } }
        var ids = addSpecialTokens ? prefix : []
        var encodedAgain = 0
        // How many tokens lie before each border but the last.
        var counts: [Int] = []
        func border(below end: Int) -> Int? {
            let border = counts.count + 1 < borders.count ? borders[counts.count] : nil
            return border.flatMap { $0 < end ? $0 : nil }
        }
        for section in matcher.sections(text) {
            let start = ids.count
            switch section {
            case .token(let id, let end):
                while border(below: end) != nil { counts.append(start) }
                ids.append(id)
            case .text(let range):
                while border(below: range.lowerBound + 1) != nil { counts.append(start) }
                guard border(below: range.upperBound) != nil else {
                    encode(text[range], into: &ids, &memory)
                    continue
                }
                var words: [Int] = []
                encode(text[range], into: &ids, &memory) { words.append($0) }
                let places = SectionPlaces(words: words, ends: ends(of: ids[start...], in: text[range]))
                while let end = border(below: range.upperBound) {
                    // No token lies over the edge of a section, so its beginning alone tells; of that the last words.
                    func shared(from place: Int, _ first: Int) -> Int {
                        encodedAgain += end - place
                        var part: [Int32] = []
                        encode(text[place..<end], into: &part, &memory)
                        return zip(ids[first...], part).prefix { $0 == $1 }.count
                    }
                    let (place, first) = places.start(before: end, in: range, start)
                    var count = shared(from: place, first)
                    if count > 0 {
                        count += first
                    } else {
                        count = start + shared(from: range.lowerBound, start)
                    }
                    counts.append(max(counts.last ?? 0, count))
                    guard encodedAgain <= Self.mostEncodedAgain + 1024 * pieces.count else {
                        throw FileError(
                            "a text",
                            "has \(pieces.count) pieces, too many for a tokenizer whose tokens are not the text",
                            remedy: "divide it, or use a chat template that puts special tokens between turns"
                        )
                    }
                }
            }
        }
        while border(below: .max) != nil { counts.append(ids.count) }
        if addSpecialTokens { ids += suffix }
        if !pieces.isEmpty { counts.append(ids.count) }
        return zip([0] + counts, counts).map { Array(ids[$0..<$1]) }
    }

    /// Where each token of a section ends, if together they are its text, up to a space before it.
    private func ends(of ids: ArraySlice<Int32>, in section: ArraySlice<UInt8>) -> [Int]? {
        let texts = ids.map { decoder.bytes(of: $0, skippingSpecial: false)?.bytes ?? [] }
        var end = section.endIndex - texts.reduce(0) { $0 + $1.count }
        let isSpaceAhead = end == section.startIndex - 1 && texts.first?.first == UInt8(ascii: " ")
        guard end == section.startIndex || isSpaceAhead else { return nil }
        var ends: [Int] = []
        for text in texts {
            let rest = end < section.startIndex ? text.dropFirst() : text
            guard section[max(end, section.startIndex)...].starts(with: rest) else { return nil }
            end += text.count
            ends.append(end)
        }
        return ends
    }

    /// `onWord` gets the number of ids before each word.
    private func encode(
        _ section: ArraySlice<UInt8>, into ids: inout [Int32], _ memory: inout WordEncoder.Memory,
        onWord: ((Int) -> Void)? = nil
    ) {
        forEachPart(of: section) { part in
            switch part {
            case .token(let id): ids.append(id)
            case .word(let word):
                if let onWord {
                    encoder.encode(word, into: &ids, &memory, onPiece: onWord)
                } else {
                    encoder.encode(word, into: &ids, &memory)
                }
            }
        }
    }

    /// The words of a text inside which pairs merge, normalized.
    package func words(_ text: String) -> [String] {
        let text = Array(text.utf8)
        var words: [String] = []
        for case .text(let range) in matcher.sections(text) {
            forEachPart(of: text[range]) { part in
                if case .word(let word) = part { words.append(String(decoding: word, as: UTF8.self)) }
            }
        }
        return words
    }

    private enum Part {
        case token(Int32)
        case word(ArraySlice<UInt8>)
    }

    /// A section is what lies between the added tokens that are looked for in the text as it is. Its parts are those
    /// looked for in the normalized text, and words.
    private func forEachPart(of section: ArraySlice<UInt8>, _ body: (Part) -> Void) {
        let isFirst = section.startIndex == 0
        var text = Array(section)
        for normalizer in normalizers { normalizer.apply(to: &text, isFirst: isFirst) }
        for section in normalizedMatcher.sections(text) {
            switch section {
            case .token(let id, _): body(.token(id))
            case .text(let range):
                let piece = Array(text[range])
                preTokenizer.words(piece, isFirst: isFirst && range.lowerBound == 0) { body(.word($0)) }
            }
        }
    }

    /// Ids outside of the vocabulary are left out; bytes that are not UTF-8 become U+FFFD.
    package func decode(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool) -> String {
        var stream = streamDecoder(skipSpecialTokens: skipSpecialTokens)
        var text = ""
        for id in ids { text += stream.append(id) }
        return text + stream.finish()
    }

    package func streamDecoder(skipSpecialTokens: Bool) -> StreamDecoder {
        StreamDecoder(decoder, skipSpecialTokens: skipSpecialTokens)
    }

    /// The token as the vocabulary shows it, byte-level tokens in GPT-2's alphabet.
    package func token(_ id: Int32) -> String? {
        addedTexts[id] ?? encoder.vocabulary.text(of: Int(id))
    }

    package func id(_ token: String) -> Int32? {
        addedIDs[ExactString(token)] ?? encoder.vocabulary.id(of: token)
    }
}

/// Where the words of a section begin, in its tokens and, where its tokens are its text, in its bytes.
private struct SectionPlaces {
    /// What is farther before a border than this is the same with and without the text behind the border, from the beginning of
    /// a word on.
    private static let reach = 512

    /// How many of the tokens that came before lie in front of each word.
    let words: [Int]
    let ends: [Int]?

    /// Where to begin to encode again for a border, and the number of the token there.
    func start(before border: Int, in section: Range<Int>, _ first: Int) -> (place: Int, token: Int) {
        guard let ends else { return (section.lowerBound, first) }
        func place(_ word: Int) -> Int { word == first ? section.lowerBound : ends[word - first - 1] }
        var (low, high) = (0, words.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if place(words[middle]) <= border - Self.reach { low = middle } else { high = middle }
        }
        guard low < words.count else { return (section.lowerBound, first) }
        return (max(section.lowerBound, place(words[low])), words[low])
    }
}
