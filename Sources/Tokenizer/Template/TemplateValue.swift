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
    case list(TemplateList)
    case dictionary(TemplateDictionary)
    case namespace(TemplateNamespace)
    case loop(TemplateLoop)
    case macro(TemplateMacro)
    /// The body of a `{% call %}` block, which the macro called writes by `caller()`.
    case caller(TemplateCaller)
    case function(String)
}

/// A list, or Python's tuple, which differs in how it is printed and is equal to no list.
final class TemplateList {
    let elements: [TemplateValue]
    let isTuple: Bool
    let depth: Int
    let weight: Int

    init(_ elements: [TemplateValue], isTuple: Bool = false) {
        self.elements = elements
        self.isTuple = isTuple
        weight = TemplateValue.weight(elements)
        depth = (elements.map(\.depth).max() ?? 0) + 1
    }
}

/// What may name a member of a mapping.
enum TemplateKey: Hashable {
    case string(ExactString)
    case integer(Int)
    case none

    init(_ text: String) { self = .string(ExactString(text)) }

    /// nil for values that cannot be keys here.
    init?(_ value: TemplateValue) {
        switch value {
        case .string(let text): self.init(text)
        case .none: self = .none
        default:
            guard let number = value.integer else { return nil }
            self = .integer(number)
        }
    }

    var value: TemplateValue {
        switch self {
        case .string(let text): .string(text.text)
        case .integer(let number): .integer(number)
        case .none: .none
        }
    }
}

final class TemplateDictionary {
    typealias Member = (key: TemplateKey, value: TemplateValue)

    let members: [Member]
    let depth: Int
    let weight: Int
    private let positions: [TemplateKey: Int]

    /// Of equal keys the last value counts, at the place of the first.
    init(_ members: [Member]) {
        var unique: [Member] = []
        var positions: [TemplateKey: Int] = [:]
        for member in members {
            if let position = positions[member.key] {
                unique[position].value = member.value
            } else {
                positions[member.key] = unique.count
                unique.append(member)
            }
        }
        (self.members, self.positions) = (unique, positions)
        weight = TemplateValue.weight(unique.map(\.key.value) + unique.map(\.value))
        depth = (unique.map(\.value.depth).max() ?? 0) + 1
    }

    subscript(key: TemplateKey) -> TemplateValue? { positions[key].map { members[$0].value } }
    subscript(key: String) -> TemplateValue? { self[TemplateKey(key)] }
}

final class TemplateNamespace {
    var members: [ExactString: TemplateValue] = [:]
}

/// The variable `loop`.
struct TemplateLoop {
    let elements: TemplateList
    let index: Int
    /// Loops around this one, and itself.
    let depth: Int
    /// What `loop.changed` was last given.
    let memory: Memory

    final class Memory { var last: [TemplateValue]? }
}

/// The body of a call block as a macro, and the names that it sees.
final class TemplateCaller {
    let macro: TemplateMacro
    let scopes: [[String: TemplateValue]]

    init(_ macro: TemplateMacro, scopes: [[String: TemplateValue]]) {
        (self.macro, self.scopes) = (macro, scopes)
    }
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
        case .namespace, .loop, .macro, .caller, .function: true
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
        case .caller: "the block of a call"
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
            return a.isTuple == b.isTuple && a.elements.count == b.elements.count
                && zip(a.elements, b.elements).allSatisfy(isEqual)
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
            self = .dictionary(
                TemplateDictionary(object.members.map { (TemplateKey($0.key), TemplateValue($0.value)) }))
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
        case .list(let list):
            let elements = list.elements.map(\.representation).joined(separator: ", ")
            return list.isTuple ? "(\(elements)\(list.elements.count == 1 ? "," : ""))" : "[\(elements)]"
        case .dictionary(let dictionary):
            let members = dictionary.members.map {
                "\($0.key.value.representation): \($0.value.representation)"
            }
            return "{" + members.joined(separator: ", ") + "}"
        case .namespace, .loop, .macro, .caller, .function: return "<\(summary)>"
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
