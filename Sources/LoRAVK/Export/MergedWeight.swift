// One weight with its update folded in, written row by row in its stored type; what that loses is measured on the way.

import Checkpoints

final class MergedWeight {
    let base: StoredTensor
    let module: AdapterModule
    let type: StorageType
    /// Known after the weight was written.
    private(set) var loss = UpdateLoss()

    init(_ base: StoredTensor, _ module: AdapterModule, as type: StorageType) {
        (self.base, self.module, self.type) = (base, module, type)
    }

    /// The weight under a name and in a row order of the file.
    func source(named name: String, order: RowOrder) -> TensorSource {
        TensorSource(name, type, shape: base.shape) { [self] (emit) throws(FileError) in
            loss = UpdateLoss()
            try measure((0..<base.rows).map(order.row(storedAt:)), as: type, into: &loss, emit: emit)
        }
    }

    private static let sampledRows = 64

    /// What another type would lose, from rows spread over the weight.
    func sampledLoss(as type: StorageType) throws(FileError) -> UpdateLoss {
        var loss = UpdateLoss()
        let step = max(1, base.rows / MergedWeight.sampledRows)
        try measure(Array(stride(from: 0, to: base.rows, by: step)), as: type, into: &loss) {
            (_) throws(FileError) in
        }
        return loss
    }

    private func measure(
        _ rows: [Int], as type: StorageType, into loss: inout UpdateLoss, emit: TensorSource.Emit
    ) throws(FileError) {
        let update = try WeightUpdate(module, columns: base.columns)
        let base = base
        try TensorSource.eachPiece(
            rows: rows.count, columns: base.columns, path: base.path,
            make: { (places) throws(FileError) in
                try MergedWeight.encode(rows[places], of: base, update, as: type)
            },
            take: { (piece) throws(FileError) in
                loss = loss + piece.loss
                try piece.bytes.withUnsafeBufferPointer { (bytes) throws(FileError) in
                    try emit(UnsafeRawBufferPointer(bytes))
                }
            })
    }

    private static func encode(
        _ rows: ArraySlice<Int>, of base: StoredTensor, _ update: WeightUpdate, as type: StorageType
    ) throws(FileError) -> (bytes: [UInt8], loss: UpdateLoss) {
        let encoded = EncodedRow(type, columns: base.columns)
        let weight = UnsafeMutableBufferPointer<Float>.allocate(capacity: base.columns)
        weight.initialize(repeating: 0)
        defer { weight.deallocate() }
        var (bytes, loss): ([UInt8], UpdateLoss) = ([], UpdateLoss())
        for row in rows {
            try base.floats(rows: row..<row + 1, into: weight)
            update.apply(to: UnsafeBufferPointer(weight), row: row, into: encoded.values)
            try encoded.encode(row, of: base)
            loss.add(weight: UnsafeBufferPointer(weight), exact: encoded.values, stored: encoded.stored)
            bytes += encoded.bytes
        }
        return (bytes, loss)
    }
}
