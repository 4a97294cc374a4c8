// An array of GGUF metadata. Its numbers stay bytes as in the file: a file of a few bytes with holes may state many.

package struct GGUFArray: Sendable, Equatable {
    private enum Storage: Sendable, Equatable {
        /// Little-endian; a bool is a byte of 0 or 1.
        case numbers([UInt8])
        case strings([String])
        case arrays([GGUFArray])
    }

    package let type: GGUFType
    package let count: Int
    private let storage: Storage

    /// Numbers of a type as the file has them.
    init(_ type: GGUFType, numbers: [UInt8]) {
        (self.type, count, storage) = (type, numbers.count / type.minimumBytes, .numbers(numbers))
    }

    init(strings: [String]) { (type, count, storage) = (.string, strings.count, .strings(strings)) }

    init(arrays: [GGUFArray]) { (type, count, storage) = (.array, arrays.count, .arrays(arrays)) }

    /// Values that are all of this type.
    package init(_ type: GGUFType, _ values: [GGUFValue]) {
        switch type {
        case .string:
            self.init(strings: values.compactMap { if case .string(let text) = $0 { text } else { nil } })
        case .array:
            self.init(arrays: values.compactMap { if case .array(let array) = $0 { array } else { nil } })
        default:
            self.init(type, numbers: values.flatMap(\.numberBytes))
        }
        precondition(count == values.count, "values of another type among those of \(type)")
    }

    /// nil for another type.
    package var strings: [String]? { if case .strings(let strings) = storage { strings } else { nil } }

    package var values: some Sequence<GGUFValue> { (0..<count).lazy.map { self[$0] } }

    package subscript(index: Int) -> GGUFValue {
        switch storage {
        case .strings(let strings): return .string(strings[index])
        case .arrays(let arrays): return .array(arrays[index])
        case .numbers(let bytes):
            func number<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type) -> Number {
                let size = MemoryLayout<Number>.size
                return bytes.withUnsafeBytes {
                    Number(littleEndian: $0.loadUnaligned(fromByteOffset: index * size, as: Number.self))
                }
            }
            switch type {
            case .uint8: return .uint8(number(UInt8.self))
            case .int8: return .int8(number(Int8.self))
            case .uint16: return .uint16(number(UInt16.self))
            case .int16: return .int16(number(Int16.self))
            case .uint32: return .uint32(number(UInt32.self))
            case .int32: return .int32(number(Int32.self))
            case .uint64: return .uint64(number(UInt64.self))
            case .int64: return .int64(number(Int64.self))
            case .float32: return .float32(Float(bitPattern: number(UInt32.self)))
            case .float64: return .float64(Double(bitPattern: number(UInt64.self)))
            case .bool, .string, .array: return .bool(number(UInt8.self) != 0)
            }
        }
    }
}

extension GGUFValue {
    /// A number as a file has it, empty for texts and arrays.
    var numberBytes: [UInt8] {
        func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
            withUnsafeBytes(of: number.littleEndian) { Array($0) }
        }
        return switch self {
        case .uint8(let number): bytes(number)
        case .int8(let number): bytes(number)
        case .uint16(let number): bytes(number)
        case .int16(let number): bytes(number)
        case .uint32(let number): bytes(number)
        case .int32(let number): bytes(number)
        case .uint64(let number): bytes(number)
        case .int64(let number): bytes(number)
        case .float32(let number): bytes(number.bitPattern)
        case .float64(let number): bytes(number.bitPattern)
        case .bool(let flag): [flag ? 1 : 0]
        case .string, .array: []
        }
    }

    /// An array of values that are all of this type.
    package static func array(_ type: GGUFType, _ values: [GGUFValue]) -> GGUFValue {
        .array(GGUFArray(type, values))
    }
}
