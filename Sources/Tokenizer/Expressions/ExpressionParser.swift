// Reads a regular expression as tokenizers use them (Oniguruma's syntax, which is Ruby's). What it cannot read is
// refused: an expression read wrongly would give other tokens in silence.
//
//   a|b  ab  (a)  (?:a)  (?i:a)  (?=S)  (?!S)  $  .  [a-z\s\p{Lu}&&[^x]]  \p{L}  \P{L}  \p{^L}  \s  \d  \r  \x{61}
//   a?  a*  a+  a{1,3}  each with ? for as few as possible;  S?+  S*+  S++ for all there are;  S is a set of scalars

/// Why an expression is refused.
struct ExpressionError: Error, Equatable {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

indirect enum ExpressionNode {
    case set(ScalarSet)
    case sequence([ExpressionNode])
    case choice([ExpressionNode])
    case repetition(ExpressionNode, atLeast: Int, atMost: Int?, isLazy: Bool)
    /// The scalar that comes next is in the set, or the text ends there if `orEnd` is set.
    case next(ScalarSet, orEnd: Bool)
}

struct ExpressionParser {
    private static let maximumLength = 4096
    private static let maximumDepth = 32
    private static let maximumCount = 1000
    /// Where case is ignored, one character stands for each of these too.
    private static let ligatures = ["ff", "fi", "fl", "ss", "st"]

    let pattern: [Unicode.Scalar]
    var position = 0
    var depth = 0
    private(set) var ignoresCase = false

    static func parse(_ pattern: String) throws(ExpressionError) -> ExpressionNode {
        var parser = ExpressionParser(Array(pattern.unicodeScalars.prefix(maximumLength + 1)))
        guard parser.pattern.count <= maximumLength else {
            throw ExpressionError("it is longer than \(maximumLength) characters")
        }
        let node = try parser.choice()
        guard parser.peek == nil else { throw parser.unexpected() }
        return node
    }

    private init(_ pattern: [Unicode.Scalar]) { self.pattern = pattern }

    // MARK: - Structure

    private mutating func choice() throws(ExpressionError) -> ExpressionNode {
        var branches = [try sequence()]
        while take("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : .choice(branches)
    }

    private mutating func sequence() throws(ExpressionError) -> ExpressionNode {
        var nodes: [ExpressionNode] = []
        while let scalar = peek, scalar != "|", scalar != ")" { nodes.append(try quantified()) }
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    private mutating func quantified() throws(ExpressionError) -> ExpressionNode {
        var node = try atom()
        for _ in 0..<2 {
            guard let (least, most) = try quantifier() else { return node }
            let isInterval = pattern[position - 1] == "}"
            if !isInterval, take("+") {
                node = try possessive(node, least, most)
            } else if take("?") {
                guard !isInterval else { throw refusal("a '?' behind a '}'") }
                node = .repetition(node, atLeast: least, atMost: most, isLazy: true)
            } else {
                node = .repetition(node, atLeast: least, atMost: most, isLazy: false)
            }
        }
        guard try quantifier() == nil else { throw refusal("a third quantifier in a row") }
        return node
    }

    /// A run of a set that gives nothing back ends where the set does.
    private func possessive(_ node: ExpressionNode, _ least: Int, _ most: Int?) throws(ExpressionError)
        -> ExpressionNode
    {
        guard case .set(let set) = node else { throw refusal("a possessive quantifier of a group") }
        let isOver = ExpressionNode.next(.complement(set), orEnd: true)
        if most == 1 { return .choice([node, isOver]) }
        return .sequence([.repetition(node, atLeast: least, atMost: most, isLazy: false), isOver])
    }

    private mutating func quantifier() throws(ExpressionError) -> (Int, Int?)? {
        if take("?") { return (0, 1) }
        if take("*") { return (0, nil) }
        if take("+") { return (1, nil) }
        guard take("{") else { return nil }
        let least = try count() ?? 0
        guard take(",") else {
            try expect("}")
            return (least, least)
        }
        let most = try count()
        try expect("}")
        guard most ?? least >= least else { throw refusal("an interval that ends before it begins") }
        return (least, most)
    }

    private mutating func count() throws(ExpressionError) -> Int? {
        var value: Int?
        while let scalar = peek, "0"..."9" ~= scalar {
            value = (value ?? 0) * 10 + Int(scalar.value - 48)
            guard value ?? 0 <= Self.maximumCount else {
                throw refusal("a count beyond \(Self.maximumCount)")
            }
            position += 1
        }
        return value
    }

    private mutating func atom() throws(ExpressionError) -> ExpressionNode {
        guard let scalar = peek else { throw unexpected() }
        switch scalar {
        case "(": return try group()
        case "[": return .set(try characterClass())
        case ".":
            position += 1
            return .set(.complement(.scalar(0x0A)))
        case "$":
            position += 1
            return .next(.scalar(0x0A), orEnd: true)
        case "\\":
            if pattern.count > position + 1, pattern[position + 1] == "z" {
                position += 2
                return .next(.union([]), orEnd: true)
            }
            return .set(try escape())
        case "?", "*", "+", "{", "^", ")": throw unexpected()
        default:
            position += 1
            let pair = pattern[..<position].suffix(2).map(\.properties.lowercaseMapping).joined()
            guard !ignoresCase || !Self.ligatures.contains(pair) else {
                throw refusal("'\(pair)', which is one character in some texts, ignoring case,")
            }
            return .set(try literal(scalar))
        }
    }

    private mutating func group() throws(ExpressionError) -> ExpressionNode {
        try enter()
        defer { depth -= 1 }
        let outside = ignoresCase
        defer { ignoresCase = outside }
        try expect("(")
        var isAhead = false
        var isNegative = false
        if take("?") {
            if take("i") {
                try expect(":")
                ignoresCase = true
            } else if take("=") {
                isAhead = true
            } else if take("!") {
                (isAhead, isNegative) = (true, true)
            } else {
                guard take(":") else { throw refusal("a group of this kind") }
            }
        }
        let node = try choice()
        try expect(")")
        guard isAhead else { return node }
        guard let set = node.asSet else { throw refusal("a look ahead over more than one character") }
        return isNegative ? .next(.complement(set), orEnd: true) : .next(set, orEnd: false)
    }

    // MARK: - Reading

    var peek: Unicode.Scalar? { position < pattern.count ? pattern[position] : nil }

    mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == scalar else { return false }
        position += 1
        return true
    }

    mutating func expect(_ scalar: Unicode.Scalar) throws(ExpressionError) {
        guard take(scalar) else { throw unexpected() }
    }

    mutating func enter() throws(ExpressionError) {
        depth += 1
        guard depth <= Self.maximumDepth else {
            throw ExpressionError("it is nested deeper than \(Self.maximumDepth)")
        }
    }

    func unexpected() -> ExpressionError {
        guard let peek else { return ExpressionError("it ends too early") }
        return ExpressionError("'\(peek)' at character \(position) is out of place")
    }

    func refusal(_ what: String) -> ExpressionError {
        ExpressionError("it has \(what) before character \(position), which is not supported")
    }
}

extension ExpressionNode {
    /// The scalars that it matches, where it always matches just one.
    fileprivate var asSet: ScalarSet? {
        switch self {
        case .set(let set): return set
        case .choice(let nodes):
            let sets = nodes.compactMap(\.asSet)
            return sets.count == nodes.count ? .union(sets) : nil
        default: return nil
        }
    }
}
