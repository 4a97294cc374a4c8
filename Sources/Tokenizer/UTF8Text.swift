// Scalars in UTF-8 that is known to be valid.

enum UTF8Text {
    /// How many bytes the scalar has whose first byte this is.
    @inline(__always)
    static func length(_ lead: UInt8) -> Int { lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4 }

    /// The scalar whose bytes lie in the range.
    @inline(__always)
    static func value<Text: RandomAccessCollection<UInt8>>(_ text: Text, _ range: Range<Int>) -> UInt32
    where Text.Index == Int {
        let lead = text[range.lowerBound]
        guard lead >= 0x80 else { return UInt32(lead) }
        var value = UInt32(lead) & (0x7F >> UInt32(range.count))
        for position in range.dropFirst() { value = value << 6 | UInt32(text[position] & 0x3F) }
        return value
    }

    /// Each scalar and where its bytes lie. Ranges begin and end between scalars.
    @inline(__always)
    static func forEachScalar<Text: RandomAccessCollection<UInt8>>(
        of text: Text, in range: Range<Int>? = nil, _ body: (Unicode.Scalar, Range<Int>) -> Void
    ) where Text.Index == Int {
        let range = range ?? text.startIndex..<text.endIndex
        var start = range.lowerBound
        while start < range.upperBound {
            let bytes = start..<min(start + length(text[start]), range.upperBound)
            body(Unicode.Scalar(value(text, bytes)) ?? "\u{FFFD}", bytes)
            start = bytes.upperBound
        }
    }

    /// The scalar that begins at a place; nil at the end of the text.
    static func scalar(_ text: [UInt8], at start: Int) -> Unicode.Scalar? {
        guard start < text.count else { return nil }
        return Unicode.Scalar(value(text, start..<min(start + length(text[start]), text.count)))
    }

    /// The scalar that ends at a place; nil at the beginning of the text.
    static func scalar(_ text: [UInt8], before end: Int) -> Unicode.Scalar? {
        guard end > 0 else { return nil }
        var start = end - 1
        while start > 0, text[start] & 0xC0 == 0x80 { start -= 1 }
        return Unicode.Scalar(value(text, start..<end))
    }
}
