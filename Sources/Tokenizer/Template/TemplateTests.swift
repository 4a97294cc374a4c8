// Tests: `value is name(arguments)`.

import Checkpoints

extension TemplateEvaluator {
    mutating func test(_ name: String, _ value: TemplateValue, _ call: TemplateCall) throws(FileError) -> Bool
    {
        switch name {
        case "defined": if case .undefined = value { return false } else { return true }
        case "undefined": if case .undefined = value { return true } else { return false }
        case "none": if case .none = value { return true } else { return false }
        case "string": if case .string = value { return true } else { return false }
        case "mapping": if case .dictionary = value { return true } else { return false }
        case "boolean": if case .bool = value { return true } else { return false }
        case "integer": if case .integer = value { return true } else { return false }
        case "float": if case .float = value { return true } else { return false }
        case "number": return value.number != nil
        case "true": if case .bool(true) = value { return true } else { return false }
        case "false": if case .bool(false) = value { return true } else { return false }
        case "sequence", "iterable":
            switch value {
            case .string, .list, .dictionary: return true
            case .undefined: return true
            default: return false
            }
        case "callable":
            switch value {
            case .macro, .caller, .function: return true
            default: return false
            }
        case "odd", "even":
            guard let number = value.integer else { throw wrong("\(value.summary) is neither odd nor even") }
            return (number % 2 == 0) == (name == "even")
        case "divisibleby":
            guard let number = value.integer, let divisor = call.positional.first?.integer, divisor != 0
            else {
                throw wrong("divisibleby takes whole numbers")
            }
            return number.remainderReportingOverflow(dividingBy: divisor).partialValue == 0
        case "lower", "upper":
            guard case .string(let text) = value else { return false }
            return try stringMethod("is" + name, text, call)?.isTrue ?? false
        default: break
        }
        let operations: [String: TemplateExpression.Comparison] = [
            "eq": .equal, "equalto": .equal, "sameas": .equal, "ne": .notEqual, "gt": .greater,
            "greaterthan": .greater,
            "ge": .greaterOrEqual, "lt": .less, "lessthan": .less, "le": .lessOrEqual, "in": .contained,
        ]
        guard let operation = operations[name] else { throw wrong("there is no test '\(name)'") }
        guard let other = call.positional.first else {
            throw wrong("the test '\(name)' compares with something")
        }
        return try compare(operation, value, other)
    }
}
