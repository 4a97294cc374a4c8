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

/// Finds a set of added tokens in text, by a trie of their bytes.
struct AddedTokenMatcher: Sendable {
    private struct Node: Sendable {
        var children: [UInt8: Int] = [:]
        var token: Int?
    }

    /// Each place of a text may be looked at this often.
    private static let maximumBytes = 1024

    private let tokens: [AddedToken]
    private var nodes = [Node()]
    private var starts = [Bool](repeating: false, count: 256)

    /// `patterns[i]` is what `tokens[i]` looks like in the text.
    init(_ tokens: [AddedToken], patterns: [[UInt8]]) {
        self.tokens = tokens
        for (index, pattern) in patterns.enumerated() where !pattern.isEmpty {
            starts[Int(pattern[0])] = true
            var node = 0
            for byte in pattern {
                if let child = nodes[node].children[byte] {
                    node = child
                } else {
                    nodes.append(Node())
                    nodes[node].children[byte] = nodes.count - 1
                    node = nodes.count - 1
                }
            }
            if nodes[node].token == nil { nodes[node].token = index }
        }
    }

    static func checkLength(_ content: String, path: String) throws(FileError) {
        guard content.utf8.count <= maximumBytes else {
            throw FileError(
                path, "an added token has \(content.utf8.count) bytes, the limit is \(maximumBytes)")
        }
    }

    /// `text` is valid UTF-8.
    func sections(_ text: [UInt8]) -> [TextSection] {
        guard nodes.count > 1 else { return text.isEmpty ? [] : [.text(text.indices)] }
        var sections: [TextSection] = []
        var done = 0
        var position = 0
        while position < text.count {
            guard starts[Int(text[position])], let (token, matchEnd) = match(text, at: position) else {
                position += 1
                continue
            }
            let range = position..<matchEnd
            position = matchEnd
            // White space that the token before took along is gone.
            if range.lowerBound < done || token.singleWord && touchesWord(text, range) { continue }
            let start =
                token.stripsLeft ? max(done, spaceStart(text, before: range.lowerBound)) : range.lowerBound
            let end = token.stripsRight ? spaceEnd(text, from: range.upperBound) : range.upperBound
            if done < start { sections.append(.text(done..<start)) }
            sections.append(.token(token.id, end: range.upperBound))
            done = end
        }
        if done < text.count { sections.append(.text(done..<text.count)) }
        return sections
    }

    private func match(_ text: [UInt8], at start: Int) -> (AddedToken, Int)? {
        var node = 0
        var position = start
        var longest: (AddedToken, Int)?
        while position < text.count, let child = nodes[node].children[text[position]] {
            node = child
            position += 1
            if let token = nodes[node].token { longest = (tokens[token], position) }
        }
        return longest
    }

    private func touchesWord(_ text: [UInt8], _ range: Range<Int>) -> Bool {
        UTF8Text.scalar(text, at: range.upperBound)?.isWordCharacter ?? false
            || UTF8Text.scalar(text, before: range.lowerBound)?.isWordCharacter ?? false
    }

    private func spaceStart(_ text: [UInt8], before end: Int) -> Int {
        var start = end
        while let scalar = UTF8Text.scalar(text, before: start), scalar.properties.isWhitespace {
            start -= UTF8.width(scalar)
        }
        return start
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
