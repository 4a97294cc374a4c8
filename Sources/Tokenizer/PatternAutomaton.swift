// Many patterns in one text (Aho and Corasick 1975), in time that grows with the sum of the lengths. The patterns are
// kept backwards and the text is read from its end: at each place the automaton then knows the longest pattern that
// begins there.

struct PatternAutomaton: Sendable {
    struct Match: Equatable {
        let start: Int
        let count: Int
        /// Of equal patterns the first.
        let pattern: Int
    }

    private let counts: [Int]
    /// (node, byte) → node. A node stands for the end of a pattern; node 0 for nothing.
    private var children = PairTable<Int32>(filler: 0)
    /// The children of node 0 by their byte, 0 where there is none: most bytes of a text are looked up only here.
    private var first = [Int32](repeating: 0, count: 256)
    /// The node of the longest shorter end that a node's text begins with.
    private var fallback: [Int32] = [0]
    /// The longest pattern that a node's text begins with; −1 for none.
    private var longest: [Int32] = [-1]

    init(_ patterns: [[UInt8]]) {
        counts = patterns.map(\.count)
        var parents: [(node: Int32, byte: UInt8)] = [(0, 0)]
        var levels: [[Int32]] = []
        for (index, pattern) in patterns.enumerated() where !pattern.isEmpty {
            var node: Int32 = 0
            for (level, byte) in pattern.reversed().enumerated() {
                if let child = child(node, byte) {
                    node = child
                    continue
                }
                let new = Int32(longest.count)
                if node == 0 { first[Int(byte)] = new } else { children[node, Int32(byte)] = new }
                parents.append((node, byte))
                longest.append(-1)
                if level == levels.count { levels.append([]) }
                levels[level].append(new)
                node = new
            }
            if longest[Int(node)] < 0 { longest[Int(node)] = Int32(index) }
        }
        fallback = Array(repeating: 0, count: longest.count)
        for node in levels.dropFirst().joined() {
            let (parent, byte) = parents[Int(node)]
            let other = next(fallback[Int(parent)], byte)
            fallback[Int(node)] = other
            if longest[Int(node)] < 0 { longest[Int(node)] = longest[Int(other)] }
        }
    }

    /// The longest pattern at each place where one begins, from the last place to the first.
    func longestMatches(in text: [UInt8]) -> [Match] {
        guard longest.count > 1 else { return [] }
        var matches: [Match] = []
        text.withUnsafeBufferPointer { text in
            first.withUnsafeBufferPointer { first in
                var node: Int32 = 0
                for position in text.indices.reversed() {
                    node = node == 0 ? first[Int(text[position])] : next(node, text[position])
                    guard node != 0, longest[Int(node)] >= 0 else { continue }
                    let pattern = Int(longest[Int(node)])
                    matches.append(Match(start: position, count: counts[pattern], pattern: pattern))
                }
            }
        }
        return matches
    }

    private func child(_ node: Int32, _ byte: UInt8) -> Int32? {
        guard node == 0 else { return children[node, Int32(byte)] }
        let child = first[Int(byte)]
        return child == 0 ? nil : child
    }

    /// The longest end of a pattern that the text behind a node and this byte begins with.
    private func next(_ node: Int32, _ byte: UInt8) -> Int32 {
        var node = node
        while node != 0 {
            if let child = children[node, Int32(byte)] { return child }
            node = fallback[Int(node)]
        }
        return first[Int(byte)]
    }
}
