// What the regular expressions of tokenizers distinguish: \p{L}, \p{N}, \s, line ends, and the rest.

enum ScalarKind {
    case letter, number, space, newline, other

    var isWhitespace: Bool { self == .space || self == .newline }

    init(_ scalar: Unicode.Scalar) {
        if scalar.isASCII {
            self = ScalarKind.ascii[Int(scalar.value)]
        } else if scalar.properties.isWhitespace {
            self = .space
        } else {
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
                self = scalar.isKnownToExpressions ? .letter : .other
            case .decimalNumber, .letterNumber, .otherNumber:
                self = scalar.isKnownToExpressions ? .number : .other
            default: self = .other
            }
        }
    }

    private static let ascii: [ScalarKind] = (UInt8(0)..<0x80).map { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): .letter
        case UInt8(ascii: "0")...UInt8(ascii: "9"): .number
        case 0x0A, 0x0D: .newline
        case 0x09, 0x0B, 0x0C, 0x20: .space
        default: .other
        }
    }
}

extension Unicode.Scalar {
    /// The regular expressions of `tokenizers` 0.22 know Unicode 16; a newer table here must not change the tokens.
    fileprivate var isKnownToExpressions: Bool { properties.age.map { $0.major <= 16 } ?? false }

    /// What Rust calls numeric, by a table of its own.
    var isNumeric: Bool {
        if isASCII { return "0"..."9" ~= self }
        switch properties.generalCategory {
        case .decimalNumber, .letterNumber, .otherNumber: return true
        default: return false
        }
    }
}

/// A place in UTF-8 text that knows the kind of the scalar there.
struct TextCursor {
    let text: [UInt8]
    let end: Int
    private(set) var position: Int
    private(set) var scalar: Unicode.Scalar = " "
    private var length = 0

    /// nil at the end.
    private(set) var kind: ScalarKind?

    init(_ text: [UInt8], _ range: Range<Int>) {
        self.text = text
        end = range.upperBound
        position = range.lowerBound
        look()
    }

    mutating func advance() {
        guard kind != nil else { return }
        position += length
        look()
    }

    mutating func skip(while condition: (ScalarKind) -> Bool) {
        while let kind, condition(kind) { advance() }
    }

    mutating func skip(_ wanted: ScalarKind) { skip { $0 == wanted } }

    private mutating func look() {
        guard position < end else {
            kind = nil
            return
        }
        (scalar, length) = TextCursor.decode(text, at: position, end: end)
        kind = ScalarKind(scalar)
    }

    /// The text is valid UTF-8, cut only between scalars.
    private static func decode(_ text: [UInt8], at position: Int, end: Int) -> (Unicode.Scalar, Int) {
        let lead = text[position]
        if lead < 0x80 { return (Unicode.Scalar(lead), 1) }
        let length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
        var value = UInt32(lead) & (0x7F >> UInt32(length))
        for offset in 1..<length where position + offset < end {
            value = value << 6 | UInt32(text[position + offset] & 0x3F)
        }
        return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
    }
}
