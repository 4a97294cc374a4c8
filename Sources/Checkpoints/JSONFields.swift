// The keys of one JSON object read with their expected type; what does not fit is reported in a sentence such
// as config.json: 'hidden_size' is the string "abc", expected an integer from 1 to 1000000.

import Synchronization

package struct JSONFields: Sendable {
    package let path: String
    package let object: JSON.Object
    package let prefix: String
    private let reads: Reads?

    package init(_ object: JSON.Object, path: String, prefix: String = "") {
        self.init(object, path: path, prefix: prefix, nil)
    }

    private init(_ object: JSON.Object, path: String, prefix: String, _ reads: Reads?) {
        (self.path, self.object, self.prefix, self.reads) = (path, object, prefix, reads)
    }

    package init(_ json: JSON, path: String) throws(FileError) {
        guard case .object(let object) = json else {
            throw FileError(path, "holds \(json.summary), expected an object")
        }
        self.init(object, path: path)
    }

    /// The value of a key; null counts as absent.
    package subscript(key: String) -> JSON? {
        reads?.note(key)
        guard let value = object[key], value != .null else { return nil }
        return value
    }

    package func string(_ key: String) throws(FileError) -> String {
        try required(key, "a string", optionalString(key))
    }

    package func optionalString(_ key: String) throws(FileError) -> String? {
        guard let value = self[key] else { return nil }
        guard case .string(let text) = value else { throw wrong(key, expected: "a string") }
        return text
    }

    package func bool(_ key: String) throws(FileError) -> Bool {
        try required(key, "true or false", optionalBool(key))
    }

    package func optionalBool(_ key: String) throws(FileError) -> Bool? {
        guard let value = self[key] else { return nil }
        guard case .bool(let flag) = value else { throw wrong(key, expected: "true or false") }
        return flag
    }

    package func integer(_ key: String, in range: ClosedRange<Int> = .any) throws(FileError) -> Int {
        try required(key, range.expectation, optionalInteger(key, in: range))
    }

    package func optionalInteger(_ key: String, in range: ClosedRange<Int> = .any) throws(FileError) -> Int? {
        guard let value = self[key] else { return nil }
        guard case .integer(let number) = value, range.contains(number) else {
            throw wrong(key, expected: range.expectation)
        }
        return number
    }

    /// A finite number, integral or not.
    package func number(_ key: String) throws(FileError) -> Double {
        try required(key, "a number", optionalNumber(key))
    }

    package func optionalNumber(_ key: String) throws(FileError) -> Double? {
        switch self[key] {
        case nil: nil
        case .integer(let value): Double(value)
        case .double(let value): value
        default: throw wrong(key, expected: "a number")
        }
    }

    package func positiveNumber(_ key: String) throws(FileError) -> Double {
        try required(key, "a positive number", optionalPositiveNumber(key))
    }

    package func optionalPositiveNumber(_ key: String) throws(FileError) -> Double? {
        guard let value = try optionalNumber(key) else { return nil }
        guard value > 0 else { throw wrong(key, expected: "a positive number") }
        guard value.isNormalFloat else { throw wrong(key, expected: Double.expectationOfFloats) }
        return value
    }

    package func array(_ key: String) throws(FileError) -> [JSON] {
        try required(key, "an array", optionalArray(key))
    }

    package func optionalArray(_ key: String) throws(FileError) -> [JSON]? {
        guard let value = self[key] else { return nil }
        guard case .array(let values) = value else { throw wrong(key, expected: "an array") }
        return values
    }

    package func optionalStrings(_ key: String) throws(FileError) -> [String]? {
        guard let values = try optionalArray(key) else { return nil }
        var strings: [String] = []
        for value in values {
            guard case .string(let text) = value else {
                throw wrong(key, holding: value, expected: "only strings")
            }
            strings.append(text)
        }
        return strings
    }

    package func fields(_ key: String) throws(FileError) -> JSONFields {
        try required(key, "an object", optionalFields(key))
    }

    package func optionalFields(_ key: String) throws(FileError) -> JSONFields? {
        guard let value = self[key] else { return nil }
        guard case .object(let object) = value else { throw wrong(key, expected: "an object") }
        return JSONFields(object, path: path, prefix: "\(prefix)\(key).")
    }

    /// The error for a key whose value is not what it should be.
    package func wrong(_ key: String, expected: String, remedy: String? = nil) -> FileError {
        let found = object[key].map { "is \($0.summary)" } ?? "is missing"
        return FileError(path, "'\(prefix)\(key)' \(found), expected \(expected)", remedy: remedy)
    }

    /// The error for a key whose array holds something that does not belong there.
    package func wrong(_ key: String, holding value: JSON, expected: String) -> FileError {
        FileError(path, "'\(prefix)\(key)' holds \(value.summary), expected \(expected)")
    }

    private func required<Value>(_ key: String, _ expected: String, _ value: Value?) throws(FileError)
        -> Value
    {
        guard let value else { throw wrong(key, expected: expected) }
        return value
    }
}

// What was read is remembered, so that a key which would change the result and was not read is told by name.
extension JSONFields {
    private final class Reads: Sendable {
        private let keys = Mutex<Set<String>>([])

        func note(_ key: String) { _ = keys.withLock { $0.insert(key) } }
        func contains(_ key: String) -> Bool { keys.withLock { $0.contains(key) } }
    }

    /// The same fields, which remember from now on which keys are asked for.
    package func remembering() -> JSONFields { JSONFields(object, path: path, prefix: prefix, Reads()) }

    /// Other values in the place of these, with the same memory.
    package func replaced(by object: JSON.Object) -> JSONFields {
        JSONFields(object, path: path, prefix: prefix, reads)
    }

    /// Keys with a value that were never asked for, in the order of the file.
    package var unreadKeys: [String] {
        guard let reads else { return [] }
        return object.members.filter { $0.value != .null && !reads.contains($0.key) }.map(\.key)
    }
}

extension Double {
    static let expectationOfFloats = "a number that 32 bits can hold, from 1.2e-38 to 3.4e38"

    /// Kernels compute with 32 bits: there it is neither infinite nor 0, nor so small that devices take it for 0.
    package var isNormalFloat: Bool { Float(self).isNormal }
}

extension ClosedRange<Int> {
    package static var any: ClosedRange<Int> { Int.min...Int.max }

    var expectation: String {
        if self == .any { return "an integer" }
        if upperBound == .max { return "an integer of at least \(lowerBound)" }
        return "an integer from \(lowerBound) to \(upperBound)"
    }
}
