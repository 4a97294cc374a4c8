// What expressions are worth, and calls of macros, functions and methods.

import Checkpoints

extension TemplateEvaluator {
    mutating func evaluate(_ expression: TemplateExpression) throws(FileError) -> TemplateValue {
        try enter()
        defer { depth -= 1 }
        try charge(1)
        switch expression.kind {
        case .none: return .none
        case .bool(let value): return .bool(value)
        case .integer(let value): return .integer(value)
        case .float(let value): return .float(value)
        case .string(let text): return .string(text)
        case .name(let name): return lookUp(name)
        case .list(let elements): return try list(try evaluateAll(elements))
        case .tuple(let elements): return try list(try evaluateAll(elements), isTuple: true)
        case .dictionary(let members): return try dictionary(members)
        case .attribute(let target, let name): return try attribute(name, of: try evaluate(target))
        case .item(let target, let index): return try item(try evaluate(index), of: try evaluate(target))
        case .slice(let target, let start, let stop, let step):
            return try slice(
                try evaluate(target), try start.map { (e) throws(FileError) in try evaluate(e) },
                try stop.map { (e) throws(FileError) in try evaluate(e) },
                try step.map { (e) throws(FileError) in try evaluate(e) })
        case .call: return try evaluateCall(expression)
        case .filter(let input, let name, let arguments):
            guard let input else { throw wrong("the filter '\(name)' has no input") }
            return try filter(name, try evaluate(input), try evaluate(arguments))
        case .test(let input, let name, let arguments):
            return .bool(try test(name, try evaluate(input), try evaluate(arguments)))
        case .not(let operand): return .bool(!(try evaluate(operand).isTrue))
        case .negative(let operand): return try negative(try evaluate(operand))
        case .positive(let operand): return try positive(try evaluate(operand))
        case .arithmetic(let operation, let left, let right):
            return try arithmetic(operation, try evaluate(left), try evaluate(right))
        case .concatenation(let operands):
            var parts: [String] = []
            for operand in operands { parts.append(try text(try evaluate(operand))) }
            return .string(parts.joined())
        case .all(let operands): return try lastOf(operands) { !$0.isTrue }
        case .any(let operands): return try lastOf(operands) { $0.isTrue }
        case .comparison(let first, let rest): return try comparison(first, rest)
        case .conditional(let condition, let then, let otherwise):
            if try evaluate(condition).isTrue { return try evaluate(then) }
            return try otherwise.map { (e) throws(FileError) in try evaluate(e) } ?? .undefined("else")
        }
    }

    mutating func evaluateAll(_ expressions: [TemplateExpression]) throws(FileError)
        -> [TemplateValue]
    {
        var values: [TemplateValue] = []
        for expression in expressions { values.append(try evaluate(expression)) }
        return values
    }

    mutating func evaluate(_ arguments: TemplateArguments) throws(FileError) -> TemplateCall {
        var call = TemplateCall(positional: try evaluateAll(arguments.positional))
        for (name, value) in arguments.named { call.named.append((name, try evaluate(value))) }
        if let spread = arguments.spread { call.positional += try elements(of: try evaluate(spread)) }
        if let spread = arguments.namedSpread {
            guard case .dictionary(let dictionary) = try evaluate(spread) else {
                throw wrong("'**' takes a mapping")
            }
            for member in dictionary.members {
                guard case .string(let name) = member.key else {
                    throw wrong("arguments are named by strings")
                }
                try charge(1)
                call.named.append((name.text, member.value))
            }
        }
        return call
    }

    /// `and` and `or` give the operand that decided.
    mutating func lastOf(
        _ operands: [TemplateExpression], decides: (TemplateValue) -> Bool
    ) throws(FileError) -> TemplateValue {
        var value = TemplateValue.none
        for operand in operands {
            value = try evaluate(operand)
            if decides(value) { break }
        }
        return value
    }

    mutating func dictionary(
        _ members: [(key: TemplateExpression, value: TemplateExpression)]
    ) throws(FileError) -> TemplateValue {
        var result: [TemplateDictionary.Member] = []
        for (key, value) in members {
            let name = try evaluate(key)
            guard let key = TemplateKey(name) else { throw wrong("\(name.summary) cannot be a key") }
            result.append((key, try evaluate(value)))
        }
        return try dictionary(result)
    }

    mutating func comparison(
        _ first: TemplateExpression, _ rest: [(TemplateExpression.Comparison, TemplateExpression)]
    ) throws(FileError) -> TemplateValue {
        var left = try evaluate(first)
        for (operation, expression) in rest {
            let right = try evaluate(expression)
            guard try compare(operation, left, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    mutating func evaluateCall(
        _ expression: TemplateExpression, caller: TemplateCaller? = nil
    ) throws(FileError) -> TemplateValue {
        guard case .call(let callee, let arguments) = expression.kind else { return try evaluate(expression) }
        if case .attribute(let target, let name) = callee.kind {
            let target = try evaluate(target)
            let arguments = try evaluate(arguments)
            if case .namespace(let namespace) = target,
                case .macro(let macro)? = namespace.members[ExactString(name)]
            {
                return try call(macro, arguments, caller: caller)
            }
            return try method(name, of: target, arguments)
        }
        switch try evaluate(callee) {
        case .macro(let macro): return try call(macro, try evaluate(arguments), caller: caller)
        case .caller(let block):
            return try call(block.macro, try evaluate(arguments), scopes: block.scopes)
        case .function(let name): return try function(name, try evaluate(arguments))
        case let other: throw wrong("\(other.summary) cannot be called")
        }
    }

    mutating func applied(
        _ filters: [TemplateExpression], to input: TemplateValue
    ) throws(FileError) -> TemplateValue {
        var value = input
        for filter in filters {
            guard case .filter(_, let name, let arguments) = filter.kind else { continue }
            value = try self.filter(name, value, try evaluate(arguments))
        }
        return value
    }

    func lookUp(_ name: String) -> TemplateValue {
        for scope in scopes.reversed() {
            if let value = scope[name] { return value }
        }
        return .undefined(name)
    }
}
