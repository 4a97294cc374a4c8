// Templates of a data format: prompt and completion from any fields of a line.

import Checkpoints

extension JSONFields {
    /// `{name}` becomes the field, `{name:a|b}` the alternative that the field's number counts to, `{{` a brace.
    func filled(_ template: String) throws -> String {
        var result = ""
        var rest = template[...]
        while let brace = rest.firstIndex(of: "{") {
            result += rest[..<brace]
            rest = rest[rest.index(after: brace)...]
            if rest.first == "{" {
                result += "{"
                rest.removeFirst()
                continue
            }
            guard let end = rest.firstIndex(of: "}") else {
                throw ConfigError("the template '\(template)' has a '{' without '}'; write '{{' for a brace")
            }
            result += try value(ofSlot: String(rest[..<end]))
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }

    private func value(ofSlot slot: String) throws -> String {
        let parts = slot.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard let value = self[name] else {
            throw FileError(path, "has no field '\(name)', which the template names")
        }
        if parts.count == 2 {
            let choices = parts[1].split(separator: "|", omittingEmptySubsequences: false)
            guard let index = value.count, choices.indices.contains(index) else {
                throw FileError(
                    path,
                    "'\(name)' is \(value.summary), expected 0 to \(choices.count - 1), which the template names"
                )
            }
            return String(choices[index])
        }
        switch value {
        case .string(let text): return text
        case .integer(let number): return String(number)
        case .double(let number): return String(number)
        default: throw FileError(path, "'\(name)' is \(value.summary), expected a text or a number")
        }
    }
}

extension JSON {
    /// The number that a field counts by; a table has texts only.
    fileprivate var count: Int? {
        switch self {
        case .integer(let number): number
        case .string(let text): Int(text)
        default: nil
        }
    }
}
