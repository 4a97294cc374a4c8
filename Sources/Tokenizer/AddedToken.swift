// Tokens that are found in the text itself before it is cut into words: the longest at the leftmost place, with the
// rules of `tokenizers` for the white space around them.

import Checkpoints

package struct AddedToken: Sendable, Equatable {
    package let id: Int32
    package let content: String
    /// Only where no word character touches it.
    package var singleWord = false
    /// Takes the white space before it, or behind it, along.
    package var stripsLeft = false
    package var stripsRight = false
    /// Looked for in the normalized text instead of the original.
    package var isNormalized = false
    /// Left out by `decode(_:skipSpecialTokens: true)`.
    package var isSpecial = false
}

/// A piece of text: an added token, or bytes still to be encoded.
enum TextSection: Equatable {
    /// `end`: where in the text the token ends, without the white space that it takes along.
    case token(Int32, end: Int)
    case text(Range<Int>)
}

/// Finds a set of added tokens in text.
struct AddedTokenMatcher: Sendable {
    private static let maximumBytes = 1024
    private static let maximumSum = 1 << 22

    private let tokens: [AddedToken]
    private let patterns: PatternAutomaton

    /// `patterns[i]` is what `tokens[i]` looks like in the text.
    init(_ tokens: [AddedToken], patterns: [[UInt8]]) {
        self.tokens = tokens
        self.patterns = PatternAutomaton(patterns)
    }

    /// `growth`: how many times as long a normalizer may make them.
    static func check(_ tokens: [AddedToken], growth: Int, path: String) throws(FileError) {
        var sum = 0
        for token in tokens {
            let count = token.content.utf8.count
            guard count <= maximumBytes else {
                throw FileError(path, "an added token has \(count) bytes, the limit is \(maximumBytes)")
            }
            sum += token.isNormalized ? count * growth : count
            guard sum <= maximumSum else {
                throw FileError(path, "the added tokens have more than \(maximumSum) bytes, normalized")
            }
        }
    }

    /// `text` is valid UTF-8.
    func sections(_ text: [UInt8]) -> [TextSection] {
        var sections: [TextSection] = []
        var done = 0
        var position = 0
        for match in patterns.longestMatches(in: text).reversed() where match.start >= position {
            let token = tokens[match.pattern]
            let range = match.start..<match.start + match.count
            position = range.upperBound
            // White space that the token before took along is gone.
            if range.lowerBound < done || token.singleWord && touchesWord(text, range) { continue }
            let start =
                token.stripsLeft ? spaceStart(text, before: range.lowerBound, from: done) : range.lowerBound
            let end = token.stripsRight ? spaceEnd(text, from: range.upperBound) : range.upperBound
            if done < start { sections.append(.text(done..<start)) }
            sections.append(.token(token.id, end: range.upperBound))
            done = end
        }
        if done < text.count { sections.append(.text(done..<text.count)) }
        return sections
    }

    private func touchesWord(_ text: [UInt8], _ range: Range<Int>) -> Bool {
        UTF8Text.scalar(text, at: range.upperBound)?.isWordCharacter ?? false
            || UTF8Text.scalar(text, before: range.lowerBound)?.isWordCharacter ?? false
    }

    /// Not before `first`, so that no run of white space is walked twice.
    private func spaceStart(_ text: [UInt8], before end: Int, from first: Int) -> Int {
        var start = end
        while start > first, let scalar = UTF8Text.scalar(text, before: start), scalar.properties.isWhitespace
        {
            start -= UTF8.width(scalar)
        }
        return max(first, start)
    }

    private func spaceEnd(_ text: [UInt8], from start: Int) -> Int {
        var end = start
        while let scalar = UTF8Text.scalar(text, at: end), scalar.properties.isWhitespace {
            end += UTF8.width(scalar)
        }
        return end
    }
}

extension Unicode.Scalar {
    /// `\w` as Unicode's annex on regular expressions (UTS 18) defines it.
    fileprivate var isWordCharacter: Bool {
        if properties.isAlphabetic || properties.isJoinControl { return true }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return false
        }
    }
}
