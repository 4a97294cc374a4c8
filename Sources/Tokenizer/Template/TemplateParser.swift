// Tokens to the syntax tree: the statements. Expressions are in TemplateExpressionParser.

import Checkpoints

struct TemplateParser {
    /// Nesting of blocks, of brackets, and levels of an expression.
    static let maximumDepth = 100
    static let maximumParameters = 255

    let tokens: [TemplateToken]
    var at = 0
    var depth = 0
    private var loops = 0
    private var marksGeneration = false

    static func parse(_ source: String) throws(FileError) -> (
        body: [TemplateStatement], marksGeneration: Bool
    ) {
        var parser = TemplateParser(tokens: try TemplateLexer.tokens(of: source))
        let (body, _) = try parser.body(until: [])
        return (body, parser.marksGeneration)
    }

    private init(tokens: [TemplateToken]) { self.tokens = tokens }

    // MARK: Statements

    /// Statements up to a tag of one of these names, which is consumed up to its name.
    mutating func body(until ends: [String]) throws(FileError) -> ([TemplateStatement], end: String) {
        try enter()
        defer { depth -= 1 }
        var statements: [TemplateStatement] = []
        while true {
            let token = next()
            switch token.kind {
            case .text(let text): statements.append(TemplateStatement(kind: .text(text), line: token.line))
            case .outputBegin:
                let value = try list()
                try expect(.outputEnd, "'}}'")
                statements.append(TemplateStatement(kind: .output(value), line: token.line))
            case .blockBegin:
                let name = try name()
                if ends.contains(name) { return (statements, name) }
                statements.append(TemplateStatement(kind: try statement(name, token.line), line: token.line))
            default:
                guard ends.isEmpty else { throw wrong("the template ends where '\(ends[0])' belongs", token) }
                return (statements, "")
            }
        }
    }

    mutating func statement(_ name: String, _ line: Int) throws(FileError) -> TemplateStatement.Kind {
        switch name {
        case "if": return try conditional()
        case "for": return try loop()
        case "set": return try set()
        case "macro": return try macro()
        case "call": return try call(line)
        case "with": return try with()
        case "filter":
            let filters = try filterChain()
            try endOfBlock()
            return .filterBlock(filters, try closed(by: "endfilter"))
        case "generation":
            try endOfBlock()
            marksGeneration = true
            return .generation(try closed(by: "endgeneration"))
        case "break", "continue":
            try endOfBlock()
            guard loops > 0 else { throw FileError.template(line, "'\(name)' stands outside of a loop") }
            return name == "break" ? .breakLoop : .continueLoop
        default: throw FileError.template(line, "the statement '\(name)' is not supported here")
        }
    }

    mutating func closed(by end: String) throws(FileError) -> [TemplateStatement] {
        let (body, _) = try body(until: [end])
        try endOfBlock()
        return body
    }

    mutating func conditional() throws(FileError) -> TemplateStatement.Kind {
        var branches: [(condition: TemplateExpression, body: [TemplateStatement])] = []
        while true {
            let condition = try expression()
            try endOfBlock()
            let (body, end) = try body(until: ["elif", "else", "endif"])
            branches.append((condition, body))
            if end == "elif" { continue }
            try endOfBlock()
            return .conditional(branches, otherwise: end == "else" ? try closed(by: "endif") : [])
        }
    }

    mutating func loop() throws(FileError) -> TemplateStatement.Kind {
        let targets = try targets()
        guard take(name: "in") else { throw wrong("expected 'in'", peek) }
        let sequence = try list(isConditional: false)
        let filter = take(name: "if") ? try expression() : nil
        if case .name("recursive") = peek.kind { throw wrong("recursive loops are not supported", peek) }
        try endOfBlock()
        loops += 1
        let (body, end) = try body(until: ["else", "endfor"])
        loops -= 1
        try endOfBlock()
        let otherwise = end == "else" ? try closed(by: "endfor") : []
        return .loop(targets: targets, over: sequence, filter: filter, body: body, otherwise: otherwise)
    }

    mutating func set() throws(FileError) -> TemplateStatement.Kind {
        let targets = try targets()
        if take("=") {
            let value = try list()
            try endOfBlock()
            return .set(targets, value)
        }
        guard targets.count == 1, case .name(let name) = targets[0] else { throw wrong("expected '='", peek) }
        let filters = take("|") ? try filterChain() : []
        try endOfBlock()
        return .setBlock(name, filters: filters, try closed(by: "endset"))
    }

    mutating func macro() throws(FileError) -> TemplateStatement.Kind {
        let name = try name()
        try expect(.symbol("("), "'('")
        return .macro(try macro(name, try parameters(), closedBy: "endmacro"))
    }

