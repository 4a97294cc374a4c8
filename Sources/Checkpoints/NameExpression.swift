// A regular expression of Python's for names of modules, matched against a whole name by all its ways at once
// (Thompson 1968): n·m steps for a name of n bytes and m instructions, whatever the expression.
//
//   a|b  ab  (a)  (?:a)  .  [a-z_]  [^.]  \d  \w  \s  \.  ^  $  a?  a*  a+  a{1,3}, each also with ? behind it
//
// Where the ways go is not asked, only whether one comes to the end, so a lazy quantifier is as a greedy one.
// What it cannot read is refused: an expression read wrongly would give modules other ranks in silence.

struct NameExpression: Sendable, Equatable {
    private enum Instruction: Sendable, Equatable {
        case take(ByteSet)
        case atStart, atEnd
        case jump(Int)
        case fork(Int, Int)
    }

    private static let maximumInstructions = 1024

    private let instructions: [Instruction]

    init(_ pattern: String) throws(Refusal) {
        var parser = Parser(Array(pattern.utf8))
        let node = try parser.choice(depth: 0)
        guard parser.peek == nil else { throw Refusal("a ')' without its '('") }
        var instructions: [Instruction] = []
        try Self.append(node, to: &instructions)
        self.instructions = instructions
    }

    /// Why an expression is refused: what it has.
    struct Refusal: Error {
        let what: String
        init(_ what: String) { self.what = what }
    }

    func matches(_ name: some StringProtocol) -> Bool {
        let bytes = Array(name.utf8)
        var places = reached([0], at: 0, of: bytes.count)
        for (index, byte) in bytes.enumerated() {
            let next = places.compactMap { place -> Int? in
                guard case .take(let set)? = instruction(place), set.contains(byte) else { return nil }
                return place + 1
            }
            places = reached(next, at: index + 1, of: bytes.count)
            if places.isEmpty { return false }
        }
        return places.contains(instructions.count)
    }

    private func instruction(_ place: Int) -> Instruction? {
        place < instructions.count ? instructions[place] : nil
    }

    /// All places to which these lead before a byte is taken.
    private func reached(_ places: [Int], at position: Int, of count: Int) -> [Int] {
        var seen = [Bool](repeating: false, count: instructions.count + 1)
        var open = places
        var all: [Int] = []
        while let place = open.popLast() {
            if seen[place] { continue }
            seen[place] = true
            switch instruction(place) {
            case .jump(let target): open.append(target)
            case .fork(let first, let second): open += [first, second]
            case .atStart: if position == 0 { open.append(place + 1) }
            case .atEnd: if position == count { open.append(place + 1) }
            case .take, nil: all.append(place)
            }
        }
        return all
    }

    // MARK: - From a tree to instructions

    fileprivate indirect enum Node {
        case set(ByteSet)
        case start, end
        case sequence([Node])
        case choice([Node])
        case repetition(Node, least: Int, most: Int?)
    }

    private static func append(_ node: Node, to list: inout [Instruction]) throws(Refusal) {
        guard list.count < maximumInstructions else {
            throw Refusal("more than \(maximumInstructions) steps")
        }
        switch node {
        case .set(let set): list.append(.take(set))
        case .start: list.append(.atStart)
        case .end: list.append(.atEnd)
        case .sequence(let nodes): for node in nodes { try append(node, to: &list) }
        case .choice(let nodes):
            var jumps: [Int] = []
            for node in nodes.dropLast() {
                let fork = list.count
                list.append(.jump(0))
                try append(node, to: &list)
                jumps.append(list.count)
                list.append(.jump(0))
                list[fork] = .fork(fork + 1, list.count)
            }
            if let last = nodes.last { try append(last, to: &list) }
            for jump in jumps { list[jump] = .jump(list.count) }
        case .repetition(let node, let least, let most):
            for _ in 0..<least {
                let before = list.count
                try append(node, to: &list)
                if list.count == before { return }  // nothing, however often
            }
            let optional = most.map { $0 - least } ?? 1
            for _ in 0..<optional {
                let fork = list.count
                list.append(.jump(0))
                try append(node, to: &list)
                if most == nil { list.append(.jump(fork)) }
                list[fork] = .fork(fork + 1, list.count)
            }
        }
    }
}

/// A set of bytes.
private struct ByteSet: Sendable, Equatable {
    private var words: [UInt64] = [0, 0, 0, 0]

    init(_ bytes: some Sequence<UInt8>) { for byte in bytes { insert(byte) } }

    mutating func insert(_ byte: UInt8) { words[Int(byte / 64)] |= 1 << UInt64(byte % 64) }
    func contains(_ byte: UInt8) -> Bool { words[Int(byte / 64)] & 1 << UInt64(byte % 64) != 0 }
    func union(_ other: ByteSet) -> ByteSet {
        ByteSet((0...255).filter { contains($0) || other.contains($0) })
    }
    var complement: ByteSet { ByteSet((0...255).filter { !contains($0) }) }

