// Functions, methods and tests that templates may use.

import Checkpoints

extension TemplateEvaluator {
    mutating func function(_ name: String, _ call: TemplateCall) throws(FileError) -> TemplateValue {
        switch name {
        case "range": return try range(call)
        case "dict": return try dictionary(call.named.map { (TemplateKey($0.name), $0.value) })
        case "namespace":
            let namespace = TemplateNamespace()
            if case .dictionary(let members)? = call.positional.first {
                for case (.string(let name), let value) in members.members { namespace.members[name] = value }
            }
            for (name, value) in call.named { namespace.members[ExactString(name)] = try storable(value) }
            return .namespace(namespace)
        case "raise_exception":
            let message = try call.positional.first.map { (value) throws(FileError) in try text(value) }
            throw wrong("the template refuses this chat: \((message ?? "").prefix(500))")
        case "strftime_now":
            guard case .string(let format)? = call.positional.first else {
                throw wrong("strftime_now takes a format")
            }
            try charge(bytes: format.utf8.count * 4)
            readsDate = true
            guard let text = now.formatted(format) else {
                throw wrong("strftime_now does not know the format '\(format.prefix(100))'")
            }
            return .string(text)
        default: throw wrong("there is no function '\(name)'")
        }
    }

    private mutating func range(_ call: TemplateCall) throws(FileError) -> TemplateValue {
        var bounds: [Int] = []
        for value in call.positional {
            guard let bound = value.integer, -(1 << 60)...1 << 60 ~= bound else {
                throw wrong("range takes whole numbers up to 2^60, not \(value.summary)")
            }
            bounds.append(bound)
        }
        guard 1...3 ~= bounds.count else { throw wrong("range takes one to three numbers") }
        let (start, stop) = bounds.count == 1 ? (0, bounds[0]) : (bounds[0], bounds[1])
        let step = bounds.count == 3 ? bounds[2] : 1
        guard step != 0 else { throw wrong("the step of range is 0") }
        var elements: [TemplateValue] = []
        for value in stride(from: start, to: stop, by: step) {
            guard elements.count < limits.rangeCount else {
                throw wrong("range gives more than \(limits.rangeCount) numbers")
            }
            elements.append(.integer(value))
        }
        return try list(elements)
    }

    // MARK: Methods

    mutating func method(
        _ name: String, of target: TemplateValue, _ call: TemplateCall
    ) throws(FileError) -> TemplateValue {
        switch target {
        case .string(let text):
            try charge(bytes: text.utf8.count)
            if let value = try stringMethod(name, text, call) { return value }
        case .dictionary(let dictionary):
            switch name {
            case "items": return try items(dictionary)
            case "keys": return try list(dictionary.members.map(\.key.value))
            case "values": return try list(dictionary.members.map(\.value))
            case "copy": return target
            case "get":
                let key = call.argument(0, "key") ?? .none
                try charge(bytes: key.weight)
                return TemplateKey(key).flatMap { dictionary[$0] } ?? call.argument(1, "default") ?? .none
            default: break
            }
        case .list(let list):
            if name == "copy" { return target }
            guard let wanted = call.positional.first, ["count", "index"].contains(name) else { break }
            var places: [Int] = []
            for (place, element) in list.elements.enumerated() where try isEqual(element, wanted) {
                places.append(place)
            }
            if name == "count" { return .integer(places.count) }
            guard let first = places.first else { throw wrong("the list does not hold \(wanted.summary)") }
            return .integer(first)
        case .loop(let loop):
            if name == "cycle", !call.positional.isEmpty {
                return call.positional[loop.index % call.positional.count]
            }
            if name == "changed" {
                let last = loop.memory.last
                loop.memory.last = call.positional
                guard let last, last.count == call.positional.count else { return .bool(true) }
                for (a, b) in zip(last, call.positional) where try !isEqual(a, b) { return .bool(true) }
                return .bool(false)
            }
        case .undefined(let missing):
            throw wrong("'\(missing)' is not defined, so '\(name)' cannot be called")
        default: break
        }
        throw wrong("\(target.summary) has no method '\(name)'")
    }

    mutating func items(_ dictionary: TemplateDictionary) throws(FileError) -> TemplateValue {
        var pairs: [TemplateValue] = []
        for member in dictionary.members {
            pairs.append(try list([member.key.value, member.value], isTuple: true))
        }
        return try list(pairs)
    }

