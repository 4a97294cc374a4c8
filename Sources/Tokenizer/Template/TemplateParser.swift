// Tokens to the syntax tree, by recursive descent with Jinja's precedences, lowest first:
// if-else, or, and, not, comparison, + -, ~, * / // %, **, sign, then . [] () and filters and tests.

import Checkpoints

struct TemplateParser {
    /// Nesting of blocks, of brackets, and levels of an expression.
    static let maximumDepth = 100
    static let maximumParameters = 255

    private let tokens: [TemplateToken]
    private var at = 0
    private var depth = 0
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
    private mutating func body(until ends: [String]) throws(FileError) -> ([TemplateStatement], end: String) {
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

    private mutating func statement(_ name: String, _ line: Int) throws(FileError) -> TemplateStatement.Kind {
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

    private mutating func closed(by end: String) throws(FileError) -> [TemplateStatement] {
        let (body, _) = try body(until: [end])
        try endOfBlock()
        return body
    }

    private mutating func conditional() throws(FileError) -> TemplateStatement.Kind {
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

    private mutating func loop() throws(FileError) -> TemplateStatement.Kind {
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

    private mutating func set() throws(FileError) -> TemplateStatement.Kind {
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

    private mutating func macro() throws(FileError) -> TemplateStatement.Kind {
        let name = try name()
        try expect(.symbol("("), "'('")
        return .macro(try macro(name, try parameters(), closedBy: "endmacro"))
    }

    /// Behind the opening bracket.
    private mutating func parameters() throws(FileError) -> [TemplateMacro.Parameter] {
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

    private mutating func macro(
        _ name: String, _ parameters: [TemplateMacro.Parameter], closedBy end: String
    ) throws(FileError) -> TemplateMacro {
        try endOfBlock()
        let outerLoops = loops
        loops = 0
        defer { loops = outerLoops }
        return TemplateMacro(name: name, parameters: parameters, body: try closed(by: end))
    }

    private mutating func call(_ line: Int) throws(FileError) -> TemplateStatement.Kind {
        let parameters = take("(") ? try parameters() : []
        let call = try expression()
        guard case .call = call.kind else { throw FileError.template(line, "'call' calls no macro") }
        return .call(try macro("caller", parameters, closedBy: "endcall"), call)
    }

    private mutating func with() throws(FileError) -> TemplateStatement.Kind {
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
    private mutating func targets() throws(FileError) -> [TemplateTarget] {
        var targets = [try target()]
        while take(",") { targets.append(try target()) }
        if targets.count == 1, case .several(let inner) = targets[0] { return inner }
        return targets
    }

    private mutating func target() throws(FileError) -> TemplateTarget {
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
    private mutating func filterChain() throws(FileError) -> [TemplateExpression] {
        var filters: [TemplateExpression] = []
        repeat {
            let name = try name()
            let arguments = take("(") ? try arguments() : TemplateArguments()
            filters.append(try node(.filter(nil, name, arguments), arguments.height))
        } while take("|")
        return filters
    }

    // MARK: Expressions

    /// One expression, or several with commas between them as a tuple.
    private mutating func list(isConditional: Bool = true) throws(FileError) -> TemplateExpression {
        let first = isConditional ? try expression() : try or()
        guard case .symbol(",") = peek.kind else { return first }
        var elements = [first]
        while take(",") {
            switch peek.kind {
            case .blockEnd, .outputEnd, .symbol(")"), .symbol("]"): break
            default: elements.append(isConditional ? try expression() : try or())
            }
        }
        return try node(.tuple(elements), elements.map(\.height).max() ?? 0)
    }

    private mutating func expression() throws(FileError) -> TemplateExpression {
        try enter()
        defer { depth -= 1 }
        var result = try or()
        while take(name: "if") {
            let condition = try or()
            let otherwise = take(name: "else") ? try expression() : nil
            result = try node(
                .conditional(condition, then: result, otherwise: otherwise), result.height, condition.height,
                otherwise?.height ?? 0)
        }
        return result
    }

    private mutating func or() throws(FileError) -> TemplateExpression {
        var operands = [try and()]
        while take(name: "or") { operands.append(try and()) }
        return operands.count == 1 ? operands[0] : try node(.any(operands), operands.map(\.height).max() ?? 0)
    }

    private mutating func and() throws(FileError) -> TemplateExpression {
        var operands = [try not()]
        while take(name: "and") { operands.append(try not()) }
        return operands.count == 1 ? operands[0] : try node(.all(operands), operands.map(\.height).max() ?? 0)
    }

    private mutating func not() throws(FileError) -> TemplateExpression {
        guard take(name: "not") else { return try comparison() }
        try enter()
        defer { depth -= 1 }
        let operand = try not()
        return try node(.not(operand), operand.height)
    }

    private mutating func comparison() throws(FileError) -> TemplateExpression {
        let first = try sum()
        var rest: [(TemplateExpression.Comparison, TemplateExpression)] = []
        while let operation = comparisonOperator() { rest.append((operation, try sum())) }
        if rest.isEmpty { return first }
        return try node(.comparison(first, rest), first.height, rest.map(\.1.height).max() ?? 0)
    }

    private mutating func comparisonOperator() -> TemplateExpression.Comparison? {
        switch peek.kind {
        case .symbol(let symbol):
            guard let operation = TemplateExpression.Comparison(rawValue: symbol) else { return nil }
            at += 1
            return operation
        case .name("in"):
            at += 1
            return .contained
        case .name("not"):
            guard at + 1 < tokens.count, tokens[at + 1].kind == .name("in") else { return nil }
            at += 2
            return .notContained
        default: return nil
        }
    }

    private mutating func sum() throws(FileError) -> TemplateExpression {
        var left = try concatenation()
        while let operation = arithmeticOperator(["+", "-"]) {
            let right = try concatenation()
            left = try node(.arithmetic(operation, left, right), left.height, right.height)
        }
        return left
    }

    private mutating func concatenation() throws(FileError) -> TemplateExpression {
        var operands = [try product()]
        while take("~") { operands.append(try product()) }
        return operands.count == 1
            ? operands[0] : try node(.concatenation(operands), operands.map(\.height).max() ?? 0)
    }

    private mutating func product() throws(FileError) -> TemplateExpression {
        var left = try power()
        while let operation = arithmeticOperator(["*", "/", "//", "%"]) {
            let right = try power()
            left = try node(.arithmetic(operation, left, right), left.height, right.height)
        }
        return left
    }

    private mutating func power() throws(FileError) -> TemplateExpression {
        var left = try unary(withFilters: true)
        while let operation = arithmeticOperator(["**"]) {
            let right = try unary(withFilters: true)
            left = try node(.arithmetic(operation, left, right), left.height, right.height)
        }
        return left
    }

    private mutating func arithmeticOperator(_ symbols: [String]) -> TemplateExpression.Operator? {
        guard case .symbol(let symbol) = peek.kind, symbols.contains(symbol) else { return nil }
        at += 1
        return TemplateExpression.Operator(rawValue: symbol)
    }

    private mutating func unary(withFilters: Bool) throws(FileError) -> TemplateExpression {
        try enter()
        defer { depth -= 1 }
        var result: TemplateExpression
        if take("-") {
            let operand = try unary(withFilters: false)
            result = try node(.negative(operand), operand.height)
        } else if take("+") {
            let operand = try unary(withFilters: false)
            result = try node(.positive(operand), operand.height)
        } else {
            result = try postfix(try primary())
        }
        return withFilters ? try filtersAndTests(result) : result
    }

    private mutating func filtersAndTests(_ start: TemplateExpression) throws(FileError) -> TemplateExpression
    {
        var result = start
        while true {
            if take("|") {
                let name = try name()
                let arguments = take("(") ? try arguments() : TemplateArguments()
                result = try node(.filter(result, name, arguments), result.height, arguments.height)
            } else if take(name: "is") {
                let isNegated = take(name: "not")
                let name = try name()
                let arguments = try testArguments()
                result = try node(.test(result, name, arguments), result.height, arguments.height)
                if isNegated { result = try node(.not(result), result.height) }
            } else if case .symbol("(") = peek.kind {
                result = try postfix(result)
            } else {
                return result
            }
        }
    }

    /// A test takes arguments in brackets or one value right behind its name.
    private mutating func testArguments() throws(FileError) -> TemplateArguments {
        if take("(") { return try arguments() }
        switch peek.kind {
        case .name("else"), .name("or"), .name("and"), .name("if"), .name("is"), .name("in"), .name("not"):
            break
        case .name, .string, .integer, .float, .symbol("["), .symbol("{"):
            return TemplateArguments(positional: [try postfix(try primary())])
        default: break
        }
        return TemplateArguments()
    }

    private mutating func postfix(_ start: TemplateExpression) throws(FileError) -> TemplateExpression {
        var result = start
        while true {
            if take(".") {
                let token = next()
                switch token.kind {
                case .name(let name): result = try node(.attribute(result, name), result.height)
                case .integer(let index):
                    let index = try node(.integer(index))
                    result = try node(.item(result, index), result.height)
                default: throw wrong("expected a name after '.'", token)
                }
            } else if take("[") {
                result = try itemOrSlice(result)
            } else if take("(") {
                let arguments = try arguments()
                result = try node(.call(result, arguments), result.height, arguments.height)
            } else {
                return result
            }
        }
    }

    private mutating func itemOrSlice(_ target: TemplateExpression) throws(FileError) -> TemplateExpression {
        var bounds: [TemplateExpression?] = [nil]
        while !take("]") {
            if take(":") {
                guard bounds.count < 3 else { throw wrong("a slice has at most three parts", peek) }
                bounds.append(nil)
            } else {
                guard bounds[bounds.count - 1] == nil else { throw wrong("expected ']'", peek) }
                bounds[bounds.count - 1] = try expression()
            }
        }
        let heights = bounds.map { $0?.height ?? 0 }.max() ?? 0
        if bounds.count == 1 {
            guard let index = bounds[0] else { throw wrong("the brackets hold no index", peek) }
            return try node(.item(target, index), target.height, heights)
        }
        return try node(
            .slice(target, start: bounds[0], stop: bounds[1], step: bounds.count > 2 ? bounds[2] : nil),
            target.height, heights)
    }

    private mutating func arguments() throws(FileError) -> TemplateArguments {
        var arguments = TemplateArguments()
        while !take(")") {
            if !arguments.isEmpty {
                try expect(.symbol(","), "','")
                if take(")") { break }
            }
            if take("*") {
                arguments.spread = try expression()
            } else if take("**") {
                arguments.namedSpread = try expression()
            } else if case .name(let name) = peek.kind, at + 1 < tokens.count,
                tokens[at + 1].kind == .symbol("=")
            {
                at += 2
                arguments.named.append((name, try expression()))
            } else {
                arguments.positional.append(try expression())
            }
        }
        return arguments
    }

    private mutating func primary() throws(FileError) -> TemplateExpression {
        let token = next()
        switch token.kind {
        case .name("true"), .name("True"): return try node(.bool(true))
        case .name("false"), .name("False"): return try node(.bool(false))
        case .name("none"), .name("None"): return try node(.none)
        case .name(let name): return try node(.name(name))
        case .integer(let value): return try node(.integer(value))
        case .float(let value): return try node(.float(value))
        case .string(var text):
            while case .string(let more) = peek.kind {
                text += more
                at += 1
            }
            return try node(.string(text))
        case .symbol("("):
            if take(")") { return try node(.tuple([])) }
            let inner = try list()
            try expect(.symbol(")"), "')'")
            return inner
        case .symbol("["):
            var elements: [TemplateExpression] = []
            while !take("]") {
                if !elements.isEmpty {
                    try expect(.symbol(","), "','")
                    if take("]") { break }
                }
                elements.append(try expression())
            }
            return try node(.list(elements), elements.map(\.height).max() ?? 0)
        case .symbol("{"): return try dictionary()
        default: throw wrong("expected a value", token)
        }
    }

    private mutating func dictionary() throws(FileError) -> TemplateExpression {
        var members: [(key: TemplateExpression, value: TemplateExpression)] = []
        while !take("}") {
            if !members.isEmpty {
                try expect(.symbol(","), "','")
                if take("}") { break }
            }
            let key = try expression()
            try expect(.symbol(":"), "':'")
            members.append((key, try expression()))
        }
        return try node(.dictionary(members), members.map { max($0.key.height, $0.value.height) }.max() ?? 0)
    }

    // MARK: Tokens

    private var peek: TemplateToken { tokens[min(at, tokens.count - 1)] }

    private mutating func next() -> TemplateToken {
        defer { at += 1 }
        return peek
    }

    private mutating func take(_ symbol: String) -> Bool {
        guard peek.kind == .symbol(symbol) else { return false }
        at += 1
        return true
    }

    private mutating func take(name: String) -> Bool {
        guard peek.kind == .name(name) else { return false }
        at += 1
        return true
    }

    private mutating func name() throws(FileError) -> String {
        let token = next()
        guard case .name(let name) = token.kind else { throw wrong("expected a name", token) }
        return name
    }

    private mutating func expect(_ kind: TemplateToken.Kind, _ shown: String) throws(FileError) {
        let token = next()
        guard token.kind == kind else { throw wrong("expected \(shown)", token) }
    }

    private mutating func endOfBlock() throws(FileError) { try expect(.blockEnd, "'%}'") }

    private mutating func enter() throws(FileError) {
        depth += 1
        guard depth <= TemplateParser.maximumDepth else { throw tooDeep() }
    }

    private func node(_ kind: TemplateExpression.Kind, _ heights: Int...) throws(FileError)
        -> TemplateExpression
    {
        let height = (heights.max() ?? 0) + 1
        guard height <= TemplateParser.maximumDepth else { throw tooDeep() }
        return TemplateExpression(kind: kind, height: height)
    }

    private func tooDeep() -> FileError {
        FileError.template(
            peek.line, "the template is nested deeper than \(TemplateParser.maximumDepth) levels")
    }

    private func wrong(_ message: String, _ token: TemplateToken) -> FileError {
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