    static let digits = ByteSet(UInt8(ascii: "0")...UInt8(ascii: "9"))
    static let word = ByteSet(
        (0...127).filter { (byte: UInt8) in
            let character = Character(Unicode.Scalar(byte))
            return character == "_" || character.isLetter || character.isNumber
        })
    static let space = ByteSet(" \t\n\r\u{0B}\u{0C}".utf8)
    static let any = ByteSet("\n".utf8).complement
}

private struct Parser {
    typealias Node = NameExpression.Node
    typealias Refusal = NameExpression.Refusal

    private let pattern: [UInt8]
    private var position = 0

    init(_ pattern: [UInt8]) { self.pattern = pattern }

    var peek: UInt8? { position < pattern.count ? pattern[position] : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    mutating func choice(depth: Int) throws(Refusal) -> Node {
        guard depth <= 32 else { throw Refusal("groups more than 32 deep") }
        var branches: [Node] = []
        repeat {
            var nodes: [Node] = []
            while let byte = peek, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
                nodes.append(try quantified(depth))
            }
            branches.append(.sequence(nodes))
        } while take("|")
        return .choice(branches)
    }

    private mutating func quantified(_ depth: Int) throws(Refusal) -> Node {
        let node = try atom(depth)
        let (least, most): (Int, Int?)
        if take("?") {
            (least, most) = (0, 1)
        } else if take("*") {
            (least, most) = (0, nil)
        } else if take("+") {
            (least, most) = (1, nil)
        } else if take("{") {
            (least, most) = try interval()
        } else {
            return node
        }
        _ = take("?")
        if let next = peek, "*+?{".utf8.contains(next) { throw Refusal("two quantifiers in a row") }
        return .repetition(node, least: least, most: most)
    }

    private mutating func interval() throws(Refusal) -> (Int, Int?) {
        func wrong() -> Refusal { Refusal("a '{' that is not of the form {2}, {2,} or {2,5}") }
        func number() throws(Refusal) -> Int? {
            var value: Int?
            while let byte = peek, ByteSet.digits.contains(byte) {
                value = (value ?? 0) * 10 + Int(byte - UInt8(ascii: "0"))
                guard value! <= 1000 else { throw Refusal("a count beyond 1000") }
                position += 1
            }
            return value
        }
        let first = try number()
        guard take(",") else {
            guard let first, take("}") else { throw wrong() }
            return (first, first)
        }
        let second = try number()
        guard take("}"), first != nil || second != nil, second ?? .max >= first ?? 0 else { throw wrong() }
        return (first ?? 0, second)
    }

    private mutating func atom(_ depth: Int) throws(Refusal) -> Node {
        guard let byte = peek else { throw Refusal("an end where more belongs") }
        position += 1
        switch Unicode.Scalar(byte) {
        case "(":
            if take("?"), !take(":") { throw Refusal("a group that begins with '(?'") }
            let node = try choice(depth: depth + 1)
            guard take(")") else { throw Refusal("a '(' without its ')'") }
            return node
        case "[": return .set(try brackets())
        case ".": return .set(.any)
        case "^": return .start
        case "$": return .end
        case "\\": return .set(try escape())
        case "*", "+", "?", "{": throw Refusal("a quantifier with nothing before it")
        default: return .set(ByteSet([byte]))
        }
    }

    private mutating func escape() throws(Refusal) -> ByteSet {
        guard let byte = peek else { throw Refusal("a '\\' at its end") }
        position += 1
        switch Unicode.Scalar(byte) {
        case "d": return .digits
        case "D": return ByteSet.digits.complement
        case "w": return .word
        case "W": return ByteSet.word.complement
        case "s": return .space
        case "S": return ByteSet.space.complement
        default:
            guard byte < 128, byte == UInt8(ascii: "_") || !ByteSet.word.contains(byte) else {
                throw Refusal("'\\\(Unicode.Scalar(byte))'")
            }
            return ByteSet([byte])
        }
    }

    private mutating func brackets() throws(Refusal) -> ByteSet {
        let isNegated = take("^")
        var set = ByteSet([])
        var isFirst = true
        while isFirst || peek != UInt8(ascii: "]") {
            isFirst = false
            guard let byte = peek else { throw Refusal("a '[' without its ']'") }
            position += 1
            guard byte != UInt8(ascii: "\\") else {
                set = set.union(try escape())
                continue
            }
            guard byte < 128 else { throw Refusal("a character beyond ASCII in '[…]'") }
            guard peek == UInt8(ascii: "-"), position + 1 < pattern.count,
                pattern[position + 1] != UInt8(ascii: "]")
            else {
                set.insert(byte)
                continue
            }
            let last = pattern[position + 1]
            position += 2
            guard last < 128, last >= byte, last != UInt8(ascii: "\\") else {
                throw Refusal("a range in '[…]' that is none")
            }
            for member in byte...last { set.insert(member) }
        }
        position += 1
        return isNegated ? set.complement : set
    }
}
