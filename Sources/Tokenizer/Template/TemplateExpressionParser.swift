// Expressions, by recursive descent with Jinja's precedences, lowest first:
// if-else, or, and, not, comparison, + -, ~, * / // %, **, sign, then . [] () and filters and tests.

import Checkpoints

extension TemplateParser {
    /// One expression, or several with commas between them as a tuple.
    mutating func list(isConditional: Bool = true) throws(FileError) -> TemplateExpression {
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

    mutating func expression() throws(FileError) -> TemplateExpression {
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

    mutating func or() throws(FileError) -> TemplateExpression {
        var operands = [try and()]
        while take(name: "or") { operands.append(try and()) }
        return operands.count == 1 ? operands[0] : try node(.any(operands), operands.map(\.height).max() ?? 0)
    }

    mutating func and() throws(FileError) -> TemplateExpression {
        var operands = [try not()]
        while take(name: "and") { operands.append(try not()) }
        return operands.count == 1 ? operands[0] : try node(.all(operands), operands.map(\.height).max() ?? 0)
    }

    mutating func not() throws(FileError) -> TemplateExpression {
        guard take(name: "not") else { return try comparison() }
        try enter()
        defer { depth -= 1 }
        let operand = try not()
        return try node(.not(operand), operand.height)
    }

    mutating func comparison() throws(FileError) -> TemplateExpression {
        let first = try sum()
        var rest: [(TemplateExpression.Comparison, TemplateExpression)] = []
        while let operation = comparisonOperator() { rest.append((operation, try sum())) }
        if rest.isEmpty { return first }
        return try node(.comparison(first, rest), first.height, rest.map(\.1.height).max() ?? 0)
    }

    mutating func comparisonOperator() -> TemplateExpression.Comparison? {
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

    mutating func sum() throws(FileError) -> TemplateExpression {
        var left = try concatenation()
        while let operation = arithmeticOperator(["+", "-"]) {
            let right = try concatenation()
            left = try node(.arithmetic(operation, left, right), left.height, right.height)
        }
        return left
    }

    mutating func concatenation() throws(FileError) -> TemplateExpression {
        var operands = [try product()]
        while take("~") { operands.append(try product()) }
        return operands.count == 1
            ? operands[0] : try node(.concatenation(operands), operands.map(\.height).max() ?? 0)
    }

    mutating func product() throws(FileError) -> TemplateExpression {
        var left = try power()
        while let operation = arithmeticOperator(["*", "/", "//", "%"]) {
            let right = try power()
            left = try node(.arithmetic(operation, left, right), left.height, right.height)
        }
        return left
    }

    mutating func power() throws(FileError) -> TemplateExpression {
        var left = try unary(withFilters: true)
        while let operation = arithmeticOperator(["**"]) {
            let right = try unary(withFilters: true)
            left = try node(.arithmetic(operation, left, right), left.height, right.height)
        }
        return left
    }

    mutating func arithmeticOperator(_ symbols: [String]) -> TemplateExpression.Operator? {
        guard case .symbol(let symbol) = peek.kind, symbols.contains(symbol) else { return nil }
        at += 1
        return TemplateExpression.Operator(rawValue: symbol)
    }

    mutating func unary(withFilters: Bool) throws(FileError) -> TemplateExpression {
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

    mutating func filtersAndTests(_ start: TemplateExpression) throws(FileError) -> TemplateExpression {
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
    mutating func testArguments() throws(FileError) -> TemplateArguments {
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

    mutating func postfix(_ start: TemplateExpression) throws(FileError) -> TemplateExpression {
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

    mutating func itemOrSlice(_ target: TemplateExpression) throws(FileError) -> TemplateExpression {
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

    mutating func arguments() throws(FileError) -> TemplateArguments {
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

    mutating func primary() throws(FileError) -> TemplateExpression {
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

    mutating func dictionary() throws(FileError) -> TemplateExpression {
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
}
