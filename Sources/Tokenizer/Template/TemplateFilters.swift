// Filters: `value | name(arguments)`.

import Checkpoints

extension TemplateEvaluator {
    mutating func filter(
        _ name: String, _ value: TemplateValue, _ call: TemplateCall
    ) throws(FileError) -> TemplateValue {
        switch name {
        case "trim", "upper", "lower", "capitalize", "title", "string", "safe", "escape", "e", "replace",
            "indent":
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
        case "items", "dictsort":
            guard case .dictionary(let dictionary) = value else {
                throw wrong("\(value.summary) has no items")
            }
            if name == "items" { return try items(dictionary) }
            let members = dictionary.members.sorted {
                $0.key.lowercased().utf8.lexicographicallyPrecedes($1.key.lowercased().utf8)
            }
            return try items(TemplateDictionary(members))
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
        case "title": return TemplateText.title(text)
        case "escape", "e": return TemplateText.escapeHTML(text)
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
            if case .string(let name)? = call.argument(1, "attribute") {
                part = try attribute(name, of: element)
            }
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
            let whole = Int(text) ?? Double(text).flatMap { Int(exactly: $0.rounded(.towardZero)) }
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

    private mutating func sorted(_ value: TemplateValue, _ call: TemplateCall) throws(FileError)
        -> TemplateValue
    {
        let isCaseSensitive = call.argument(1, "case_sensitive")?.isTrue ?? false
        var keyed: [(key: TemplateValue, value: TemplateValue)] = []
        for element in try elements(of: value) {
            var key = element
            if case .string(let name)? = call.argument(2, "attribute") {
                key = try attribute(name, of: element)
            }
            if !isCaseSensitive, case .string(let text) = key { key = .string(text.lowercased()) }
            if let first = keyed.first { _ = try precedes(first.key, key) }
            try charge(bytes: 64 + key.weight)
            keyed.append((key, element))
        }
        let isReversed = call.argument(0, "reverse")?.isTrue ?? false
        // Every pair has an order: each key was compared with the first.
        keyed.sort { (try? isReversed ? precedes($1.key, $0.key) : precedes($0.key, $1.key)) ?? false }
        return try list(keyed.map(\.value))
    }

    private mutating func map(_ value: TemplateValue, _ call: TemplateCall) throws(FileError) -> TemplateValue
    {
        var result: [TemplateValue] = []
        for element in try elements(of: value) {
            if case .string(let name)? = call.named.first(where: { $0.name == "attribute" })?.value {
                let part = try attribute(name, of: element)
                if case .undefined = part,
                    let standard = call.named.first(where: { $0.name == "default" })?.value
                {
                    result.append(standard)
                } else {
                    result.append(part)
                }
            } else {
                guard case .string(let name)? = call.positional.first else {
                    throw wrong("map takes a filter or an attribute")
                }
                let rest = TemplateCall(positional: Array(call.positional.dropFirst()), named: call.named)
                result.append(try filter(name, element, rest))
            }
        }
        return try list(result)
    }

    private mutating func select(
        _ name: String, _ value: TemplateValue, _ call: TemplateCall
    ) throws(FileError) -> TemplateValue {
        let isByAttribute = name.hasSuffix("attr")
        var arguments = call.positional[...]
        var attributeName = ""
        if isByAttribute {
            guard case .string(let text)? = arguments.popFirst() else {
                throw wrong("\(name) takes an attribute")
            }
            attributeName = text
        }
        var test: String?
        if case .string(let text)? = arguments.popFirst() { test = text }
        var kept: [TemplateValue] = []
        for element in try elements(of: value) {
            let tested = isByAttribute ? try attribute(attributeName, of: element) : element
            let holds =
                if let test {
                    try self.test(test, tested, TemplateCall(positional: Array(arguments)))
                } else {
                    tested.isTrue
                }
            if holds == name.hasPrefix("select") { kept.append(element) }
        }
        return try list(kept)
    }
}
