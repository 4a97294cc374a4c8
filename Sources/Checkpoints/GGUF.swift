// A GGUF file, version 2 or 3, little-endian: counts, metadata, tensor descriptions, then the data, each
// tensor at a multiple of the alignment. Reference: the GGUF specification of ggml. Shapes are turned
// outermost first.

package final class GGUFFile: Sendable {
    package let path: String
    package let version: Int
    package let alignment: Int
    package let metadata: GGUFMetadata
    package let tensors: [StoredTensor]
    private let positions: [ExactString: Int]

    package subscript(name: String) -> StoredTensor? {
        positions[ExactString(name)].map { tensors[$0] }
    }

    package init(_ path: String, limits: LoadLimits = .standard) throws(FileError) {
        let file = try InputFile(path)
        var reader = GGUFReader(file, limits)
        let version = try reader.version()
        let tensorCount = try reader.count("tensors", bytesEach: 24, limit: limits.tensors)
        let keyCount = try reader.count("keys", bytesEach: 13, limit: limits.metadataKeys)
        let metadata = try reader.metadata(keyCount)
        let alignment = try metadata.alignment()
        let infos = try reader.tensorInfos(tensorCount)
        guard let dataStart = reader.at.aligned(to: alignment) else {
            throw FileError(path, "the data begins beyond 2^63")
        }

        var tensors: [StoredTensor] = []
        var positions: [ExactString: Int] = [:]
        for info in infos {
            guard positions.updateValue(tensors.count, forKey: ExactString(info.name)) == nil else {
                throw FileError(path, "holds two tensors called '\(info.name.shortened)'")
            }
            tensors.append(try info.tensor(file, dataStart: dataStart, alignment: alignment))
        }
        try GGUFFile.checkOverlaps(tensors, path)
        (self.path, self.version, self.alignment) = (path, version, alignment)
        (self.metadata, self.tensors, self.positions) = (metadata, tensors, positions)
    }

    private static func checkOverlaps(_ tensors: [StoredTensor], _ path: String) throws(FileError) {
        let filled = tensors.filter { $0.byteCount > 0 }.sorted {
            $0.byteRange.lowerBound < $1.byteRange.lowerBound
        }
        for (first, second) in zip(filled, filled.dropFirst())
        where second.byteRange.lowerBound < first.byteRange.upperBound {
            throw FileError(
                path,
                "the tensors '\(first.name.shortened)' and '\(second.name.shortened)' overlap at byte "
                    + "\(second.byteRange.lowerBound)"
            )
        }
    }
}

extension GGUFMetadata {
    /// Each tensor's data begins at a multiple of it.
    func alignment() throws(FileError) -> Int {
        let key = "general.alignment"
        guard let value = self[key] else { return 32 }
        guard case .uint32(let alignment) = value, alignment.nonzeroBitCount == 1, alignment <= 1 << 20 else {
            throw wrong(key, expected: "a uint32 that is a power of two up to 1048576")
        }
        return Int(alignment)
    }
}

extension Int {
    /// The next multiple; nil where it overflows.
    func aligned(to alignment: Int) -> Int? {
        let (padded, overflow) = addingReportingOverflow(alignment - 1)
        return overflow ? nil : padded / alignment * alignment
    }
}

/// Walks the part of the file before the data.
private struct GGUFReader {
    let file: InputFile
    private let window: FileWindow
    let limits: LoadLimits
    var at = 0

    init(_ file: InputFile, _ limits: LoadLimits) {
        (self.file, window) = (file, FileWindow(file))
        self.limits = limits
    }

    struct TensorInfo {
        let name: String
        let type: StorageType
        let shape: [Int]
        let offset: Int

        func tensor(_ file: InputFile, dataStart: Int, alignment: Int) throws(FileError) -> StoredTensor {
            guard offset % alignment == 0 else {
                throw FileError(
                    file.path,
                    "tensor '\(name.shortened)' begins at \(offset), not at a multiple of \(alignment), the alignment"
                )
            }
            let (start, overflow) = dataStart.addingReportingOverflow(offset)
            guard !overflow else {
                throw FileError(file.path, "tensor '\(name.shortened)' begins beyond 2^63", tensor: name)
            }
            // A tensor without data may be described as lying past the end of a file that ends early.
            let place = checkedProduct(shape) == 0 ? min(start, file.count) : start
            return try StoredTensor(name, type, shape: shape, file: file, offset: place)
        }
    }

    mutating func version() throws(FileError) -> Int {
        guard file.count >= 24, try take(4, "the magic").elementsEqual("GGUF".utf8) else {
            throw FileError(
                file.path,
                file.count < 24
                    ? "has \(file.count) bytes, a GGUF file has at least 24" : "is not a GGUF file")
        }
        let version: UInt32 = try number("the version")
        switch version {
        case 2, 3: return Int(version)
        case _ where version & 0xFFFF == 0:
            throw FileError(file.path, "is a big-endian GGUF file", remedy: "convert it to little-endian")
        default:
            throw FileError(file.path, "is GGUF version \(version); versions 2 and 3 can be read")
        }
    }

    /// A count of records, held against the bytes that are left before anything is allocated for them.
    mutating func count(_ what: String, bytesEach: Int, limit: Int) throws(FileError) -> Int {
        let place = at
        let stated: UInt64 = try number("the number of \(what)")
        guard let count = Int(exactly: stated), count <= (file.count - at) / bytesEach else {
            throw wrong(
                at: place, "states \(stated) \(what), more than fit into the \(file.count) bytes of the file")
        }
        guard count <= limit, count <= limits.metadataBytes / bytesEach else {
            throw wrong(
                at: place,
                "states \(count) \(what), the limit is \(Swift.min(limit, limits.metadataBytes / bytesEach))")
        }
        return count
    }

