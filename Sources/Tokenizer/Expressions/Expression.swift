// A regular expression as a deterministic automaton, made whole when the tokenizer is loaded: one look into a table for
// each scalar, whatever the expression.
//
//   table[state, class of the next scalar] = (the state behind it, whether a match ends in front of it)
//
// A search reads on behind its last match as long as a longer one is possible. So that no text is read over and over,
// it notes from which states and places there was none (Reps 1998). An expression of which more than `farStates` states can
// be under way so far behind a match is refused, so a text of n bytes takes at most n·(unnoted + stride + farStates) looks.

final class Expression: Sendable, Equatable {
    private static let maximumCells = 1 << 16
    private static let farStates = 64
    private static let dead = 0
    private static let start = 1

    let pattern: String
    private let classes: ScalarClasses
    /// (next state · classes) · 2 + (a match ends here ? 1 : 0); states as where their row begins.
    private let table: [UInt32]
    /// nil without states; the row of `start`.
    private let startRow: UInt32

    convenience init(_ pattern: String) throws(ExpressionError) {
        try self.init(pattern, ExpressionParser.parse(pattern))
    }

    /// Just this text.
    convenience init(text: String) throws(ExpressionError) {
        try self.init(text, .sequence(text.unicodeScalars.map { .set(.scalar($0.value)) }))
    }

    /// An expression of this program's own.
    static func known(_ pattern: String) -> Expression {
        do {
            return try Expression(pattern)
        } catch {
            preconditionFailure("\(pattern): \(error.reason)")
        }
    }

    private init(_ name: String, _ node: ExpressionNode) throws(ExpressionError) {
        pattern = name
        let program = try ExpressionProgram(node)
        classes = try ScalarClasses(program.sets)
        var builder = AutomatonBuilder(program, classes)
        var table: [UInt32] = []
        var state = 0
        while state < builder.states.count {
            for number in 0..<classes.count {
                let (next, matches) = builder.step(from: state, class: number)
                table.append(UInt32(next * classes.count) << 1 | (matches ? 1 : 0))
            }
            guard table.count <= Self.maximumCells else {
                throw ExpressionError("its automaton needs more than \(Self.maximumCells) entries")
            }
            state += 1
        }
        self.table = table
        startRow = UInt32(Self.start * classes.count)
        let row = table[Int(startRow)..<Int(startRow) + classes.count]
        guard row.allSatisfy({ $0 & 1 == 0 }) else { throw ExpressionError("it matches without a character") }
        guard Self.countFarStates(table, classes.count) <= Self.farStates else {
            throw ExpressionError("it reads on behind a match in more than \(Self.farStates) ways")
        }
    }

    /// How many states a search can be in that has read `Search.unnoted` scalars without a match.
    private static func countFarStates(_ table: [UInt32], _ classes: Int) -> Int {
        var far = Set(0..<table.count / classes)
        for _ in 0..<Search.unnoted where far.count > farStates {
            far = far.reduce(into: []) { next, state in
                for entry in table[state * classes..<(state + 1) * classes] where entry & 1 == 0 {
                    next.insert(Int(entry >> 1) / classes)
                }
            }
        }
        return far.count
    }

    /// The matches, one behind another, and what lies between them. The text is valid UTF-8, cut only between scalars.
    func pieces(
        of text: UnsafeBufferPointer<UInt8>, in range: Range<Int>,
        _ body: (Range<Int>, _ isMatch: Bool) -> Void
    ) {
        table.withUnsafeBufferPointer { table in
            classes.withReader { reader in
                var search = Search(text: text, end: range.upperBound, table: table, reader: reader)
                var done = range.lowerBound
                var position = done
                while position < range.upperBound {
                    let end = search.match(at: position, startRow)
                    guard end > position else {
                        position += UTF8Text.length(text[position])
                        continue
                    }
                    if done < position { body(done..<position, false) }
                    body(position..<end, true)
                    (position, done) = (end, end)
                }
                if done < range.upperBound { body(done..<range.upperBound, false) }
            }
        }
    }

