// What a template computes with. Values never change, except for namespaces, and a namespace lies in no other value: so
// no value contains itself, and none is nested deeper than `maximumDepth`.

import Checkpoints

enum TemplateValue {
    static let maximumDepth = 32

    /// A name that has no value; printed it is nothing, anything else is an error.
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
    /// Python's tuples too.
    case list(TemplateList)
    case dictionary(TemplateDictionary)
    case namespace(TemplateNamespace)
    case loop(TemplateLoop)
    case macro(TemplateMacro)
    case function(String)
}

final class TemplateList {
    let elements: [TemplateValue]
    let depth: Int
    let weight: Int

    init(_ elements: [TemplateValue]) {
        self.elements = elements
        weight = TemplateValue.weight(elements)
        depth = (elements.map(\.depth).max() ?? 0) + 1
    }
}

final class TemplateDictionary {
    let members: [(key: String, value: TemplateValue)]
    let depth: Int
    let weight: Int
    private let positions: [ExactString: Int]

    /// Of equal keys the last value counts, at the place of the first.
    init(_ members: [(key: String, value: TemplateValue)]) {
        var unique: [(key: String, value: TemplateValue)] = []
        var positions: [ExactString: Int] = [:]
        for member in members {
            if let position = positions[ExactString(member.key)] {
                unique[position].value = member.value
            } else {
                positions[ExactString(member.key)] = unique.count
                unique.append(member)
            }
        }
        (self.members, self.positions) = (unique, positions)
        weight = TemplateValue.weight(unique.map { .string($0.key) } + unique.map(\.value))
        depth = (unique.map(\.value.depth).max() ?? 0) + 1
    }

    subscript(key: String) -> TemplateValue? { positions[ExactString(key)].map { members[$0].value } }
}

final class TemplateNamespace {
    var members: [ExactString: TemplateValue] = [:]
}

/// The variable `loop`.
struct TemplateLoop {
    let elements: TemplateList
    let index: Int
}

extension TemplateValue {
    var depth: Int {
        switch self {
        case .list(let list): list.depth
        case .dictionary(let dictionary): dictionary.depth
        default: 0
        }
    }

    /// About how many bytes its text has. Shared parts count each time they occur, which is what walking them costs.
    var weight: Int {
        switch self {
        case .string(let text): text.utf8.count
        case .list(let list): list.weight
        case .dictionary(let dictionary): dictionary.weight
        default: 8
        }
    }

    static func weight(_ parts: [TemplateValue]) -> Int {
        parts.reduce(8) { sum, part in
            let (total, overflow) = sum.addingReportingOverflow(part.weight + 8)
            return overflow ? Int.max / 2 : min(total, Int.max / 2)
        }
    }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .float(let value): value != 0
        case .string(let text): !text.isEmpty
        case .list(let list): !list.elements.isEmpty
        case .dictionary(let dictionary): !dictionary.members.isEmpty
        case .namespace, .loop, .macro, .function: true
        }
    }

    /// The kind as an error message names it.
    var summary: String {
        switch self {
        case .undefined(let name): "'\(name)', which is not defined"
        case .none: "none"
        case .bool(let value): "\(value)"
        case .integer(let value): "the number \(value)"
        case .float(let value): "the number \(value)"
        case .string: "a string"
        case .list: "a list"
        case .dictionary: "a mapping"
        case .namespace: "a namespace"
        case .loop: "the loop variable"
        case .macro(let macro): "the macro \(macro.name)"
        case .function(let name): "the function \(name)"
        }
    }

    var number: Double? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): Double(value)
        case .float(let value): value
        default: nil
        }
    }

    /// A whole number; Python's booleans are some.
    var integer: Int? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): value
        default: nil
        }
    }

    /// As Python's ==.
    static func isEqual(_ a: TemplateValue, _ b: TemplateValue) -> Bool {
        switch (a, b) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.string(let a), .string(let b)): return ExactString(a) == ExactString(b)
        case (.list(let a), .list(let b)):
            return a.elements.count == b.elements.count && zip(a.elements, b.elements).allSatisfy(isEqual)
        case (.dictionary(let a), .dictionary(let b)):
            return a.members.count == b.members.count
                && a.members.allSatisfy { member in b[member.key].map { isEqual(member.value, $0) } ?? false }
        case (.namespace(let a), .namespace(let b)): return a === b
        default:
            if let a = a.integer, let b = b.integer { return a == b }
            guard let a = a.number, let b = b.number else { return false }
            return a == b
        }
    }

    init(_ json: JSON) {
        switch json {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .double(let value): self = .float(value)
        case .string(let text): self = .string(text)
        case .array(let values): self = .list(TemplateList(values.map(TemplateValue.init)))
        case .object(let object):
            self = .dictionary(TemplateDictionary(object.members.map { ($0.key, TemplateValue($0.value)) }))
        }
    }

    // MARK: Text

    /// As Python's str().
    var text: String {
        switch self {
        case .undefined: return ""
        case .none: return "None"
        case .bool(let value): return value ? "True" : "False"
        case .integer(let value): return String(value)
        case .float(let value): return value.description
        case .string(let text): return text
        default: return representation
        }
    }

    /// As Python's repr().
    private var representation: String {
        switch self {
        case .undefined: return "Undefined"
        case .string(let text): return TemplateValue.quoted(text)
        case .list(let list): return "[" + list.elements.map(\.representation).joined(separator: ", ") + "]"
        case .dictionary(let dictionary):
            let members = dictionary.members.map {
                "\(TemplateValue.quoted($0.key)): \($0.value.representation)"
            }
            return "{" + members.joined(separator: ", ") + "}"
        case .namespace, .loop, .macro, .function: return "<\(summary)>"
        default: return text
        }
    }

    private static func quoted(_ text: String) -> String {
        let scalars = text.unicodeScalars
        let quote: Unicode.Scalar = scalars.contains("'") && !scalars.contains("\"") ? "\"" : "'"
        var result = String.UnicodeScalarView([quote])
        for scalar in scalars {
            switch scalar {
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\r": result.append(contentsOf: "\\r".unicodeScalars)
            case "\t": result.append(contentsOf: "\\t".unicodeScalars)
            case "\\", quote:
                result.append("\\")
                result.append(scalar)
            default: result.append(scalar)
            }
        }
        result.append(quote)
        return String(result)
    }
}
