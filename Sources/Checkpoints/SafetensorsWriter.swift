// Writes a safetensors file, byte for byte as the `safetensors` library lays it out: tensors of wider types
// first, then by name; a compact header padded with spaces to 8 bytes. Data is streamed, so a model larger
// than memory can be written.

/// A tensor to be written: what it is, and a closure that hands its bytes to `emit` piece by piece.
package struct TensorSource {
    package typealias Emit = (UnsafeRawBufferPointer) throws(FileError) -> Void

    package let name: String
    package let type: StorageType
    package let shape: [Int]
    package let produce: (_ emit: Emit) throws(FileError) -> Void

    package init(
        _ name: String, _ type: StorageType, shape: [Int],
        produce: @escaping (_ emit: Emit) throws(FileError) -> Void
    ) {
        (self.name, self.type, self.shape, self.produce) = (name, type, shape, produce)
    }

    package init(_ name: String, shape: [Int], _ values: [Float]) {
        self.init(name, .f32, shape: shape) { (emit) throws(FileError) in
            try values.withUnsafeBufferPointer { (values) throws(FileError) in
                try emit(UnsafeRawBufferPointer(values))
            }
        }
    }

    /// A copy of a stored tensor as its file has it, but rows in Hugging Face's order.
    package init(_ tensor: StoredTensor, name: String? = nil) {
        self.init(name ?? tensor.name, tensor.type, shape: tensor.fileShape) { (emit) throws(FileError) in
            if tensor.order == .asStored { return try tensor.eachPiece(emit) }
            for rows in tensor.pieces(of: 0..<tensor.rows) {
                try tensor.bytes(rows: rows).withUnsafeBufferPointer { (bytes) throws(FileError) in
                    try emit(UnsafeRawBufferPointer(bytes))
                }
            }
        }
    }
}

package enum SafetensorsWriter {
    package static let pytorch = ["format": "pt"]

    /// Writes the file; it appears when it is complete.
    package static func write(
        _ tensors: [TensorSource], metadata: [String: String] = pytorch, to path: String
    ) throws(FileError) {
        let file = try AtomicFile(path)
        try write(tensors, metadata: metadata, to: file)
        try file.commit()
    }

    /// Writes into a file that the caller commits.
    package static func write(
        _ tensors: [TensorSource], metadata: [String: String] = pytorch, to file: AtomicFile
    ) throws(FileError) {
        var ordered: [(rank: Int, tensor: TensorSource)] = []
        for tensor in tensors {
            guard let rank = tensor.type.safetensorsRank else {
                throw FileError(file.path, "safetensors cannot hold '\(tensor.name)' as \(tensor.type.name)")
            }
            ordered.append((rank, tensor))
        }
        ordered.sort { a, b in
            if a.rank != b.rank { return a.rank > b.rank }
            return a.tensor.name.utf8.lexicographicallyPrecedes(b.tensor.name.utf8)
        }

        var header = JSON.Object()
        if !metadata.isEmpty {
            var object = JSON.Object()
            for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { object[key] = .string(value) }
            header["__metadata__"] = .object(object)
        }
        var end = 0
        var ends: [Int] = []
        for (_, tensor) in ordered {
            let begin = end
            guard let count = checkedProduct(tensor.shape), let bytes = tensor.type.rowBytes(columns: count),
                !begin.addingReportingOverflow(bytes).overflow
            else {
                throw FileError(
                    file.path, "the tensor '\(tensor.name)' of shape \(tensor.shape) is too large")
            }
            end = begin + bytes
            ends.append(end)
            let entry: JSON.Object = [
                "dtype": .string(tensor.type.name),
                "shape": .array(tensor.shape.map { .integer($0) }),
                "data_offsets": .array([.integer(begin), .integer(end)]),
            ]
            guard header.append(tensor.name, .object(entry)) else {
                throw FileError(file.path, "cannot hold two tensors called '\(tensor.name)'")
            }
        }
        var text = Array(JSON.object(header).text(.compact).utf8)
        text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - text.count % 8) % 8))
        try file.write(withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) })
        try file.write(text)

        let dataStart = file.count
        for ((_, tensor), end) in zip(ordered, ends) {
            try tensor.produce { (bytes) throws(FileError) in try file.write(bytes) }
            precondition(
                file.count - dataStart == end, "'\(tensor.name)' wrote another size than its shape says")
        }
    }
}
