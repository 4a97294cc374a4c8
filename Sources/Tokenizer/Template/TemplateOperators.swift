// Operators, attributes and items, with Python's meaning; sums that leave 64 bits are errors.

import Checkpoints
import Glibc

extension TemplateEvaluator {
    func negative(_ value: TemplateValue) throws(FileError) -> TemplateValue {
        if let integer = value.integer, integer != .min { return .integer(-integer) }
        if case .float(let number) = value { return .float(-number) }
        throw wrong("\(value.summary) has no negative")
    }

    func positive(_ value: TemplateValue) throws(FileError) -> TemplateValue {
        if let integer = value.integer { return .integer(integer) }
        if case .float = value { return value }
        throw wrong("\(value.summary) is no number")
    }

    mutating func arithmetic(
        _ operation: TemplateExpression.Operator, _ left: TemplateValue, _ right: TemplateValue
    ) throws(FileError) -> TemplateValue {
        switch (operation, left, right) {
        case (.add, .string(let a), .string(let b)):
            try charge(bytes: a.utf8.count + b.utf8.count)
            return .string(a + b)
        case (.add, .list(let a), .list(let b)) where a.isTuple == b.isTuple:
            return try list(a.elements + b.elements, isTuple: a.isTuple)
        case (.multiply, .string, _), (.multiply, .list, _):
            if let count = right.integer { return try repeated(left, count) }
        case (.multiply, _, .string), (.multiply, _, .list):
            if let count = left.integer { return try repeated(right, count) }
        case (.modulo, .string(let format), _):
            guard case .list(let list) = right, list.isTuple else {
                return .string(try formatted(format, [right]))
            }
            return .string(try formatted(format, list.elements))
        default: break
        }
        if operation != .divide, let a = left.integer, let b = right.integer, operation != .power || b >= 0 {
            return .integer(try whole(operation, a, b))
        }
        guard let a = left.number, let b = right.number else {
            throw wrong("'\(operation.rawValue)' does not work on \(left.summary) and \(right.summary)")
        }
        return .float(try real(operation, a, b))
    }

    private mutating func repeated(_ value: TemplateValue, _ count: Int) throws(FileError) -> TemplateValue {
        let (size, overflow) = value.weight.multipliedReportingOverflow(by: max(count, 0))
        try charge(bytes: overflow ? .max : size)
        guard case .list(let list) = value else {
            return .string(String(repeating: value.text, count: max(count, 0)))
        }
        let elements = Array(repeating: list.elements, count: max(count, 0)).flatMap(\.self)
        return try self.list(elements, isTuple: list.isTuple)
    }

    private mutating func whole(
        _ operation: TemplateExpression.Operator, _ a: Int, _ b: Int
    ) throws(FileError) -> Int {
        var result: (partialValue: Int, overflow: Bool)
        switch operation {
        case .add: result = a.addingReportingOverflow(b)
        case .subtract: result = a.subtractingReportingOverflow(b)
        case .multiply: result = a.multipliedReportingOverflow(by: b)
        case .floorDivide, .modulo, .divide:
            guard b != 0 else { throw wrong("division by zero") }
            let (quotient, overflow) = a.dividedReportingOverflow(by: b)
            guard !overflow else { throw wrong("the number is too large") }
            let remainder = a % b
            let isLowered = remainder != 0 && (remainder < 0) != (b < 0)
            if operation == .modulo { return isLowered ? remainder + b : remainder }
            return isLowered ? quotient - 1 : quotient
        case .power:
            result = (1, false)
            for _ in 0..<b {
                try charge(1)
                result = result.partialValue.multipliedReportingOverflow(by: a)
                if result.overflow { break }
            }
        }
        guard !result.overflow else { throw wrong("the number is too large") }
        return result.partialValue
    }

    private func real(_ operation: TemplateExpression.Operator, _ a: Double, _ b: Double) throws(FileError)
        -> Double
    {
        switch operation {
        case .add: return a + b
        case .subtract: return a - b
        case .multiply: return a * b
        case .power: return pow(a, b)
        case .divide, .floorDivide, .modulo:
            guard b != 0 else { throw wrong("division by zero") }
            if operation == .divide { return a / b }
            let quotient = (a / b).rounded(.down)
            return operation == .floorDivide ? quotient : a - quotient * b
        }
    }

    mutating func compare(
        _ operation: TemplateExpression.Comparison, _ left: TemplateValue, _ right: TemplateValue
    ) throws(FileError) -> Bool {
        switch operation {
        case .equal: return try isEqual(left, right)
        case .notEqual: return try !isEqual(left, right)
        case .contained: return try contains(right, left)
        case .notContained: return try !contains(right, left)
        case .less: return try precedes(left, right)
        case .greater: return try precedes(right, left)
        case .lessOrEqual: return try !precedes(right, left)
        case .greaterOrEqual: return try !precedes(left, right)
        }
    }

    mutating func isEqual(_ left: TemplateValue, _ right: TemplateValue) throws(FileError) -> Bool {
        try charge(bytes: min(left.weight, right.weight))
        return TemplateValue.isEqual(left, right)
    }

    mutating func precedes(_ left: TemplateValue, _ right: TemplateValue) throws(FileError) -> Bool {
        if case .string(let a) = left, case .string(let b) = right {
            try charge(bytes: min(a.utf8.count, b.utf8.count))
            return a.utf8.lexicographicallyPrecedes(b.utf8)
        }
        if case .list(let a) = left, case .list(let b) = right, a.isTuple == b.isTuple {
            for (a, b) in zip(a.elements, b.elements) where try !isEqual(a, b) { return try precedes(a, b) }
            return a.elements.count < b.elements.count
        }
        if let a = left.integer, let b = right.integer { return a < b }
        guard let a = left.number, let b = right.number else {
            throw wrong("\(left.summary) and \(right.summary) have no order")
        }
        return a < b
    }

