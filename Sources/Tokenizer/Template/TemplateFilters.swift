// Filters: `value | name(arguments)`.

import Checkpoints
import Glibc

extension TemplateEvaluator {
    mutating func filter(
        _ name: String, _ value: TemplateValue, _ call: TemplateCall
    ) throws(FileError) -> TemplateValue {
        switch name {
        case "trim", "upper", "lower", "capitalize", "title", "string", "safe", "escape", "e", "forceescape",
            "replace", "indent", "center":
            return .string(try textFilter(name, try text(value), call))
        case "length", "count": return .integer(try count(value))
        case "default", "d":
            if case .undefined = value { return call.argument(0, "default_value") ?? .string("") }
            let replacesFalse = call.argument(1, "boolean")?.isTrue ?? false
            return replacesFalse && !value.isTrue ? call.argument(0, "default_value") ?? .string("") : value
        case "join": return .string(try join(value, call))
        case "tojson": return .string(try json(value, call))
        case "int", "float", "abs": return try numberFilter(name, value, call)
        case "first", "last":
            let elements = try elements(of: value)
            return (name == "first" ? elements.first : elements.last) ?? .undefined(name)
        case "list": return try list(try elements(of: value))
        case "reverse":
            if case .string(let text) = value {
                try charge(bytes: text.utf8.count)
                return .string(TemplateText.string(text.unicodeScalars.reversed()))
            }
            return try list(try elements(of: value).reversed())
        case "sort": return try sorted(value, call)
        case "min", "max":
            let isMinimum = name == "min"
            let order = TemplateCall(named: call.named + [("reverse", .bool(!isMinimum))])
            let ordered = try elements(of: try sorted(value, order))
            return ordered.first ?? .undefined("the \(name) of nothing")
        case "sum": return try sum(value, call)
        case "unique", "groupby", "batch", "slice": return try grouped(name, value, call)
        case "attr":
            guard case .string(let name)? = call.positional.first else { throw wrong("attr takes a name") }
            // As Jinja: attributes of an object, which members of a mapping are not.
            if case .dictionary = value { return .undefined(name) }
            return try attribute(name, of: value)
        case "format": return .string(try formatted(try text(value), call.positional))
        case "wordcount":
            return .integer(TemplateText.split(try text(value), nil, limit: -1).count)
        case "round":
            let digits = Double(call.argument(0, "precision")?.integer ?? 0)
            guard let number = value.number else { throw wrong("\(value.summary) is no number") }
            let scale = pow(10, min(max(digits, -300), 300))
            var method = "common"
            if case .string(let name)? = call.argument(1, "method") { method = name }
            let rule: FloatingPointRoundingRule =
                method == "ceil" ? .up : method == "floor" ? .down : .toNearestOrEven
            return .float((number * scale).rounded(rule) / scale)
        case "items", "dictsort":
            if name == "items", case .undefined = value { return try list([]) }
            guard case .dictionary(let dictionary) = value else {
                throw wrong("\(value.summary) has no items")
            }
            if name == "items" { return try items(dictionary) }
            return try sortedItems(dictionary, call)
        case "map": return try map(value, call)
        case "select", "reject", "selectattr", "rejectattr": return try select(name, value, call)
        default: throw wrong("there is no filter '\(name)'")
        }
    }

    private mutating func textFilter(
        _ name: String, _ text: String, _ call: TemplateCall
    ) throws(FileError) -> String {
        switch name {
        case "trim":
            guard case .string(let characters)? = call.argument(0, "chars") else {
                return TemplateText.strip(text)
            }
            return TemplateText.strip(text, characters)
        case "upper": return text.uppercased()
        case "lower": return text.lowercased()
        case "capitalize": return TemplateText.capitalize(text)
        case "title": return TemplateText.titleOfWords(text)
        case "center":
            let missing = max((call.argument(0, "width")?.integer ?? 80) - text.unicodeScalars.count, 0)
            try charge(bytes: missing)
            let left = missing / 2 + (missing & (text.unicodeScalars.count + missing) & 1)
            return String(repeating: " ", count: left) + text + String(repeating: " ", count: missing - left)
        case "escape", "e", "forceescape": return TemplateText.escapeHTML(text)
        case "replace":
            guard let old = call.argument(0, "old"), let new = call.argument(1, "new") else {
                throw wrong("replace takes what to look for and what to put there")
            }
            let (before, after) = (try self.text(old), try self.text(new))
            let count =
                before.isEmpty ? text.utf8.count + 1 : TemplateText.split(text, before, limit: -1).count
            let (size, overflow) = after.utf8.count.multipliedReportingOverflow(by: count)
            try charge(bytes: overflow ? .max : size)
            return TemplateText.replace(text, before, after, count: call.argument(2, "count")?.integer ?? -1)
        case "indent": return try indent(text, call)
        default: return text
        }
    }

