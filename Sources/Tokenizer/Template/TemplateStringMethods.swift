// Methods of strings, as Python's.

import Checkpoints

extension TemplateEvaluator {
    mutating func stringMethod(
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
        case "center": return try filter(name, .string(text), call)
        case "upper", "lower", "capitalize": return try filter(name, .string(text), TemplateCall())
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
            guard case .string(let fill) = call.argument(1, "fillchar") ?? .string(" "),
                fill.unicodeScalars.count == 1
            else {
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
}
