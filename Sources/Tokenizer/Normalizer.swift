// What is done to text before it is cut into words. Of the normalizers of `tokenizers` those of the Llama family.

@_spi(_Unicode) import Swift

enum Normalizer: Sendable, Equatable {
    /// Canonical composition (Unicode's annex 15).
    case nfc
    /// Puts a string before text that is not empty.
    case prepend([UInt8])
    /// The same where the text does not begin with it already; `onlyFirst`: nor follows an added token.
    case prependOnce([UInt8], onlyFirst: Bool)
    case replace([UInt8], with: [UInt8])

    /// `isFirst`: nothing comes before this piece of text.
    func apply(to text: inout [UInt8], isFirst: Bool) {
        switch self {
        case .nfc:
            guard text.contains(where: { $0 >= 0x80 }) else { return }
            var composed: [UInt8] = []
            composed.reserveCapacity(text.count)
            for scalar in String(decoding: text, as: UTF8.self)._nfc {
                composed.append(contentsOf: String(scalar).utf8)
            }
            text = composed
        case .prepend(let prefix):
            if !text.isEmpty { text.insert(contentsOf: prefix, at: 0) }
        case .prependOnce(let prefix, let onlyFirst):
            guard !text.isEmpty, isFirst || !onlyFirst, !text.starts(with: prefix) else { return }
            text.insert(contentsOf: prefix, at: 0)
        case .replace(let pattern, let replacement):
            Normalizer.replace(pattern, with: replacement, in: &text)
        }
    }

    static func replace(_ pattern: [UInt8], with replacement: [UInt8], in text: inout [UInt8]) {
        guard let first = pattern.first, text.contains(first) else { return }
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var position = 0
        while position < text.count {
            if text[position] == first, text[position...].starts(with: pattern) {
                result.append(contentsOf: replacement)
                position += pattern.count
            } else {
                result.append(text[position])
                position += 1
            }
        }
        text = result
    }
}
