// A tensor as it lies in a mapped file, outermost dimension first as Hugging Face has it. Seen as rows of its
// last dimension; a llama GGUF stores the rows of q and k in another order, which `RowOrder` undoes.

package struct StoredTensor: Sendable {
    package let name: String
    package let type: StorageType
    package private(set) var shape: [Int]
    package private(set) var columns: Int
    package private(set) var rows: Int
    private let bytesPerRow: Int
    package private(set) var order = RowOrder.asStored
    /// The file has its columns as rows.
    package private(set) var isTransposed = false
    private let file: MappedFile
    private let offset: Int

    /// Throws where the shape is not whole blocks or does not lie inside the file.
    init(_ name: String, _ type: StorageType, shape: [Int], file: MappedFile, offset: Int) throws(FileError) {
        func wrong(_ message: String, remedy: String? = nil) -> FileError {
            FileError(file.path, "tensor '\(name.shortened)' \(message)", tensor: name, remedy: remedy)
        }
        let columns = shape.last ?? 1
        guard columns % type.blockElements == 0 else {
            throw wrong(
                "has \(columns) columns, not whole blocks of \(type.blockElements) as \(type.name) needs")
        }
        guard let elements = checkedProduct(shape), let bytesPerRow = type.rowBytes(columns: columns) else {
            throw wrong("has the shape \(shape), whose size does not fit 64 bits")
        }
        let rows = columns == 0 ? 0 : elements / columns
        let (size, overflow) = rows.multipliedReportingOverflow(by: bytesPerRow)
        let (end, beyond) = offset.addingReportingOverflow(size)
        guard !overflow, !beyond else { throw wrong("of shape \(shape) ends beyond 2^63") }
        guard file.bytes(at: offset, count: size) != nil else {
            throw wrong(
                "ends at byte \(end), the file has \(file.count)",
                remedy: "the file is cut or damaged: copy or download it again")
        }
        (self.name, self.type, self.shape, self.file, self.offset) = (name, type, shape, file, offset)
        (self.columns, self.rows, self.bytesPerRow) = (columns, rows, bytesPerRow)
    }

    package var count: Int { rows * columns }
    package var byteCount: Int { (isTransposed ? columns : rows) * bytesPerRow }
    package var path: String { file.path }
    package var byteRange: Range<Int> { offset..<offset + byteCount }

    /// The bytes of row `i`, valid as long as this value (or another of its file) lives.
    package func rowBytes(_ i: Int) -> UnsafeRawBufferPointer {
        precondition(0 <= i && i < rows && !isTransposed, "row \(i) of \(rows)")
        let start = offset + order.storedRow(i) * bytesPerRow
        return UnsafeRawBufferPointer(rebasing: file.bytes[start..<start + bytesPerRow])
    }

    /// The bytes of a row of the file, which is a column where `isTransposed`.
    package func fileRowBytes(_ i: Int) -> UnsafeRawBufferPointer {
        let start = offset + i * bytesPerRow
        return UnsafeRawBufferPointer(rebasing: file.bytes[start..<start + bytesPerRow])
    }

    package var fileRows: Int { isTransposed ? columns : rows }
    package var fileShape: [Int] { isTransposed ? shape.reversed() : shape }

    /// All bytes in the order of the file: that of the rows unless `order` or `isTransposed` says otherwise.
    package var storedBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: file.bytes[byteRange])
    }

    /// Frees what reading the tensor took of memory; it can be read again.
    package func forget() { file.forget(byteRange) }

    /// The same tensor under another name and row order, or seen as its transpose.
    func renamed(
        _ name: String, order: RowOrder = .asStored, isTransposed: Bool = false
    ) -> StoredTensor {
        var result = StoredTensor(copying: self, name: name)
        result.order = order
        if isTransposed, shape.count == 2 {
            result.isTransposed = true
            result.shape = shape.reversed()
            (result.rows, result.columns) = (columns, rows)
        }
        return result
    }

    private init(copying other: StoredTensor, name: String) {
        (self.name, type, shape, file, offset) = (name, other.type, other.shape, other.file, other.offset)
        (columns, rows, bytesPerRow) = (other.columns, other.rows, other.bytesPerRow)
    }
}

/// Where a row of the Hugging Face order is stored.
package enum RowOrder: Sendable, Equatable {
    case asStored
    /// Rotary pairs (j, j + D/2) of each head of D rows are stored side by side, at 2j and 2j + 1.
    case interleavedPairs(headDim: Int)

    package func storedRow(_ row: Int) -> Int {
        switch self {
        case .asStored: return row
        case .interleavedPairs(let headDim):
            let (head, inside) = row.quotientAndRemainder(dividingBy: headDim)
            let (half, pair) = inside.quotientAndRemainder(dividingBy: headDim / 2)
            return head * headDim + 2 * pair + half
        }
    }

    /// The row of the Hugging Face order that is stored at a place.
    package func row(storedAt place: Int) -> Int {
        switch self {
        case .asStored: return place
        case .interleavedPairs(let headDim):
            let (head, inside) = place.quotientAndRemainder(dividingBy: headDim)
            let (pair, half) = inside.quotientAndRemainder(dividingBy: 2)
            return head * headDim + half * (headDim / 2) + pair
        }
    }
}

extension String {
    /// Names come from files: an error message shows at most this much of one.
    package var shortened: String { utf8.count <= 100 ? self : String(unicodeScalars.prefix(100)) + "…" }
}
