// A row of numbers on its way into a file: as floats, as the bytes of a type, and as what a reader will get of it.

package final class EncodedRow {
    package let type: StorageType
    /// What is to be stored; filled by the caller.
    package let values: UnsafeMutableBufferPointer<Float>
    /// What the bytes mean, after `encode`.
    package let stored: UnsafeMutableBufferPointer<Float>
    private let target: UnsafeMutableRawBufferPointer

    /// `columns` must be whole blocks of a writable type.
    package init(_ type: StorageType, columns: Int) {
        guard type.isWritable, let bytes = type.rowBytes(columns: columns) else {
            preconditionFailure("\(columns) columns as \(type.name)")
        }
        self.type = type
        values = .allocate(capacity: columns)
        values.initialize(repeating: 0)
        stored = .allocate(capacity: columns)
        stored.initialize(repeating: 0)
        target = .allocate(byteCount: bytes, alignment: 16)
    }

    deinit {
        values.deallocate()
        stored.deallocate()
        target.deallocate()
    }

    /// Valid until the next `encode`, as long as this object lives.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(target) }

    /// Throws where a value is no number or lies beyond what the type holds; `tensor` is whose row it is.
    package func encode(_ row: Int, of tensor: StoredTensor) throws(FileError) {
        type.encode(UnsafeBufferPointer(values), into: target)
        type.decode(bytes, into: stored)
        // Some types store a number that is none as one that is.
        if stored.allSatisfy(\.isFinite), values.allSatisfy(\.isFinite) { return }
        let bad = values.first { !$0.isFinite }
        throw FileError(
            tensor.path,
            "row \(row) of '\(tensor.name.shortened)' "
                + (bad.map { "comes out as \($0)" }
                    ?? "reaches \(values.reduce(0) { max($0, abs($1)) }), more than \(type.name) holds"),
            remedy: bad == nil
                ? "use a wider type, as F32"
                : "the training that wrote the adapter diverged: use an earlier one")
    }
}
