// Filters that order, group, sum and choose the elements of a list.

import Checkpoints

extension TemplateEvaluator {
    mutating func sorted(_ value: TemplateValue, _ call: TemplateCall) throws(FileError)
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

    mutating func sortedItems(
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
    mutating func ordered(
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

    mutating func sum(_ value: TemplateValue, _ call: TemplateCall) throws(FileError) -> TemplateValue {
        var total = call.argument(1, "start") ?? .integer(0)
        for element in try elements(of: value) {
            var part = element
            if let name = call.argument(0, "attribute") { part = try self.part(name, of: element) }
            total = try arithmetic(.add, total, part)
        }
        return total
    }

    mutating func grouped(
        _ name: String, _ value: TemplateValue, _ call: TemplateCall
    ) throws(FileError) -> TemplateValue {
        let elements = try elements(of: value)
        func key(_ value: TemplateValue) -> TemplateValue {
            if case .string(let text) = value { .string(text.lowercased()) } else { value }
        }
        switch name {
        case "unique":
            var kept: [(key: TemplateValue, value: TemplateValue)] = []
            for element in elements {
                let key = key(element)
                var isNew = true
                for other in kept where try isEqual(other.key, key) { isNew = false }
                if isNew { kept.append((key, element)) }
            }
            return try list(kept.map(\.value))
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
            try charge(parts)
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
    mutating func part(_ name: TemplateValue, of element: TemplateValue) throws(FileError)
        -> TemplateValue
    {
        guard case .string(let path) = name else { return try item(name, of: element) }
        var value = element
        for key in TemplateText.split(path, ".", limit: -1) {
            value = try item(Int(key).map { .integer($0) } ?? .string(key), of: value)
        }
        return value
    }

    mutating func map(_ value: TemplateValue, _ call: TemplateCall) throws(FileError) -> TemplateValue {
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

    mutating func select(
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
