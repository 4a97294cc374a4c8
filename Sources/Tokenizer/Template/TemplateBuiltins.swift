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
}
