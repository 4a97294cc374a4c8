// Token ids back to text. Byte-level tokens are bytes; tokens of SentencePiece are text with ▁ for a space and
// `<0x0A>` for a byte; those of BERT are words and their ends. Text is handed out where a character is complete, so tokens may be decoded as they are drawn.

struct TokenDecoder: Sendable {
    enum Style: Sendable, Equatable {
        case byteLevel
        /// `stripsLeadingSpace`: the encoder put one before the text.
        case metaspace(stripsLeadingSpace: Bool)
        /// Tokens are words, and what continues a word has a prefix. `cleansUp`: no space before a comma and the like.
        case wordPiece(prefix: [UInt8], cleansUp: Bool)

        /// A space that no text had stands before the first token.
        var stripsLeadingSpace: Bool {
            switch self {
            case .byteLevel: false
            case .metaspace(let strips): strips
            case .wordPiece: true
            }
        }
    }

    let style: Style
    private let bytes: [UInt8]
    private let ends: [UInt32]
    private let isByte: [Bool]
    private let isSpecial: [Bool]

    init(style: Style, vocabulary: Vocabulary, addedTokens: [AddedToken]) {
        self.style = style
        var texts: [Int: AddedToken] = [:]
        for token in addedTokens { texts[Int(token.id)] = token }
        let count = max(vocabulary.count, (texts.keys.max() ?? -1) + 1)

        var bytes: [UInt8] = []
        var ends: [UInt32] = []
        ends.reserveCapacity(count)
        var isByte = [Bool](repeating: false, count: count)
        var isSpecial = isByte
        let space = Array("▁".utf8)
        for id in 0..<count {
            let added = texts[id]
            isSpecial[id] = added?.isSpecial ?? false
            if let token = added.map({ Array($0.content.utf8)[...] }) ?? vocabulary.bytes(of: id) {
                switch style {
                case .byteLevel:
                    bytes.append(contentsOf: added == nil ? ByteLevel.decode(token) : Array(token))
                case .wordPiece(let prefix, let cleansUp):
                    bytes += TokenDecoder.word(Array(token), continuing: prefix, cleansUp: cleansUp)
                case .metaspace:
                    if let byte = ByteToken.byte(of: token) {
                        bytes.append(byte)
                        isByte[id] = true
                    } else {
                        var text = Array(token)
                        Normalizer.replace(space, with: [UInt8(ascii: " ")], in: &text)
                        bytes.append(contentsOf: text)
                    }
                }
            }
            ends.append(UInt32(bytes.count))
        }
        (self.bytes, self.ends, self.isByte, self.isSpecial) = (bytes, ends, isByte, isSpecial)
    }

    /// A token of words as it stands behind another.
    private static func word(_ token: [UInt8], continuing prefix: [UInt8], cleansUp: Bool) -> [UInt8] {
        var word = token.starts(with: prefix) ? Array(token[prefix.count...]) : [UInt8(ascii: " ")] + token
        guard cleansUp else { return word }
        for (spaced, joined) in [
            (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
        ] {
            Normalizer.replace(Array(spaced.utf8), with: Array(joined.utf8), in: &word)
        }
        return word
    }

    /// The bytes of a token; nil for an id that is none, or that is left out.
    func bytes(of id: Int32, skippingSpecial: Bool) -> (bytes: ArraySlice<UInt8>, isByte: Bool)? {
        guard let id = Int(exactly: id), id >= 0, id < ends.count, !(skippingSpecial && isSpecial[id]) else {
            return nil
        }
        return (bytes[(id == 0 ? 0 : Int(ends[id - 1]))..<Int(ends[id])], isByte[id])
    }
}

/// Decodes a stream of tokens; what each call returns is whole characters.
package struct StreamDecoder: Sendable {
    private let decoder: TokenDecoder
    private let skipsSpecialTokens: Bool
    private var pending: [UInt8] = []
    private var isAtStart = true

    init(_ decoder: TokenDecoder, skipSpecialTokens: Bool) {
        self.decoder = decoder
        skipsSpecialTokens = skipSpecialTokens
    }

    /// The text that this token completes, empty where a character is still cut.
    package mutating func append(_ id: Int32) -> String {
        guard let (bytes, isByte) = decoder.bytes(of: id, skippingSpecial: skipsSpecialTokens) else {
            return ""
        }
        var text = ""
        if decoder.style != .byteLevel, !isByte { text = finish() }
        pending.append(contentsOf: bytes)
        if isAtStart, let first = pending.first {
            if decoder.style.stripsLeadingSpace, first == UInt8(ascii: " ") { pending.removeFirst() }
            isAtStart = false
        }
        let complete = pending.count - StreamDecoder.incompleteTail(pending)
        text += String(decoding: pending[..<complete], as: UTF8.self)
        pending.removeFirst(complete)
        return text
    }

    /// What is left of a character that never became whole, as U+FFFD.
    package mutating func finish() -> String {
        defer { pending.removeAll(keepingCapacity: true) }
        return String(decoding: pending, as: UTF8.self)
    }

    /// How many bytes at the end begin a character that more bytes could complete.
    private static func incompleteTail(_ bytes: [UInt8]) -> Int {
        for length in 1...3 where length <= bytes.count {
            let lead = bytes[bytes.count - length]
            if lead & 0xC0 == 0x80 { continue }
            let needed = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1
            guard needed > length, isPossible(bytes.suffix(length)) else { return 0 }
            return length
        }
        return 0
    }

    /// Whether bytes are the beginning of a well-formed character (table 3-7 of the Unicode standard).
    private static func isPossible(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard let lead = bytes.first, lead >= 0xC2, lead <= 0xF4 else { return false }
        guard let second = bytes.dropFirst().first else { return true }
        return switch lead {
        case 0xE0: second >= 0xA0
        case 0xED: second < 0xA0
        case 0xF0: second >= 0x90
        case 0xF4: second < 0x90
        default: true
        }
    }
}
