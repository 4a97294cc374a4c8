// What BERT's tokenizers do to a text before its words become tokens, and what they take for controls, accents and punctuation:
// general categories as Unicode 8 had them, by which the library `tokenizers` goes. What is newer belongs to words.

struct BertNormalizer: Sendable, Equatable {
    /// Controls go, and white space of any kind is a space.
    var cleans = true
    /// Ideographs stand between spaces: each is a word.
    var spacesIdeographs = true
    var stripsAccents = true
    var lowercases = true

    /// Spaces around three bytes; three more for each of the two Unicode mappings.
    var growth: Int { (spacesIdeographs ? 2 : 1) * (stripsAccents ? 3 : 1) * (lowercases ? 3 : 1) }

    func apply(to text: inout [UInt8]) {
        if cleans || spacesIdeographs { clean(&text) }
        if stripsAccents {
            Normalizer.nfd.apply(to: &text, isFirst: true)
            BertText.remove(from: &text) { BertText.isAccent($0) }
        }
        if lowercases { Normalizer.lowercase.apply(to: &text, isFirst: true) }
    }

    private func clean(_ text: inout [UInt8]) {
        let space = UInt8(ascii: " ")
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        UTF8Text.forEachScalar(of: text) { scalar, bytes in
            if cleans {
                if BertText.isControl(scalar) { return }
                if scalar.properties.isWhitespace { return result.append(space) }
            }
            let isSpaced = spacesIdeographs && BertText.isIdeograph(scalar.value)
            if isSpaced { result.append(space) }
            result += text[bytes]
            if isSpaced { result.append(space) }
        }
        text = result
    }
}

enum BertText {
    /// Words and punctuation, without the white space between them.
    static func words(_ text: UnsafeBufferPointer<UInt8>, in range: Range<Int>, _ body: (Range<Int>) -> Void)
    {
        var start = range.lowerBound
        UTF8Text.forEachScalar(of: text, in: range) { scalar, bytes in
            let isSpace = scalar.properties.isWhitespace
            guard isSpace || isPunctuation(scalar) else { return }
            if start < bytes.lowerBound { body(start..<bytes.lowerBound) }
            if !isSpace { body(bytes) }
            start = bytes.upperBound
        }
        if start < range.upperBound { body(start..<range.upperBound) }
    }

    fileprivate static func remove(from text: inout [UInt8], where isRemoved: (Unicode.Scalar) -> Bool) {
        guard text.contains(where: { $0 >= 0x80 }) else { return }
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        UTF8Text.forEachScalar(of: text) { scalar, bytes in
            if !isRemoved(scalar) { result += text[bytes] }
        }
        text = result
    }

    fileprivate static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "\t", "\n", "\r": return false
        case "\u{FFFD}": return true
        default: break
        }
        switch scalar.properties.generalCategory {
        case .control, .format, .privateUse: return isKnown(scalar)
        default: return false
        }
    }

    fileprivate static func isAccent(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case ..<0x300: false
        case 0x1734, 0x1171E: true
        case 0x1885, 0x1886, 0xA9BD, 0x111C9: false
        default: scalar.properties.generalCategory == .nonspacingMark && isKnown(scalar)
        }
    }

    private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E, 0x166D, 0x111C9: return true
        case ..<0x80: return false
        default: break
        }
        switch scalar.properties.generalCategory {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
            .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            return isKnown(scalar)
        default: return false
        }
    }

    private static func isKnown(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.age.map { $0.major <= 8 } ?? false
    }

    fileprivate static func isIdeograph(_ value: UInt32) -> Bool {
        switch value {
        case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x2A6DF, 0x2A700...0x2B81F,
            0x2B920...0x2CEAF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}
