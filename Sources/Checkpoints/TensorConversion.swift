// Stored tensors on their way into a file of another type, row order or shape, rows on all cores at once. Experts are matrices of
// their own in Hugging Face's files and one tensor in GGUF's.

extension TensorSource {
    /// Numbers that a core converts before it hands them over.
    private static let pieceNumbers = 1 << 18

    /// Tensors behind each other as one, in a row order of the file. `offset` is added to each number.
    package init(
        converting parts: [StoredTensor], named name: String, to type: StorageType, shape: [Int],
        order: RowOrder = .asStored, offset: Float = 0
    ) {
        self.init(name, type, shape: shape) { (emit) throws(FileError) in
            for part in parts {
                try TensorSource.convert(part, to: type, order: order, offset: offset, emit)
            }
        }
    }

    package init(
        converting tensor: StoredTensor, named name: String, to type: StorageType, order: RowOrder = .asStored
    ) {
        self.init(converting: [tensor], named: name, to: type, shape: tensor.shape, order: order)
    }

    private static func convert(
        _ tensor: StoredTensor, to type: StorageType, order: RowOrder, offset: Float, _ emit: Emit
    ) throws(FileError) {
        if type == tensor.type, order == tensor.order, !tensor.isTransposed, offset == 0 {
            return try tensor.eachPiece(emit)
        }
        let columns = tensor.columns
        guard tensor.shape.count > 1 else {
            return try convertVector(tensor, to: type, order: order, offset: offset, emit)
        }
        let make = {
            @Sendable (places: Range<Int>) throws(FileError) -> [UInt8] in
            let row = EncodedRow(type, columns: columns)
            var bytes: [UInt8] = []
            let inOrder = order == .asStored ? try tensor.floats(rows: places) : []
            for place in places {
                let source = order.row(storedAt: place)
                if order == .asStored {
                    let start = (place - places.lowerBound) * columns
                    for column in 0..<columns { row.values[column] = inOrder[start + column] }
                } else {
                    try tensor.floats(rows: source..<source + 1, into: row.values)
                }
                if offset != 0 { for column in 0..<columns { row.values[column] += offset } }
                try row.encode(source, of: tensor)
                bytes += row.bytes
            }
            return bytes
        }
        try eachPiece(rows: tensor.rows, columns: columns, path: tensor.path, make: make) {
            (bytes) throws(FileError) in
            try bytes.withUnsafeBufferPointer { (bytes) throws(FileError) in
                try emit(UnsafeRawBufferPointer(bytes))
            }
        }
    }

    /// Its numbers are the rows that an order is of.
    private static func convertVector(
        _ tensor: StoredTensor, to type: StorageType, order: RowOrder, offset: Float, _ emit: Emit
    ) throws(FileError) {
        let stored = try tensor.floats()
        let row = EncodedRow(type, columns: stored.count)
        for place in stored.indices {
            let number = tensor.order.storedRow(order.row(storedAt: place))
            row.values[place] = stored[number] + offset
        }
        try row.encode(0, of: tensor)
        try emit(row.bytes)
    }

    /// Calls `make` with pieces of the rows, on all cores, and `take` with what they give, in order.
    package static func eachPiece<Piece: Sendable>(
        rows: Int, columns: Int, path: String, make: @Sendable (Range<Int>) throws(FileError) -> Piece,
        take: (Piece) throws(FileError) -> Void
    ) throws(FileError) {
        let step = max(1, pieceNumbers / max(1, columns))
        try Workers.inOrder(
            (rows + step - 1) / step, path: path,
            make: { (piece) throws(FileError) in
                try make(piece * step..<min((piece + 1) * step, rows))
            }, take: take)
    }
}

extension StoredTensor {
    /// Its matrices, of a tensor of three dimensions.
    package func matrices() throws(FileError) -> [StoredTensor] {
        let size = byteRange.count / max(1, shape[0])
        var matrices: [StoredTensor] = []
        for index in 0..<shape[0] {
            matrices.append(
                try StoredTensor(
                    name, type, shape: Array(shape.dropFirst()), file: file,
                    offset: byteRange.lowerBound + index * size))
        }
        return matrices
    }
}