    mutating func metadata(_ count: Int) throws(FileError) -> GGUFMetadata {
        var metadata = GGUFMetadata(path: file.path)
        for _ in 0..<count {
            let place = at
            let key = try string("a key")
            let type = try type(of: key)
            let value = try value(type, of: key, depth: 1)
            guard metadata.append(key, value) else {
                throw wrong(at: place, "the key '\(key.shortened)' appears twice")
            }
        }
        return metadata
    }

    mutating func tensorInfos(_ count: Int) throws(FileError) -> [TensorInfo] {
        var infos: [TensorInfo] = []
        for _ in 0..<count {
            let name = try string("the name of a tensor")
            let rank: UInt32 = try number("the dimensions of '\(name.shortened)'")
            guard rank <= limits.rank else {
                throw wrong("tensor '\(name.shortened)' has \(rank) dimensions, the limit is \(limits.rank)")
            }
            var shape: [Int] = []
            for _ in 0..<rank {
                let size: UInt64 = try number("the dimensions of '\(name.shortened)'")
                guard let size = Int(exactly: size) else {
                    throw wrong(
                        "tensor '\(name.shortened)' has the dimension \(size), which is negative or too large"
                    )
                }
                shape.insert(size, at: 0)
            }
            let typeNumber: UInt32 = try number("the type of '\(name.shortened)'")
            guard let type = StorageType(ggufNumber: typeNumber) else {
                throw wrong(
                    "tensor '\(name.shortened)' has the type number \(typeNumber), which is not known")
            }
            let offset: UInt64 = try number("the offset of '\(name.shortened)'")
            guard let offset = Int(exactly: offset) else {
                throw wrong("tensor '\(name.shortened)' begins at \(offset), beyond 2^63")
            }
            infos.append(TensorInfo(name: name, type: type, shape: shape, offset: offset))
        }
        return infos
    }

    private mutating func value(
        _ type: GGUFType, of key: String, depth: Int
    ) throws(FileError) -> GGUFValue {
        switch type {
        case .uint8: return .uint8(try number(key))
        case .int8: return .int8(try number(key))
        case .uint16: return .uint16(try number(key))
        case .int16: return .int16(try number(key))
        case .uint32: return .uint32(try number(key))
        case .int32: return .int32(try number(key))
        case .uint64: return .uint64(try number(key))
        case .int64: return .int64(try number(key))
        case .float32: return .float32(Float(bitPattern: try number(key)))
        case .float64: return .float64(Double(bitPattern: try number(key)))
        case .bool:
            let byte: UInt8 = try number(key)
            guard byte <= 1 else { throw wrong(at: at - 1, "'\(key.shortened)' is a bool of value \(byte)") }
            return .bool(byte == 1)
        case .string: return .string(try string("'\(key.shortened)'"))
        case .array: return .array(try array(key, depth))
        }
    }

    private mutating func array(_ key: String, _ depth: Int) throws(FileError) -> GGUFArray {
        guard depth < limits.depth else {
            throw wrong("'\(key.shortened)' nests arrays deeper than \(limits.depth) levels")
        }
        let element = try type(of: key)
        let count = try count(
            "elements of '\(key.shortened)'", bytesEach: element.minimumBytes, limit: limits.arrayCount)
        switch element {
        case .string:
            var strings: [String] = []
            for _ in 0..<count { strings.append(try string("'\(key.shortened)'")) }
            return GGUFArray(strings: strings)
        case .array:
            var arrays: [GGUFArray] = []
            for _ in 0..<count { arrays.append(try array(key, depth + 1)) }
            return GGUFArray(arrays: arrays)
        default:
            let start = at
            let numbers = try file.bytes(at: start, count: count * element.minimumBytes)
            try advance(numbers.count)
            if element == .bool, let index = numbers.firstIndex(where: { $0 > 1 }) {
                throw wrong(at: start + index, "'\(key.shortened)' is a bool of value \(numbers[index])")
            }
            return GGUFArray(element, numbers: numbers)
        }
    }

    private mutating func type(of key: String) throws(FileError) -> GGUFType {
        let number: UInt32 = try number(key)
        guard let type = GGUFType(rawValue: number) else {
            throw wrong(at: at - 4, "'\(key.shortened)' has the type number \(number), which is not known")
        }
        return type
    }

    private mutating func string(_ what: String) throws(FileError) -> String {
        let length = try count("bytes of \(what)", bytesEach: 1, limit: limits.stringBytes)
        let text = try take(length, what)
        if let offset = firstInvalidUTF8(text) {
            throw wrong(at: at - length + offset, "\(what) is not valid UTF-8")
        }
        return String(decoding: text, as: UTF8.self)
    }

    private mutating func number<Number: FixedWidthInteger & BitwiseCopyable>(
        _ what: String
    ) throws(FileError) -> Number {
        Number(littleEndian: try take(MemoryLayout<Number>.size, what).loadUnaligned(as: Number.self))
    }

    /// Valid until the next call.
    private mutating func take(_ count: Int, _ what: String) throws(FileError) -> UnsafeRawBufferPointer {
        guard let bytes = try window.bytes(at: at, count: count) else {
            throw wrong("the file ends inside \(what)", remedy: "it is cut: copy or download it again")
        }
        try advance(count)
        return bytes
    }

    private mutating func advance(_ count: Int) throws(FileError) {
        at += count
        guard at <= limits.metadataBytes else {
            throw wrong("there are more than \(limits.metadataBytes) bytes before the data")
        }
    }

    private func wrong(at place: Int? = nil, _ message: String, remedy: String? = nil) -> FileError {
        FileError(file.path, at: .byte(place ?? at), message, remedy: remedy)
    }
}