    /// Behind the opening bracket.
    mutating func parameters() throws(FileError) -> [TemplateMacro.Parameter] {
        var parameters: [TemplateMacro.Parameter] = []
        while !take(")") {
            if !parameters.isEmpty {
                try expect(.symbol(","), "','")
                if take(")") { break }
            }
            let parameter = try name()
            parameters.append((parameter, take("=") ? try expression() : nil))
            guard parameters.count <= TemplateParser.maximumParameters else {
                throw wrong("a macro has at most \(TemplateParser.maximumParameters) parameters", peek)
            }
        }
        return parameters
    }

    mutating func macro(
        _ name: String, _ parameters: [TemplateMacro.Parameter], closedBy end: String
    ) throws(FileError) -> TemplateMacro {
        try endOfBlock()
        let outerLoops = loops
        loops = 0
        defer { loops = outerLoops }
        return TemplateMacro(name: name, parameters: parameters, body: try closed(by: end))
    }

    mutating func call(_ line: Int) throws(FileError) -> TemplateStatement.Kind {
        let parameters = take("(") ? try parameters() : []
        let call = try expression()
        guard case .call = call.kind else { throw FileError.template(line, "'call' calls no macro") }
        return .call(try macro("caller", parameters, closedBy: "endcall"), call)
    }

    mutating func with() throws(FileError) -> TemplateStatement.Kind {
        var members: [(name: String, value: TemplateExpression)] = []
        while peek.kind != .blockEnd {
            if !members.isEmpty { try expect(.symbol(","), "','") }
            let name = try name()
            try expect(.symbol("="), "'='")
            members.append((name, try expression()))
        }
        try endOfBlock()
        return .with(members, try closed(by: "endwith"))
    }

    /// `a, b`, `(a, b)`, `a, (b, c)`, `namespace.a`
    mutating func targets() throws(FileError) -> [TemplateTarget] {
        var targets = [try target()]
        while take(",") { targets.append(try target()) }
        if targets.count == 1, case .several(let inner) = targets[0] { return inner }
        return targets
    }

    mutating func target() throws(FileError) -> TemplateTarget {
        try enter()
        defer { depth -= 1 }
        if take("(") {
            let inner = try targets()
            try expect(.symbol(")"), "')'")
            return .several(inner)
        }
        let name = try name()
        return take(".") ? .attribute(name, try self.name()) : .name(name)
    }

    /// `name(arguments) | name …`, each with a hole where its input belongs.
    mutating func filterChain() throws(FileError) -> [TemplateExpression] {
        var filters: [TemplateExpression] = []
        repeat {
            let name = try name()
            let arguments = take("(") ? try arguments() : TemplateArguments()
            filters.append(try node(.filter(nil, name, arguments), arguments.height))
        } while take("|")
        return filters
    }

    // MARK: Tokens

    var peek: TemplateToken { tokens[min(at, tokens.count - 1)] }

    mutating func next() -> TemplateToken {
        defer { at += 1 }
        return peek
    }

    mutating func take(_ symbol: String) -> Bool {
        guard peek.kind == .symbol(symbol) else { return false }
        at += 1
        return true
    }

    mutating func take(name: String) -> Bool {
        guard peek.kind == .name(name) else { return false }
        at += 1
        return true
    }

    mutating func name() throws(FileError) -> String {
        let token = next()
        guard case .name(let name) = token.kind else { throw wrong("expected a name", token) }
        return name
    }

    mutating func expect(_ kind: TemplateToken.Kind, _ shown: String) throws(FileError) {
        let token = next()
        guard token.kind == kind else { throw wrong("expected \(shown)", token) }
    }

    mutating func endOfBlock() throws(FileError) { try expect(.blockEnd, "'%}'") }

    mutating func enter() throws(FileError) {
        depth += 1
        guard depth <= TemplateParser.maximumDepth else { throw tooDeep() }
    }

    func node(_ kind: TemplateExpression.Kind, _ heights: Int...) throws(FileError)
        -> TemplateExpression
    {
        let height = (heights.max() ?? 0) + 1
        guard height <= TemplateParser.maximumDepth else { throw tooDeep() }
        return TemplateExpression(kind: kind, height: height)
    }

    func tooDeep() -> FileError {
        FileError.template(
            peek.line, "the template is nested deeper than \(TemplateParser.maximumDepth) levels")
    }

    func wrong(_ message: String, _ token: TemplateToken) -> FileError {
        let found =
            switch token.kind {
            case .text, .end: "the end of the tag"
            case .blockBegin, .outputBegin: "a new tag"
            case .blockEnd, .outputEnd: "the end of the tag"
            case .name(let name): "'\(name)'"
            case .string(let text): "the string \"\(text.prefix(40))\""
            case .integer(let value): "\(value)"
            case .float(let value): "\(value)"
            case .symbol(let symbol): "'\(symbol)'"
            }
        return FileError.template(token.line, "\(message), found \(found)")
    }
}
