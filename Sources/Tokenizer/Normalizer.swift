// What is done to text before it is cut into words: of the normalizers of `tokenizers` those that models use.

@_spi(_Unicode) import Swift

enum Normalizer: Sendable, Equatable {
    /// Canonical composition and decomposition (Unicode's annex 15).
    case nfc, nfd
    /// Each scalar by itself.
    case lowercase
    /// Takes white space away.
    case strip(left: Bool, right: Bool)
    /// Puts a string before text that is not empty.
    case prepend([UInt8])
    /// The same where the text does not begin with it already; `onlyFirst`: nor follows an added token.
    case prependOnce([UInt8], onlyFirst: Bool)
    case replace([UInt8], with: [UInt8])
    case replaceMatches(Expression, with: [UInt8])
    case bert(BertNormalizer)
    case precompiled(CharacterMap)

    /// A list of normalizers that could make a text longer than by this is refused.
    static let maximumGrowth = 64

    /// By how much it makes a text longer at most.
    var growth: Int {
        switch self {
        case .replace(let pattern, let text): max(1, (text.count + pattern.count - 1) / pattern.count)
        case .replaceMatches(_, let text): max(1, text.count)
        case .nfc, .nfd, .lowercase: 3
        case .strip: 1
        case .bert(let normalizer): normalizer.growth
        case .precompiled(let map): map.growth
        case .prepend(let text), .prependOnce(let text, _): 1 + text.count
        }
    }

    /// `isFirst`: nothing comes before this piece of text.
    func apply(to text: inout [UInt8], isFirst: Bool) {
        switch self {
        case .nfc: Normalizer.normalize(&text) { $0._nfc }
        case .nfd: Normalizer.normalize(&text) { $0._nfd }
        case .lowercase:
            Normalizer.map(&text) {
                $0.unicodeScalars.lazy.flatMap(\.properties.lowercaseMapping.unicodeScalars)
            }
        case .strip(let left, let right):
            if right {
                while let last = UTF8Text.scalar(text, before: text.count), last.properties.isWhitespace {
                    text.removeLast(UTF8.width(last))
                }
            }
            if left {
                var start = 0
                while let first = UTF8Text.scalar(text, at: start), first.properties.isWhitespace {
                    start += UTF8.width(first)
                }
                text.removeFirst(start)
            }
        case .bert(let normalizer): normalizer.apply(to: &text)
        case .precompiled(let map): map.apply(to: &text)
        case .prepend(let prefix):
            if !text.isEmpty { text.insert(contentsOf: prefix, at: 0) }
        case .prependOnce(let prefix, let onlyFirst):
            guard !text.isEmpty, isFirst || !onlyFirst, !text.starts(with: prefix) else { return }
            text.insert(contentsOf: prefix, at: 0)
        case .replace(let pattern, let replacement):
            Normalizer.replace(pattern, with: replacement, in: &text)
        case .replaceMatches(let expression, let replacement):
            var result: [UInt8] = []
            text.withUnsafeBufferPointer { pointer in
                expression.pieces(of: pointer, in: pointer.indices) { piece, isMatch in
                    if isMatch { result += replacement } else { result += pointer[piece] }
                }
            }
            text = result
        }
    }

    /// Text of ASCII alone has one form.
    private static func normalize<Scalars: Sequence<Unicode.Scalar>>(
        _ text: inout [UInt8], _ form: (String) -> Scalars
    ) {
        guard text.contains(where: { $0 >= 0x80 }) else { return }
        CombiningMarks.order(&text)
        map(&text, form)
    }

    private static func map<Scalars: Sequence<Unicode.Scalar>>(
        _ text: inout [UInt8], _ form: (String) -> Scalars
    ) {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for scalar in form(String(decoding: text, as: UTF8.self)) {
            result.append(contentsOf: UTF8.encode(scalar) ?? .init())
        }
        text = result
    }

    static func replace(_ pattern: [UInt8], with replacement: [UInt8], in text: inout [UInt8]) {
        guard let first = pattern.first, text.contains(first) else { return }
        let search = ByteSearch(pattern)
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var rest = text[...]
        while let start = search.first(in: rest) {
            result.append(contentsOf: rest[..<start])
            result.append(contentsOf: replacement)
            rest = rest[(start + pattern.count)...]
        }
        result.append(contentsOf: rest)
        text = result
    }
}