    private mutating func stringMethod(
        _ name: String, _ text: String, _ call: TemplateCall
    ) throws(FileError) -> TemplateValue? {
        // What is looked for is paid too.
        for argument in call.positional { try charge(bytes: argument.weight) }
        let first = (call.positional.first ?? call.argument(0, "sep")).flatMap {
            if case .string(let text) = $0 { text } else { nil }
        }
        switch name {
        case "strip": return .string(TemplateText.strip(text, first))
        case "lstrip": return .string(TemplateText.strip(text, first, right: false))
        case "rstrip": return .string(TemplateText.strip(text, first, left: false))
        case "title": return .string(TemplateText.title(text))
        case "upper", "lower", "capitalize", "center": return try filter(name, .string(text), TemplateCall())
        case "replace": return try filter("replace", .string(text), call)
        case "split":
            if first == "" { throw wrong("the separator of split is empty") }
            let limit = call.argument(1, "maxsplit")?.integer ?? -1
            return try list(TemplateText.split(text, first, limit: limit).map { .string($0) })
        case "rsplit":
            if first == "" { throw wrong("the separator of rsplit is empty") }
            let limit = call.argument(1, "maxsplit")?.integer ?? -1
            return try list(TemplateText.rightSplit(text, first, limit: limit).map { .string($0) })
        case "partition", "rpartition":
            guard let first, !first.isEmpty else { throw wrong("\(name) takes a string that is not empty") }
            let isLeft = name == "partition"
            let parts =
                isLeft
                ? TemplateText.split(text, first, limit: 1) : TemplateText.rightSplit(text, first, limit: 1)
            let three =
                parts.count == 2 ? [parts[0], first, parts[1]] : isLeft ? [text, "", ""] : ["", "", text]
            return try list(three.map { .string($0) }, isTuple: true)
        case "splitlines":
            let keepsEnds = call.argument(0, "keepends")?.isTrue ?? false
            return try list(TemplateText.lines(text, keepsEnds: keepsEnds).map { .string($0) })
        case "startswith", "endswith":
            for prefix in try prefixes(call.positional.first) {
                let (bytes, part) = (text.utf8, prefix.utf8)
                try charge(1)
                let end = name == "startswith" ? bytes.prefix(part.count) : bytes.suffix(part.count)
                if end.elementsEqual(part) { return .bool(true) }
            }
            return .bool(false)
        case "join":
            return try filter(
                "join", call.positional.first ?? .none, TemplateCall(positional: [.string(text)]))
        case "find", "rfind", "index":
            let offset = first.flatMap {
                name == "rfind" ? TemplateText.findLast($0, in: text) : TemplateText.find($0, in: text)
            }
            guard let offset else {
                guard name != "index" else { throw wrong("the string does not hold what index looks for") }
                return .integer(-1)
            }
            return .integer(String(decoding: text.utf8.prefix(offset), as: UTF8.self).unicodeScalars.count)
        case "removeprefix", "removesuffix":
            guard let first else { throw wrong("\(name) takes a string") }
            let isPrefix = name == "removeprefix"
            let (bytes, part) = (text.utf8, first.utf8)
            let end = isPrefix ? bytes.prefix(part.count) : bytes.suffix(part.count)
            guard end.elementsEqual(part) else { return .string(text) }
            let rest = isPrefix ? bytes.dropFirst(part.count) : bytes.dropLast(part.count)
            return .string(String(decoding: rest, as: UTF8.self))
        case "ljust", "rjust", "zfill":
            let count = text.unicodeScalars.count
            let missing = max((call.positional.first?.integer ?? 0) - count, 0)
            try charge(bytes: missing)
            if name == "zfill" {
                let sign = text.hasPrefix("-") || text.hasPrefix("+") ? 1 : 0
                return .string(
                    text.prefix(sign) + String(repeating: "0", count: missing) + text.dropFirst(sign))
            }
            guard case .string(let fill) = call.argument(1, "fillchar") ?? .string(" ") else {
                throw wrong("\(name) fills with a character")
            }
            let padding = String(repeating: fill, count: missing)
            return .string(name == "ljust" ? text + padding : padding + text)
        case "swapcase", "casefold":
            return .string(name == "casefold" ? text.lowercased() : TemplateText.swapCase(text))
        case "format": return .string(try formatted(text, braces: call))
        case "count":
            guard let first, !first.isEmpty else { throw wrong("count takes a string that is not empty") }
            return .integer(TemplateText.split(text, first, limit: -1).count - 1)
        case "isdigit", "isdecimal", "isnumeric", "isalpha", "isalnum", "isspace", "isupper", "islower":
            let scalars = text.unicodeScalars
            let holds: Bool =
                switch name {
                case "isdecimal": scalars.allSatisfy { $0.properties.numericType == .decimal }
                case "isnumeric": scalars.allSatisfy { $0.properties.numericType != nil }
                case "isalnum":
                    scalars.allSatisfy { ScalarKind($0) == .letter || $0.properties.numericType != nil }
                case "isdigit":
                    scalars.allSatisfy {
                        $0.properties.numericType == .decimal || $0.properties.numericType == .digit
                    }
                case "isalpha": scalars.allSatisfy { ScalarKind($0) == .letter }
                case "isspace": scalars.allSatisfy(\.isPythonSpace)
                case "isupper": text == text.uppercased() && text != text.lowercased()
                default: text == text.lowercased() && text != text.uppercased()
                }
            return .bool(!scalars.isEmpty && holds)
        default: return nil
        }
    }

    private func prefixes(_ value: TemplateValue?) throws(FileError) -> [String] {
        switch value {
        case .string(let text)?: return [text]
        case .list(let list)?:
            var texts: [String] = []
            for element in list.elements {
                guard case .string(let text) = element else { throw wrong("\(element.summary) is no string") }
                texts.append(text)
            }
            return texts
        default: throw wrong("startswith and endswith take a string")
        }
    }

    // MARK: Tests

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
