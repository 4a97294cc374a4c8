// A safetensors file: 8 bytes of header length, a JSON header {name: {dtype, shape, data_offsets}}, the data.
// The ranges of the tensors must tile the data exactly, in any order. Reference: the `safetensors` format.

package final class SafetensorsFile: Sendable {
    package let path: String
    package let metadata: [String: String]
    /// In the order of their data.
    package let tensors: [StoredTensor]
    private let positions: [ExactString: Int]

    package init(_ path: String, limits: LoadLimits = .standard) throws(FileError) {
        let file = try InputFile(path)
        let (header, dataStart) = try SafetensorsFile.header(file, limits)
        let fields = try JSONFields(header, path: path)
        guard fields.object.count <= limits.tensors else {
            throw FileError(path, "lists \(fields.object.count) tensors, the limit is \(limits.tensors)")
        }
        var metadata: [String: String] = [:]
        var entries: [Entry] = []
        for member in fields.object.members {
            if member.key == "__metadata__" {
                metadata = try SafetensorsFile.metadata(fields)
            } else {
                entries.append(try Entry(member.key, fields.fields(member.key), limits))
            }
        }
        entries.sort { ($0.begin, $0.end) < ($1.begin, $1.end) }
        try SafetensorsFile.checkTiling(entries, path, dataBytes: file.count - dataStart)

        var tensors: [StoredTensor] = []
        var positions: [ExactString: Int] = [:]
        for entry in entries {
            positions[ExactString(entry.name)] = tensors.count
            tensors.append(
                try StoredTensor(
                    entry.name, entry.type, shape: entry.shape, file: file, offset: dataStart + entry.begin))
        }
        (self.path, self.metadata, self.tensors, self.positions) = (path, metadata, tensors, positions)
    }

    package subscript(name: String) -> StoredTensor? {
        positions[ExactString(name)].map { tensors[$0] }
    }

    private static func header(
        _ file: InputFile, _ limits: LoadLimits
    ) throws(FileError) -> (JSON, dataStart: Int) {
        guard file.count >= 8 else {
            throw FileError(file.path, "has \(file.count) bytes, a safetensors file has at least 8")
        }
        let stated = try file.bytes(at: 0, count: 8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
        guard let length = Int(exactly: stated), length <= file.count - 8 else {
            throw FileError(
                file.path, "states a header of \(stated) bytes, the file has \(file.count)",
                remedy: "it is cut, damaged or not a safetensors file")
        }
        guard length <= limits.headerBytes else {
            throw FileError(file.path, "has a header of \(length) bytes, the limit is \(limits.headerBytes)")
        }
        let text = try file.bytes(at: 8, count: length)
        guard text.first == UInt8(ascii: "{") else {
            throw FileError(file.path, at: .byte(8), "the header does not begin with '{'")
        }
        do {
            return (try JSON.parse(text, path: file.path, limits: limits), 8 + length)
        } catch {
            var error = error
            if case .byte(let offset) = error.position { error.position = .byte(8 + offset) }
            throw error
        }
    }

    private static func metadata(_ fields: JSONFields) throws(FileError) -> [String: String] {
        let metadata = try fields.fields("__metadata__")
        var result: [String: String] = [:]
        for key in metadata.object.keys { result[key] = try metadata.string(key) }
        return result
    }

    /// Every byte of the data belongs to exactly one tensor.
    private static func checkTiling(_ entries: [Entry], _ path: String, dataBytes: Int) throws(FileError) {
        var end = 0
        for entry in entries {
            guard entry.begin >= end else {
                throw FileError(
                    path,
                    "tensor '\(entry.name.shortened)' begins at byte \(entry.begin) of the data, "
                        + "inside another tensor"
                )
            }
            guard entry.begin == end else {
                throw FileError(
                    path,
                    "tensor '\(entry.name.shortened)' begins at byte \(entry.begin) of the data, "
                        + "the one before ends at \(end)"
                )
            }
            end = entry.end
        }
        guard end == dataBytes else {
            throw FileError(
                path,
                end > dataBytes
                    ? "the tensors need \(end) bytes of data, the file has \(dataBytes)"
                    : "\(dataBytes - end) bytes follow the last tensor",
                remedy: "the file is cut or damaged: copy or download it again")
        }
    }

    private struct Entry {
        let name: String
        let type: StorageType
        let shape: [Int]
        let begin: Int
        let end: Int

        init(_ name: String, _ fields: JSONFields, _ limits: LoadLimits) throws(FileError) {
            func wrong(_ message: String) -> FileError {
                FileError(fields.path, "tensor '\(name.shortened)' \(message)", tensor: name)
            }
            let dtype = try fields.string("dtype")
            guard let type = StorageType(rawValue: dtype), type.safetensorsRank != nil else {
                throw wrong("has the type '\(dtype.shortened)', which is not known")
            }
            let shape = try Entry.sizes(fields, "shape")
            guard shape.count <= limits.rank else {
                throw wrong("has \(shape.count) dimensions, the limit is \(limits.rank)")
            }
            let offsets = try Entry.sizes(fields, "data_offsets")
            guard offsets.count == 2, offsets[0] <= offsets[1] else {
                throw wrong("has the data_offsets \(offsets), expected a begin and an end not before it")
            }
            guard let elements = checkedProduct(shape), let bytes = type.rowBytes(columns: elements) else {
                throw wrong("has the shape \(shape), whose size does not fit 64 bits")
            }
            guard bytes == offsets[1] - offsets[0] else {
                throw wrong(
                    "of \(dtype) and shape \(shape) needs \(bytes) bytes, "
                        + "its data_offsets hold \(offsets[1] - offsets[0])"
                )
            }
            (self.name, self.type, self.shape, begin, end) = (name, type, shape, offsets[0], offsets[1])
        }

        /// An array of integers that are not negative.
        private static func sizes(_ fields: JSONFields, _ key: String) throws(FileError) -> [Int] {
            var sizes: [Int] = []
            for value in try fields.array(key) {
                guard case .integer(let size) = value, size >= 0 else {
                    throw fields.wrong(key, holding: value, expected: "integers of at least 0")
                }
                sizes.append(size)
            }
            return sizes
        }
    }
}