    private mutating func indent(_ text: String, _ call: TemplateCall) throws(FileError) -> String {
        var prefix = "    "
        switch call.argument(0, "width") {
        case .string(let text)?: prefix = text
        case let width?: prefix = String(repeating: " ", count: min(max(width.integer ?? 4, 0), 256))
        case nil: break
        }
        let lines = TemplateText.split(text, "\n", limit: -1)
        let (size, overflow) = prefix.utf8.count.multipliedReportingOverflow(by: lines.count)
        try charge(bytes: overflow ? .max : size)
        let indentsFirst = call.argument(1, "first")?.isTrue ?? false
        let indentsBlank = call.argument(2, "blank")?.isTrue ?? false
        return lines.enumerated().map { index, line in
            let isIndented = index == 0 ? indentsFirst : indentsBlank || !TemplateText.strip(line).isEmpty
            return (isIndented ? prefix : "") + line
        }.joined(separator: "\n")
    }

    private mutating func count(_ value: TemplateValue) throws(FileError) -> Int {
        switch value {
        case .string(let text):
            try charge(bytes: text.utf8.count)
            return text.unicodeScalars.count
        case .list(let list): return list.elements.count
        case .dictionary(let dictionary): return dictionary.members.count
        case .undefined: return 0
        default: throw wrong("\(value.summary) has no length")
        }
    }

    private mutating func join(_ value: TemplateValue, _ call: TemplateCall) throws(FileError) -> String {
        let separator = try call.argument(0, "d").map { (value) throws(FileError) in try text(value) } ?? ""
        var parts: [String] = []
        for element in try elements(of: value) {
            var part = element
            if let name = call.argument(1, "attribute") { part = try self.part(name, of: element) }
            try charge(bytes: separator.utf8.count)
            parts.append(try text(part))
        }
        return parts.joined(separator: separator)
    }

    private mutating func json(_ value: TemplateValue, _ call: TemplateCall) throws(FileError) -> String {
        var writer = TemplateJSONWriter()
        if let indent = call.argument(1, "indent")?.integer { writer.indent = min(max(indent, 0), 16) }
        writer.escapesNonASCII = call.argument(0, "ensure_ascii")?.isTrue ?? false
        writer.sortsKeys = call.argument(3, "sort_keys")?.isTrue ?? false
        if case .list(let separators)? = call.argument(2, "separators"), separators.elements.count == 2 {
            writer.itemSeparator = String(try text(separators.elements[0]).prefix(16))
            writer.keySeparator = String(try text(separators.elements[1]).prefix(16))
        }
        try charge(bytes: value.weight)
        guard writer.write(value) else { throw wrong("\(value.summary) cannot be written as JSON") }
        return writer.text
    }

    private func numberFilter(
        _ name: String, _ value: TemplateValue, _ call: TemplateCall
    ) throws(FileError) -> TemplateValue {
        switch (name, value) {
        case ("abs", .integer(let number)) where number != .min: return .integer(abs(number))
        case ("abs", .float(let number)): return .float(abs(number))
        case ("int", .string(let text)):
            let text = TemplateText.strip(text)
            let whole =
                number(text, base: call.argument(1, "base")?.integer ?? 10)
                ?? Double(text).flatMap { Int(exactly: $0.rounded(.towardZero)) }
            return whole.map { .integer($0) } ?? call.argument(0, "default") ?? .integer(0)
        case ("float", .string(let text)):
            return Double(TemplateText.strip(text)).map { .float($0) } ?? call.argument(0, "default")
                ?? .float(0)
        case ("int", _):
            let whole = value.integer ?? value.number.flatMap { Int(exactly: $0.rounded(.towardZero)) }
            return whole.map { .integer($0) } ?? call.argument(0, "default") ?? .integer(0)
        case ("float", _): return value.number.map { .float($0) } ?? call.argument(0, "default") ?? .float(0)
        default: throw wrong("the filter '\(name)' does not work on \(value.summary)")
        }
    }

    /// As Python's int(): digits of the base, with a sign and single underscores between them.
    private func number(_ text: String, base: Int) -> Int? {
        guard 2...36 ~= base, !text.hasPrefix("_"), !text.hasSuffix("_"), !text.contains("__") else {
            return nil
        }
        return Int(text.replacing("_", with: ""), radix: base)
    }
}
