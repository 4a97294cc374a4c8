// A tensor as it lies in a file, outermost dimension first as Hugging Face has it. Seen as rows of its
// last dimension; a llama GGUF stores the rows of q and k in another order, which `RowOrder` undoes.

package struct StoredTensor: Sendable {
    package let name: String
    package let type: StorageType
    package private(set) var shape: [Int]
    package private(set) var columns: Int
    package private(set) var rows: Int
    package let rowByteCount: Int
    package private(set) var order = RowOrder.asStored
    /// The file has its columns as rows.
    package private(set) var isTransposed = false
    private let file: InputFile
    private let offset: Int

    /// Throws where the shape is not whole blocks or does not lie inside the file.
    init(_ name: String, _ type: StorageType, shape: [Int], file: InputFile, offset: Int) throws(FileError) {
        func wrong(_ message: String, remedy: String? = nil) -> FileError {
            FileError(file.path, "tensor '\(name.shortened)' \(message)", tensor: name, remedy: remedy)
        }
        let columns = shape.last ?? 1
        guard columns % type.blockElements == 0 else {
            throw wrong(
                "has \(columns) columns, not whole blocks of \(type.blockElements) as \(type.name) needs")
        }
        guard let elements = checkedProduct(shape), let rowByteCount = type.rowBytes(columns: columns) else {
            throw wrong("has the shape \(shape), whose size does not fit 64 bits")
        }
        let rows = columns == 0 ? 0 : elements / columns
        let (size, overflow) = rows.multipliedReportingOverflow(by: rowByteCount)
        let (end, beyond) = offset.addingReportingOverflow(size)
        guard !overflow, !beyond else { throw wrong("of shape \(shape) ends beyond 2^63") }
        guard file.contains(offset, count: size) else {
            throw wrong(
                "ends at byte \(end), the file has \(file.count)",
                remedy: "the file is cut or damaged: copy or download it again")
        }
        (self.name, self.type, self.shape, self.file, self.offset) = (name, type, shape, file, offset)
        (self.columns, self.rows, self.rowByteCount) = (columns, rows, rowByteCount)
    }

    /// A matrix (rows, columns) of f32 that was computed from what lies at a path.
    package init(
        _ name: String, computedFrom path: String, rows: Int, columns: Int, _ values: [Float]
    ) throws(FileError) {
        precondition(values.count == rows * columns, "\(values.count) numbers for \(rows) × \(columns)")
        let bytes = values.withUnsafeBytes { Array($0) }
        try self.init(
            name, .f32, shape: [rows, columns], file: InputFile(computedFrom: path, bytes), offset: 0)
    }

    /// What a writer would store, of f32.
    package init(_ source: TensorSource, computedFrom path: String) throws(FileError) {
        var bytes: [UInt8] = []
        try source.produce { (piece) throws(FileError) in bytes += piece }
        try self.init(
            source.name, source.type, shape: source.shape, file: InputFile(computedFrom: path, bytes),
            offset: 0)
    }

    package var count: Int { rows * columns }
    package var byteCount: Int { (isTransposed ? columns : rows) * rowByteCount }
    package var path: String { file.path }
    package var byteRange: Range<Int> { offset..<offset + byteCount }

    /// The bytes of rows in Hugging Face's order.
    package func bytes(rows range: Range<Int>) throws(FileError) -> [UInt8] {
        try Array(unsafeUninitializedCapacity: range.count * rowByteCount) {
            (bytes, initialized) throws(FileError) in
            try read(
                rows: range, into: UnsafeMutableRawBufferPointer(start: bytes.baseAddress, count: bytes.count)
            )
            initialized = range.count * rowByteCount
        }
    }

    /// Fills memory with the bytes of rows in Hugging Face's order.
    package func read(
        rows range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FileError) {
        precondition(
            0 <= range.lowerBound && range.upperBound <= rows && !isTransposed, "rows \(range) of \(rows)")
        guard case .interleavedPairs(let headDim) = order else {
            return try readFile(rows: range, into: target)
        }
        guard range.count >= headDim else {
            for (index, row) in range.enumerated() {
                let (part, stored) = (index * rowByteCount, order.storedRow(row))
                try readFile(
                    rows: stored..<stored + 1, into: .init(rebasing: target[part..<part + rowByteCount]))
            }
            return
        }
        // Whole heads hold all rows of theirs.
        let first = range.lowerBound / headDim * headDim
        let end = min((range.upperBound + headDim - 1) / headDim * headDim, rows)
        let heads = try fileBytes(rows: first..<end)
        heads.withUnsafeBytes { heads in
            for (index, row) in range.enumerated() {
                let from = (order.storedRow(row) - first) * rowByteCount
                UnsafeMutableRawBufferPointer(
                    rebasing: target[index * rowByteCount..<(index + 1) * rowByteCount]
                )
                .copyMemory(from: .init(rebasing: heads[from..<from + rowByteCount]))
            }
        }
    }

    /// The bytes of rows of the file, which are columns where `isTransposed`.
    package func fileBytes(rows range: Range<Int>) throws(FileError) -> [UInt8] {
        try file.bytes(at: offset + range.lowerBound * rowByteCount, count: range.count * rowByteCount)
    }

    private func readFile(
        rows range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FileError) {
        try file.read(
            at: offset + range.lowerBound * rowByteCount,
            into: .init(rebasing: target[..<(range.count * rowByteCount)]))
    }

    /// Hands all bytes in the order of the file to `body`, in pieces of whole rows.
    package func eachPiece(_ body: (UnsafeRawBufferPointer) throws(FileError) -> Void) throws(FileError) {
        try file.eachPiece(of: byteRange, unit: rowByteCount, body)
    }

    /// Runs of rows that are read at once.
    func pieces(of range: Range<Int>) -> [Range<Int>] {
        let step = max(1, InputFile.window / max(1, rowByteCount))
        return stride(from: range.lowerBound, to: range.upperBound, by: step)
            .map { $0..<min($0 + step, range.upperBound) }
    }

    package var fileRows: Int { isTransposed ? columns : rows }
    package var fileShape: [Int] { isTransposed ? shape.reversed() : shape }

    /// All bytes in the order of the file: that of the rows unless `order` or `isTransposed` says otherwise.
    package func storedBytes() throws(FileError) -> [UInt8] { try fileBytes(rows: 0..<fileRows) }

    /// The same tensor under another name and row order, or seen as its transpose.
    package func renamed(
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
        (columns, rows, rowByteCount) = (other.columns, other.rows, other.rowByteCount)
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
