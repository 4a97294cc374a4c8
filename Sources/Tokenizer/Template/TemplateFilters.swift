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

    private mutating func sorted(_ value: TemplateValue, _ call: TemplateCall) throws(FileError)
        -> TemplateValue
    {
        let isCaseSensitive = call.argument(1, "case_sensitive")?.isTrue ?? false
        var keyed: [(key: TemplateValue, value: TemplateValue)] = []
        for element in try elements(of: value) {
            var key = element
            if let name = call.argument(2, "attribute") { key = try part(name, of: element) }
            if !isCaseSensitive, case .string(let text) = key { key = .string(text.lowercased()) }
            keyed.append((key, element))
        }
        let isReversed = call.argument(0, "reverse")?.isTrue ?? false
        return try list(try ordered(keyed, isReversed: isReversed))
    }

    private mutating func sortedItems(
        _ dictionary: TemplateDictionary, _ call: TemplateCall
    ) throws(FileError) -> TemplateValue {
        let isCaseSensitive = call.argument(0, "case_sensitive")?.isTrue ?? false
        var isByValue = false
        if case .string("value")? = call.argument(1, "by") { isByValue = true }
        var keyed: [(key: TemplateValue, value: TemplateValue)] = []
        for member in dictionary.members {
            var key = isByValue ? member.value : member.key.value
            if !isCaseSensitive, case .string(let text) = key { key = .string(text.lowercased()) }
            keyed.append((key, try list([member.key.value, member.value], isTuple: true)))
        }
        let isReversed = call.argument(2, "reverse")?.isTrue ?? false
        return try list(try ordered(keyed, isReversed: isReversed))
    }

    /// Stable. Each comparison is paid before.
    private mutating func ordered(
        _ keyed: [(key: TemplateValue, value: TemplateValue)], isReversed: Bool
    ) throws(FileError) -> [TemplateValue] {
        let rounds = Int.bitWidth - keyed.count.leadingZeroBitCount
        for element in keyed {
            let (cost, overflow) = (64 + element.key.weight).multipliedReportingOverflow(by: rounds)
            try charge(bytes: overflow ? .max : cost)
            // Every pair has an order if each key has one with the first.
            _ = try precedes(keyed[0].key, element.key)
        }
        var evaluator = self
        return keyed.enumerated().sorted { a, b in
            let (left, right) = isReversed ? (b, a) : (a, b)
            if (try? evaluator.precedes(left.element.key, right.element.key)) ?? false { return true }
            if (try? evaluator.precedes(right.element.key, left.element.key)) ?? false { return false }
            return a.offset < b.offset
        }.map(\.element.value)
    }

    private mutating func sum(_ value: TemplateValue, _ call: TemplateCall) throws(FileError) -> TemplateValue
    {
        var total = call.argument(1, "start") ?? .integer(0)
        for element in try elements(of: value) {
            var part = element
            if let name = call.argument(0, "attribute") { part = try self.part(name, of: element) }
            total = try arithmetic(.add, total, part)
        }
        return total
    }

    private mutating func grouped(
        _ name: String, _ value: TemplateValue, _ call: TemplateCall
    ) throws(FileError) -> TemplateValue {
        let elements = try elements(of: value)
        func key(_ value: TemplateValue) -> TemplateValue {
            if case .string(let text) = value { .string(text.lowercased()) } else { value }
        }
        switch name {
        case "unique":
            var kept: [TemplateValue] = []
            for element in elements {
                var isNew = true
                for other in kept where try isEqual(key(other), key(element)) { isNew = false }
                if isNew { kept.append(element) }
            }
            return try list(kept)
        case "groupby":
            guard let attribute = call.argument(0, "attribute") else {
                throw wrong("groupby takes an attribute")
            }
            var groups: [(key: TemplateValue, elements: [TemplateValue])] = []
            var sorting = TemplateCall()
            sorting.named = [("attribute", attribute)]
            for element in try self.elements(of: try sorted(value, sorting)) {
                let part = try part(attribute, of: element)
                if let last = groups.last, try isEqual(key(last.key), key(part)) {
                    groups[groups.count - 1].elements.append(element)
                } else {
                    groups.append((part, [element]))
                }
            }
            var pairs: [TemplateValue] = []
            for group in groups {
                pairs.append(try list([group.key, try list(group.elements)], isTuple: true))
            }
            return try list(pairs)
        default:
            guard let count = call.positional.first?.integer, count > 0, count <= limits.rangeCount else {
                throw wrong("\(name) takes a number above 0")
            }
            let fill = call.argument(1, "fill_with")
            let isBatch = name == "batch"
            let parts = isBatch ? (elements.count + count - 1) / count : count
            var result: [TemplateValue] = []
            var start = 0
            for index in 0..<parts {
                let size = isBatch ? count : elements.count / count + (index < elements.count % count ? 1 : 0)
                var part = Array(elements[start..<min(start + size, elements.count)])
                start += part.count
                let whole = isBatch ? count : (elements.count + count - 1) / count
                if let fill, part.count < whole {
                    try charge(whole)
                    part += Array(repeating: fill, count: whole - part.count)
                }
                result.append(try list(part))
            }
            return try list(result)
        }
    }

    /// `a`, `a.b` or a number, as filters take an attribute.
    private mutating func part(_ name: TemplateValue, of element: TemplateValue) throws(FileError)
        -> TemplateValue
    {
        guard case .string(let path) = name else { return try item(name, of: element) }
        var value = element
        for key in TemplateText.split(path, ".", limit: -1) {
            value = try item(Int(key).map { .integer($0) } ?? .string(key), of: value)
        }
        return value
    }

    private mutating func map(_ value: TemplateValue, _ call: TemplateCall) throws(FileError) -> TemplateValue
    {
        var result: [TemplateValue] = []
        if case .none = value { return try list([]) }
        for element in try elements(of: value) {
            if let name = call.named.first(where: { $0.name == "attribute" })?.value {
                let part = try part(name, of: element)
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
        if case .none = value { return try list([]) }
        for element in try elements(of: value) {
            let tested = isByAttribute ? try part(.string(attributeName), of: element) : element
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
