// An expression as instructions, of which several are under way at once (Thompson 1968). Their order is their priority:
// of all matches the one counts that a search with backtracking would find first.

struct ExpressionProgram {
    enum Instruction {
        /// Takes a scalar of the set with this number and goes on with the next instruction.
        case take(Int)
        /// Goes on where the next scalar is in the set, or where the text ends if `orEnd` is set.
        case look(Int, orEnd: Bool)
        case jump(Int)
        /// The first way goes before the second.
        case fork(Int, Int)
        case match
    }

    private static let maximumCount = 1024
    private static let maximumSteps = 1 << 16

    private(set) var instructions: [Instruction] = []
    private(set) var sets: [ScalarSet] = []
    private var numbers: [ScalarSet: Int] = [:]
    private var steps = 0

    init(_ node: ExpressionNode) throws(ExpressionError) {
        try add(node)
        try append(.match)
    }

    private mutating func add(_ node: ExpressionNode) throws(ExpressionError) {
        steps += 1
        guard steps <= Self.maximumSteps else { throw tooLarge() }
        switch node {
        case .set(let set): try append(.take(number(set)))
        case .next(let set, let orEnd): try append(.look(number(set), orEnd: orEnd))
        case .sequence(let nodes): for node in nodes { try add(node) }
        case .choice(let nodes):
            var jumps: [Int] = []
            for (index, node) in nodes.enumerated() {
                let fork = index + 1 < nodes.count ? try reserve() : nil
                try add(node)
                guard let fork else { continue }
                jumps.append(try reserve())
                instructions[fork] = .fork(fork + 1, instructions.count)
            }
            for jump in jumps { instructions[jump] = .jump(instructions.count) }
        case .repetition(let node, let atLeast, let atMost, let isLazy):
            for _ in 0..<atLeast { try add(node) }
            func fork(_ fork: Int, to end: Int) -> Instruction {
                isLazy ? .fork(end, fork + 1) : .fork(fork + 1, end)
            }
            guard let atMost else {
                let start = try reserve()
                try add(node)
                try append(.jump(start))
                instructions[start] = fork(start, to: instructions.count)
                return
            }
            var forks: [Int] = []
            for _ in atLeast..<atMost {
                forks.append(try reserve())
                try add(node)
            }
            for start in forks { instructions[start] = fork(start, to: instructions.count) }
        }
    }

    /// A place for an instruction that is not known yet.
    private mutating func reserve() throws(ExpressionError) -> Int {
        try append(.match)
        return instructions.count - 1
    }

    private mutating func append(_ instruction: Instruction) throws(ExpressionError) {
        guard instructions.count < Self.maximumCount else { throw tooLarge() }
        instructions.append(instruction)
    }

    private mutating func number(_ set: ScalarSet) -> Int {
        if let number = numbers[set] { return number }
        numbers[set] = sets.count
        sets.append(set)
        return sets.count - 1
    }

    private func tooLarge() -> ExpressionError {
        ExpressionError("it needs more than \(Self.maximumCount) steps")
    }
}
