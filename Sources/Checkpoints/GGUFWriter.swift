// Writes a GGUF file, version 3: counts, metadata, tensor descriptions, then the data, each tensor and the end padded
// to the alignment. Data is streamed, so a model larger than memory can be written. Reference: the GGUF
// specification of ggml.

package enum GGUFWriter {
    private static let version: UInt32 = 3

    /// Writes the file; it appears when it is complete. Shapes are outermost first, as everywhere here.
    package static func write(
        _ tensors: [TensorSource], metadata: GGUFMetadata, to path: String
    ) throws(FileError) {
        let file = try AtomicFile(path)
        try write(tensors, metadata: metadata, to: file)
        try file.commit()
    }

    /// Writes into a file that the caller commits.
    package static func write(
        _ tensors: [TensorSource], metadata: GGUFMetadata, to file: AtomicFile
    ) throws(FileError) {
        let alignment = try metadata.alignment()
        var header = Header(bytes: Array("GGUF".utf8))
        header.put(version)
        header.put(UInt64(tensors.count))
        header.put(UInt64(metadata.entries.count))
        for entry in metadata.entries {
            header.put(entry.key)
            header.put(entry.value.type.rawValue)
            header.put(entry.value)
        }
        var names: Set<ExactString> = []
        var end = 0
        for tensor in tensors {
            guard names.insert(ExactString(tensor.name)).inserted else {
                throw FileError(file.path, "cannot hold two tensors called '\(tensor.name.shortened)'")
            }
            guard let number = tensor.type.ggufNumber else {
                throw FileError(file.path, "GGUF cannot hold '\(tensor.name)' as \(tensor.type.name)")
            }
            guard let size = tensor.byteCount, case let (next, false) = end.addingReportingOverflow(size),
                let aligned = next.aligned(to: alignment)
            else {
                throw FileError(
                    file.path,
                    "the tensor '\(tensor.name)' of shape \(tensor.shape) cannot be stored as \(tensor.type.name)"
                )
            }
            header.put(tensor.name)
            header.put(UInt32(tensor.shape.count))
            for size in tensor.shape.reversed() { header.put(UInt64(size)) }
            header.put(number)
            header.put(UInt64(end))
            end = aligned
        }
        try file.write(header.bytes)
        try pad(file, to: alignment)
        for tensor in tensors {
            let start = file.count
            try tensor.produce { (bytes) throws(FileError) in try file.write(bytes) }
            precondition(
                file.count - start == tensor.byteCount,
                "'\(tensor.name)' wrote another size than its shape says")
            try pad(file, to: alignment)
        }
    }

    private static func pad(_ file: AtomicFile, to alignment: Int) throws(FileError) {
        let rest = file.count % alignment
        if rest > 0 { try file.write([UInt8](repeating: 0, count: alignment - rest)) }
    }

    private struct Header {
        var bytes: [UInt8]

        mutating func put(_ number: some FixedWidthInteger) {
            withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
        }

        mutating func put(_ text: String) {
            put(UInt64(text.utf8.count))
            bytes.append(contentsOf: text.utf8)
        }

        mutating func put(_ value: GGUFValue) {
            switch value {
            case .string(let text): put(text)
            case .array(let array):
                put(array.type.rawValue)
                put(UInt64(array.count))
                for value in array.values { put(value) }
            default: bytes += value.numberBytes
            }
        }
    }
}

extension TensorSource {
    /// Bytes of the data; nil where a row is not whole blocks or the size overflows.
    package var byteCount: Int? {
        guard let count = checkedProduct(shape), (shape.last ?? 1) % type.blockElements == 0 else {
            return nil
        }
        return type.rowBytes(columns: count)
    }
}
