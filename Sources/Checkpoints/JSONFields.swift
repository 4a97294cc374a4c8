// The keys of one JSON object read with their expected type; what does not fit is reported in a sentence such
// as config.json: 'hidden_size' is the string "abc", expected an integer from 1 to 1000000.

package struct JSONFields: Sendable {
    package let path: String
    package let object: JSON.Object
    package let prefix: String

    package init(_ object: JSON.Object, path: String, prefix: String = "") {
        self.path = path
        self.object = object
        self.prefix = prefix
    }

    package init(_ json: JSON, path: String) throws(FileError) {
        guard case .object(let object) = json else {
            throw FileError(path, "holds \(json.summary), expected an object")
        }
        self.init(object, path: path)
    }

    /// The value of a key; null counts as absent.
    package subscript(key: String) -> JSON? {
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
