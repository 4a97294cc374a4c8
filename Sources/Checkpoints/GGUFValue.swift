// A value of GGUF metadata with the type the file gave it, so that a file can be written again as it was
// read.

package enum GGUFType: UInt32, Sendable {
    case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// The fewest bytes a value takes in the file.
    var minimumBytes: Int {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64, .string: 8
        case .array: 12
        }
    }
}

package enum GGUFValue: Sendable, Equatable {
    case uint8(UInt8)
    case int8(Int8)
    case uint16(UInt16)
    case int16(Int16)
    case uint32(UInt32)
    case int32(Int32)
    case uint64(UInt64)
    case int64(Int64)
    case float32(Float)
    case float64(Double)
    case bool(Bool)
    case string(String)
    case array(GGUFArray)

    package var type: GGUFType {
        switch self {
        case .uint8: .uint8
        case .int8: .int8
        case .uint16: .uint16
        case .int16: .int16
        case .uint32: .uint32
        case .int32: .int32
        case .uint64: .uint64
        case .int64: .int64
        case .float32: .float32
        case .float64: .float64
        case .bool: .bool
        case .string: .string
        case .array: .array
        }
    }

    /// The value of any integer type that fits.
    package var integer: Int? {
        switch self {
        case .uint8(let value): Int(value)
        case .int8(let value): Int(value)
        case .uint16(let value): Int(value)
        case .int16(let value): Int(value)
        case .uint32(let value): Int(value)
        case .int32(let value): Int(value)
        case .uint64(let value): Int(exactly: value)
        case .int64(let value): Int(exactly: value)
        default: nil
        }
    }

    /// The value of a floating-point type.
    package var double: Double? {
        switch self {
        case .float32(let value): Double(value)
        case .float64(let value): value
        default: nil
        }
    }

    package var summary: String {
        switch self {
        case .string(let value): JSON.string(value).summary
        case .bool(let value): "\(value)"
        case .array(let array): "an array of \(array.count) \(array.type)"
        case .uint64(let value): "the uint64 \(value)"
        default: integer.map { "the \(type) \($0)" } ?? double.map { "the \(type) \($0)" } ?? "a \(type)"
        }
    }
}

/// The metadata of one file, read with the expected type; what does not fit is a sentence.
package struct GGUFMetadata: Sendable {
    package struct Entry: Sendable {
        package let key: String
        package let value: GGUFValue
    }

    package let path: String
    /// In the order of the file.
    package private(set) var entries: [Entry] = []
    private var positions: [ExactString: Int] = [:]

    package init(path: String) { self.path = path }

    package subscript(key: String) -> GGUFValue? { positions[ExactString(key)].map { entries[$0].value } }

    /// Replaces the value of a key or appends it.
    package mutating func set(_ key: String, _ value: GGUFValue) {
        if let position = positions[ExactString(key)] {
            entries[position] = Entry(key: key, value: value)
        } else {
            _ = append(key, value)
        }
    }

    /// False where the key is there already.
    mutating func append(_ key: String, _ value: GGUFValue) -> Bool {
        guard positions.updateValue(entries.count, forKey: ExactString(key)) == nil else { return false }
        entries.append(Entry(key: key, value: value))
        return true
    }

    package func optionalString(_ key: String) throws(FileError) -> String? {
        guard let value = self[key] else { return nil }
        guard case .string(let text) = value else { throw wrong(key, expected: "a string") }
        return text
    }

    package func optionalBool(_ key: String) throws(FileError) -> Bool? {
        guard let value = self[key] else { return nil }
        guard case .bool(let flag) = value else { throw wrong(key, expected: "a bool") }
        return flag
    }

    package func optionalInteger(_ key: String, in range: ClosedRange<Int> = .any) throws(FileError) -> Int? {
        guard let value = self[key] else { return nil }
        guard let number = value.integer, range.contains(number) else {
            throw wrong(key, expected: range.expectation)
        }
        return number
    }

    package func integer(_ key: String, in range: ClosedRange<Int> = .any) throws(FileError) -> Int {
        guard let number = try optionalInteger(key, in: range) else {
            throw wrong(key, expected: range.expectation)
        }
        return number
    }

    /// A finite floating-point number above zero.
    package func optionalPositiveNumber(_ key: String) throws(FileError) -> Double? {
        guard let value = self[key] else { return nil }
        guard let number = value.double, number.isFinite, number > 0 else {
            throw wrong(key, expected: "a positive floating-point number")
        }
        guard number.isNormalFloat else { throw wrong(key, expected: Double.expectationOfFloats) }
        return number
    }

    package func positiveNumber(_ key: String) throws(FileError) -> Double {
        guard let number = try optionalPositiveNumber(key) else {
            throw wrong(key, expected: "a positive floating-point number")
        }
        return number
    }

    package func optionalStrings(_ key: String) throws(FileError) -> [String]? {
        guard let value = self[key] else { return nil }
        guard case .array(let array) = value, let strings = array.strings else {
            throw wrong(key, expected: "an array of strings")
        }
        return strings
    }

    package func optionalFloats(_ key: String) throws(FileError) -> [Float]? {
        try optionalArray(key, of: "float32") { if case .float32(let number) = $0 { number } else { nil } }
    }

    package func optionalIntegers(_ key: String) throws(FileError) -> [Int]? {
        try optionalArray(key, of: "integers") { $0.integer }
    }

    /// The error for a key whose value is not what it should be.
    package func wrong(_ key: String, expected: String, remedy: String? = nil) -> FileError {
        let found = self[key].map { "is \($0.summary)" } ?? "is missing"
        return FileError(path, "'\(key)' \(found), expected \(expected)", remedy: remedy)
    }

    private func optionalArray<Element>(
        _ key: String, of what: String, _ element: (GGUFValue) -> Element?
    ) throws(FileError) -> [Element]? {
        guard let value = self[key] else { return nil }
        guard case .array(let array) = value else { throw wrong(key, expected: "an array of \(what)") }
        var result: [Element] = []
        result.reserveCapacity(array.count)
        for value in array.values {
            guard let element = element(value) else { throw wrong(key, expected: "an array of \(what)") }
            result.append(element)
        }
        return result
    }
}