    static func == (left: Expression, right: Expression) -> Bool { left.pattern == right.pattern }
}

/// The automaton on one text.
private struct Search {
    /// Behind its last match a search reads this many bytes before it takes notes.
    static let unnoted = 64
    /// Notes are of places this far apart.
    private static let stride = 64

    let text: UnsafeBufferPointer<UInt8>
    let end: Int
    let table: UnsafeBufferPointer<UInt32>
    let reader: ScalarClasses.Reader
    /// States at places from which no match can be reached.
    private var failed: Set<Note> = []

    private struct Note: Hashable {
        let row: UInt32
        let position: Int
    }

    init(
        text: UnsafeBufferPointer<UInt8>, end: Int, table: UnsafeBufferPointer<UInt32>,
        reader: ScalarClasses.Reader
    ) {
        (self.text, self.end, self.table, self.reader) = (text, end, table, reader)
    }

    /// Where the match that begins here ends; −1 where there is none.
    @inline(__always)
    mutating func match(at start: Int, _ startRow: UInt32) -> Int {
        var position = start
        var row = startRow
        var matchEnd = -1
        var limit = min(end, start + Self.unnoted)
        while position < limit {
            let (number, length) = reader.read(text, at: position, end: end)
            let entry = table[Int(row) + number]
            if entry & 1 != 0 {
                matchEnd = position
                limit = min(end, position + Self.unnoted)
            }
            row = entry >> 1
            if row == 0 { return matchEnd }
            position += length
        }
        guard position >= end else { return noted(position, row, matchEnd) }
        return table[Int(row) + ScalarClasses.end] & 1 != 0 ? position : matchEnd
    }

    /// The rest of a search that reads far.
    @inline(never)
    private mutating func noted(_ start: Int, _ startRow: UInt32, _ lastEnd: Int) -> Int {
        var (position, row, matchEnd) = (start, startRow, lastEnd)
        var notes: [Note] = []
        var next = position
        while position < end, row != 0 {
            if position >= next {
                let note = Note(row: row, position: position)
                if failed.contains(note) { break }
                notes.append(note)
                next = (position / Self.stride + 1) * Self.stride
            }
            let (number, length) = reader.read(text, at: position, end: end)
            let entry = table[Int(row) + number]
            if entry & 1 != 0 {
                matchEnd = position
                notes.removeAll(keepingCapacity: true)
            }
            row = entry >> 1
            position += length
        }
        if position >= end, table[Int(row) + ScalarClasses.end] & 1 != 0 { return position }
        failed.formUnion(notes)
        return matchEnd
    }
}

/// Makes the states of the automaton: each is the list of instructions under way, in order of priority.
private struct AutomatonBuilder {
    private let program: ExpressionProgram
    private let classes: ScalarClasses
    private(set) var states: [[Int]] = [[], [0]]
    private var numbers: [[Int]: Int] = [[]: 0, [0]: 1]

    init(_ program: ExpressionProgram, _ classes: ScalarClasses) {
        (self.program, self.classes) = (program, classes)
    }

    mutating func step(from state: Int, class number: Int) -> (next: Int, matches: Bool) {
        let isEnd = number == ScalarClasses.end
        var seen = [Bool](repeating: false, count: program.instructions.count)
        var isNext = seen
        var next: [Int] = []
        var matches = false
        var open = Array(states[state].reversed())
        while let place = open.popLast() {
            if seen[place] { continue }
            seen[place] = true
            switch program.instructions[place] {
            case .take(let set):
                if !isEnd, classes.contains(number, in: set), !isNext[place + 1] {
                    isNext[place + 1] = true
                    next.append(place + 1)
                }
            case .look(let set, let orEnd):
                if isEnd ? orEnd : classes.contains(number, in: set) { open.append(place + 1) }
            case .jump(let target): open.append(target)
            case .fork(let first, let second): open += [second, first]
            case .match:
                // What is still open would be tried later, so it no longer counts.
                matches = true
                open = []
            }
        }
        if let known = numbers[next] { return (known, matches) }
        numbers[next] = states.count
        states.append(next)
        return (states.count - 1, matches)
    }
}
