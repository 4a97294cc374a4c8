// One layer's part of a PEFT adapter: its tensors as they are stored, and the A and B of the low-rank update that they mean.

package struct AdapterModule: Sendable {
    /// The name in the base model: `model.layers.0.self_attn.q_proj`.
    package internal(set) var name: String
    /// What the file holds of this layer alone.
    package let parts: [AdapterFiles.Part: StoredTensor]
    package let loraA: AdapterMatrix  // (R, in), of VeRA as many columns as the widest layer has
    package let loraB: AdapterMatrix  // (out, R)
    package let scaling: Double

    package var rank: Int { loraA.rows }
    package var magnitude: StoredTensor? { parts[.magnitude] }  // (out), of DoRA
    /// Numbers stored for this layer alone.
    package var parameterCount: Int { parts.values.reduce(0) { $0 + $1.count } }

    /// Whether the layer can be of a weight of this shape.
    func fits(_ shape: [Int]) -> Bool {
        guard shape.count == 2, loraB.rows == shape[0] else { return false }
        return parts[.loraA] == nil ? loraA.columns >= shape[1] : loraA.columns == shape[1]
    }
}

/// A matrix that is stored, or that is what remains of one: a corner of it, with factors for its rows and columns.
package struct AdapterMatrix: Sendable {
    /// What it is made of, for errors.
    package let tensor: StoredTensor
    package let rows: Int
    package private(set) var columns: Int
    private let rowFactors: [Float]?
    private let columnFactors: [Float]?

    init(_ tensor: StoredTensor) {
        (self.tensor, rows, columns) = (tensor, tensor.rows, tensor.columns)
        (rowFactors, columnFactors) = (nil, nil)
    }

    /// The first rows of `tensor`, one for each of `rowFactors`.
    init(_ tensor: StoredTensor, rowFactors: [Float], columnFactors: [Float]) {
        (self.tensor, rows, columns) = (tensor, rowFactors.count, tensor.columns)
        (self.rowFactors, self.columnFactors) = (rowFactors, columnFactors)
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
        var values: [Float] = []
        values.reserveCapacity(rows * columns)
        for row in 0..<rows { values += try floats(row: row) }
        return values
    }
}

extension AdapterModule {
    /// `shared` are the tensors that belong to no layer.
    init(
        _ name: String, _ parts: [AdapterFiles.Part: StoredTensor],
        shared: [AdapterFiles.Shared: StoredTensor], _ config: PEFTConfig, _ path: String
    ) throws(FileError) {
        func wrong(_ message: String) -> FileError { FileError(path, "'\(name.shortened)' \(message)") }
        for part in AdapterFiles.Part.allCases where parts[part] != nil && part.kind != config.kind {
            throw wrong("has a \(part.word), 'peft_type' is \(config.kind.rawValue)")
        }
        switch config.kind {
        case .lora:
            guard let loraA = parts[.loraA] else { throw wrong("has no lora_A") }
            guard let loraB = parts[.loraB] else { throw wrong("has no lora_B") }
            guard loraA.shape.count == 2, loraB.shape.count == 2, loraA.shape[0] == loraB.shape[1] else {
                throw wrong(
                    "has a lora_A of \(loraA.shape) and a lora_B of \(loraB.shape), expected (R, in) and (out, R)"
                )
            }
            (self.loraA, self.loraB) = (AdapterMatrix(loraA), AdapterMatrix(loraB))
        case .vera:
            guard let d = parts[.veraD], let b = parts[.veraB] else {
                throw wrong("has no \(parts[.veraD] == nil ? "vera_lambda_d" : "vera_lambda_b")")
            }
            guard let sharedA = shared[.veraA], let sharedB = shared[.veraB] else {
                throw FileError(
                    path, "holds no \(shared[.veraA] == nil ? "vera_A" : "vera_B"), which the layers share",
                    remedy: "save the adapter with save_projection=True")
            }
            guard sharedA.shape.count == 2, sharedB.shape.count == 2, sharedA.rows == sharedB.columns,
                d.shape == [sharedA.rows], b.shape.count == 1, b.count <= sharedB.rows
            else {
                throw wrong(
                    "has a vera_lambda_d of \(d.shape) and a vera_lambda_b of \(b.shape), and shares a vera_A of "
                        + "\(sharedA.shape) and a vera_B of \(sharedB.shape), expected (R), (out), (R, widest in) and "
                        + "(widest out, R)")
            }
            loraA = AdapterMatrix(sharedA)
            loraB = AdapterMatrix(sharedB, rowFactors: try b.floats(), columnFactors: try d.floats())
        }
        let rank = config.rank(of: name)
        guard loraA.rows == rank else {
            throw wrong("has matrices of rank \(loraA.rows), \(AdapterFiles.configName) says \(rank)")
        }
        let magnitude = parts[.magnitude]
        guard (magnitude != nil) == config.usesDoRA else {
            throw wrong(
                "has \(magnitude == nil ? "no" : "a") lora_magnitude_vector, 'use_dora' is \(config.usesDoRA)"
            )
        }
        if let magnitude, magnitude.shape != [loraB.rows] {
            throw wrong("has a lora_magnitude_vector of \(magnitude.shape), expected [\(loraB.rows)]")
        }
        (self.name, self.parts) = (name, parts)
        scaling = config.scaling(of: name)
    }
}