    mutating func contains(_ container: TemplateValue, _ value: TemplateValue) throws(FileError) -> Bool {
        switch (container, value) {
        case (.string(let text), .string(let part)):
            try charge(bytes: text.utf8.count + part.utf8.count)
            return TemplateText.find(part, in: text) != nil
        case (.list(let list), _):
            for element in list.elements where try isEqual(element, value) { return true }
            return false
        case (.dictionary(let dictionary), _):
            try charge(bytes: value.weight)
            return TemplateKey(value).map { dictionary[$0] != nil } ?? false
        case (.undefined, _): return false
        default: throw wrong("'in' does not work on \(value.summary) and \(container.summary)")
        }
    }

    /// What a loop goes through.
    mutating func elements(of value: TemplateValue) throws(FileError) -> [TemplateValue] {
        switch value {
        case .list(let list):
            try charge(list.elements.count)
            return list.elements
        case .dictionary(let dictionary):
            try charge(dictionary.members.count)
            return dictionary.members.map(\.key.value)
        case .string(let text):
            try charge(text.utf8.count)
            return text.unicodeScalars.map { .string(String($0)) }
        case .undefined: return []
        default: throw wrong("\(value.summary) is not a list")
        }
    }

    func attribute(_ name: String, of target: TemplateValue) throws(FileError) -> TemplateValue {
        switch target {
        case .dictionary(let dictionary): return dictionary[name] ?? .undefined(name)
        case .namespace(let namespace): return namespace.members[ExactString(name)] ?? .undefined(name)
        case .loop(let loop): return loop.attribute(name) ?? .undefined(name)
        case .undefined(let missing): throw wrong("'\(missing)' is not defined, so it has no '\(name)'")
        default: return .undefined(name)
        }
    }

    mutating func item(_ index: TemplateValue, of target: TemplateValue) throws(FileError) -> TemplateValue {
        switch (target, index) {
        case (.undefined(let name), _): throw wrong("'\(name)' is not defined, so it has no items")
        case (.list(let list), _):
            guard let position = index.integer else { break }
            let place = position < 0 ? position + list.elements.count : position
            guard list.elements.indices.contains(place) else { return .undefined("[\(position)]") }
            recorder.visit(list.elements[place], at: position)
            return list.elements[place]
        case (.string(let text), _):
            guard let position = index.integer else { break }
            try charge(bytes: text.utf8.count)
            let scalars = Array(text.unicodeScalars)
            let place = position < 0 ? position + scalars.count : position
            return scalars.indices.contains(place)
                ? .string(String(scalars[place])) : .undefined("[\(position)]")
        case (.dictionary(let dictionary), _):
            try charge(bytes: index.weight)
            if let key = TemplateKey(index) { return dictionary[key] ?? .undefined(index.text) }
        case (_, .string(let name)): return try attribute(name, of: target)
        default: break
        }
        return .undefined("[…]")
    }

    mutating func slice(
        _ target: TemplateValue, _ start: TemplateValue?, _ stop: TemplateValue?, _ step: TemplateValue?
    ) throws(FileError) -> TemplateValue {
        switch target {
        case .list(let list):
            let places = try indices(list.elements.count, start, stop, step)
            return try self.list(places.map { list.elements[$0] }, isTuple: list.isTuple)
        case .string(let text):
            try charge(bytes: text.utf8.count)
            let scalars = Array(text.unicodeScalars)
            let places = try indices(scalars.count, start, stop, step)
            return .string(TemplateText.string(places.map { scalars[$0] }))
        default: throw wrong("\(target.summary) cannot be sliced")
        }
    }

    /// As Python's slice.indices.
    private func indices(
        _ count: Int, _ start: TemplateValue?, _ stop: TemplateValue?, _ step: TemplateValue?
    ) throws(FileError) -> [Int] {
        func bound(_ value: TemplateValue?) throws(FileError) -> Int? {
            switch value {
            case nil, .some(.none): return nil
            case let value?:
                guard let index = value.integer else { throw wrong("\(value.summary) is no index") }
                return max(min(index, count + 1), -count - 1)
            }
        }
        let step = try bound(step) ?? 1
        guard step != 0 else { throw wrong("the step of a slice is 0") }
        let (lowest, highest) = step > 0 ? (0, count) : (-1, count - 1)
        func place(_ index: Int?, _ standard: Int) -> Int {
            guard let index else { return standard }
            return min(max(index < 0 ? index + count : index, lowest), highest)
        }
        let first = place(try bound(start), step > 0 ? 0 : count - 1)
        let last = place(try bound(stop), step > 0 ? count : -1)
        return Array(stride(from: first, to: last, by: step))
    }
}

extension TemplateLoop {
    func attribute(_ name: String) -> TemplateValue? {
        let count = elements.elements.count
        switch name {
        case "index": return .integer(index + 1)
        case "index0": return .integer(index)
        case "revindex": return .integer(count - index)
        case "revindex0": return .integer(count - index - 1)
        case "first": return .bool(index == 0)
        case "last": return .bool(index == count - 1)
        case "length": return .integer(count)
        case "depth": return .integer(depth)
        case "depth0": return .integer(depth - 1)
        case "previtem": return index > 0 ? elements.elements[index - 1] : .undefined(name)
        case "nextitem": return index + 1 < count ? elements.elements[index + 1] : .undefined(name)
        default: return nil
        }
    }
}
