// One layer's part of a PEFT adapter: its tensors as they are stored, and the update that they are.

package struct AdapterModule: Sendable {
    /// The name in the base model: `model.layers.0.self_attn.q_proj`.
    package internal(set) var name: String
    /// What the file holds of this layer alone.
    package let parts: [AdapterFiles.Part: StoredTensor]
    private let update: AdapterUpdate
    package let scaling: Double

    package var loraA: AdapterMatrix { update.loraA }
    package var loraB: AdapterMatrix { update.loraB }
    package var magnitude: StoredTensor? { update.magnitude }
    package var rank: Int { loraA.rows }
    /// Numbers stored for this layer alone.
    package var parameterCount: Int { parts.values.reduce(0) { $0 + $1.count } }

    /// Its A reads ids of tokens.
    package var isOfEmbedding: Bool { parts[.embeddingA] != nil }

    /// Whether it can be added to a weight of this shape.
    func fits(_ shape: [Int]) -> Bool {
        guard shape.count == 2, loraB.rows == shape[0] else { return false }
        return loraA.isShared ? loraA.columns >= shape[1] : loraA.columns == shape[1]
    }
}

/// A stored matrix, or the top-left block of one, with factors for its rows and columns.
package struct AdapterMatrix: Sendable {
    /// The stored matrix.
    package let tensor: StoredTensor
    /// Layers share it, so it may be wider than this one.
    let isShared: Bool
    package let rows: Int
    package private(set) var columns: Int
    private let rowFactors: [Float]?
    private let columnFactors: [Float]?

    init(_ tensor: StoredTensor, isShared: Bool = false) {
        (self.tensor, rows, columns) = (tensor, tensor.rows, tensor.columns)
        self.isShared = isShared
        (rowFactors, columnFactors) = (nil, nil)
    }

    /// The first rows of `tensor`, one for each of `rowFactors`.
    init(_ tensor: StoredTensor, rowFactors: [Float], columnFactors: [Float]) {
        (self.tensor, rows, columns) = (tensor, rowFactors.count, tensor.columns)
        (self.rowFactors, self.columnFactors) = (rowFactors, columnFactors)
        isShared = true
    }

    package var shape: [Int] { [rows, columns] }

    /// Its first columns.
    package func cut(toColumns count: Int) -> AdapterMatrix {
        precondition(count <= columns, "\(count) columns of \(shape)")
        var matrix = self
        matrix.columns = count
        return matrix
    }

    package func floats(row: Int) throws(FileError) -> [Float] {
        var values = try tensor.floats(rows: row..<row + 1)
        values.removeLast(tensor.columns - columns)
        if let rowFactors { for i in values.indices { values[i] *= rowFactors[row] } }
        if let columnFactors { for i in values.indices { values[i] *= columnFactors[i] } }
        return values
    }

    package func floats() throws(FileError) -> [Float] {
        if rowFactors == nil, columnFactors == nil, columns == tensor.columns, rows == tensor.rows {
            return try tensor.floats(rows: 0..<rows)
        }
        var values: [Float] = []
        values.reserveCapacity(rows * columns)
        for row in 0..<rows { values += try floats(row: row) }
        return values
    }
}

extension AdapterModule {
    init(_ tensors: AdapterTensors, _ config: PEFTConfig) throws(FileError) {
        let format = config.kind.format
        for part in AdapterFiles.Part.all where tensors.parts[part] != nil && !format.parts.contains(part) {
            throw tensors.wrong("has a \(part.word), 'peft_type' is \(config.kind.rawValue)")
        }
        (name, parts) = (tensors.module, tensors.parts)
        update = try format.update(tensors, config)
        scaling = config.scaling(of: name)
        let rank = config.rank(of: name)
        guard update.loraA.rows == rank else {
            throw tensors.wrong(
                "has matrices of rank \(update.loraA.rows), \(AdapterFiles.configName) says \(rank)")
        }
    }
}
