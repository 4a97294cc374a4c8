// The parameters of one adapted linear layer, and how they are stored in the adapter's flat buffer. The rank dimension is
// zero-padded to a multiple of 8.

import Checkpoints
import Kernels

extension Adapter {
    /// Which parameter of a layer.
    package struct Part: Hashable, Sendable, CustomStringConvertible {
        package let description: String
        /// The tensor in PEFT's files, if they have it: one for each layer, or one for all.
        package let filePart: AdapterFiles.Part?
        package let sharedPart: AdapterFiles.Shared?

        package init(
            _ name: String, as filePart: AdapterFiles.Part? = nil, shared: AdapterFiles.Shared? = nil
        ) {
            description = name
            self.filePart = filePart
            sharedPart = shared
        }

        /// A matrix that all layers share.
        static func shared(_ part: AdapterFiles.Shared) -> Part { Part(part.key, shared: part) }

        package static let loraA = Part("loraA", as: .loraA)
        package static let loraB = Part("loraB", as: .loraB)
    }
}

/// Shape of one adapted module.
package struct AdapterModuleShape: Sendable, Equatable {
    package var name: String
    /// R of the matrices, frozen ranks included.
    package var rank: Int
    /// How many of the last ranks are frozen. They subtract the start of an initialization in the weight itself.
    package var frozenRank = 0
    package var scaling: Double
    package var inFeatures: Int
    package var outFeatures: Int
    /// Multiplies the learning rate of all parameters of the module.
    package var learningRate = 1.0

    var paddedRank: Int { (rank + 7) / 8 * 8 }
}

package struct ParameterShape: Sendable, Hashable {
    package let part: Adapter.Part
    /// Without padding: a vector has one row.
    package let rows: Int
    package let columns: Int
    package let storedRows: Int
    package let storedColumns: Int
    package let savedShape: [Int]

    package init(
        _ part: Adapter.Part, rows: Int, columns: Int, storedRows: Int? = nil, storedColumns: Int? = nil
    ) {
        self.part = part
        (self.rows, self.columns) = (rows, columns)
        self.storedRows = storedRows ?? rows
        self.storedColumns = storedColumns ?? columns
        savedShape = [rows, columns]
    }

    package init(_ part: Adapter.Part, count: Int, stored: Int? = nil) {
        self.part = part
        (rows, columns, storedRows, storedColumns) = (1, count, 1, stored ?? (count + 3) / 4 * 4)
        savedShape = [count]
    }

    package static func loraA(_ module: AdapterModuleShape) -> ParameterShape {
        ParameterShape(.loraA, rows: module.rank, columns: module.inFeatures, storedRows: module.paddedRank)
    }

    package static func loraB(_ module: AdapterModuleShape) -> ParameterShape {
        ParameterShape(
            .loraB, rows: module.outFeatures, columns: module.rank, storedColumns: module.paddedRank)
    }

    package var count: Int { rows * columns }
    package var storedCount: Int { storedRows * storedColumns }
    /// Not a vector.
    package var isMatrix: Bool { savedShape.count == 2 }
    /// Floats in the flat buffer. Each parameter begins at a place that may be bound.
    package var stride: Int { (storedCount + 63) / 64 * 64 }

    package func padded(_ values: [Float]) -> [Float] { padded(values, with: 0) }

    func padded<Value>(_ values: [Value], with zero: Value) -> [Value] {
        precondition(values.count == count, "\(part): \(values.count) values for \(savedShape)")
        if rows == storedRows, columns == storedColumns { return values }
        var padded = [Value](repeating: zero, count: storedRows * storedColumns)
        for row in 0..<rows {
            padded.replaceSubrange(
                row * storedColumns..<row * storedColumns + columns,
                with: values[row * columns..<(row + 1) * columns])
        }
        return padded
    }

    package func unpadded<Value>(_ stored: [Value]) -> [Value] {
        if columns == storedColumns { return Array(stored.prefix(count)) }
        return (0..<rows).flatMap { stored[$0 * storedColumns..<$0 * storedColumns + columns] }
    }
}

package struct AdapterParameter: Sendable {
    package let shape: ParameterShape
    package let value: Tensor
    package let gradient: Tensor
    /// Multiplies the learning rate; 0: frozen, and its gradient is not computed.
    package let learningRate: Double

    package init(shape: ParameterShape, value: Tensor, gradient: Tensor, learningRate: Double) {
        (self.shape, self.value, self.gradient) = (shape, value, gradient)
        self.learningRate = learningRate
    }

    package var trainedGradient: Tensor? { learningRate == 0 ? nil : gradient }

    /// Bytes before it in the adapter's flat buffer of parameters.
    func place(in flat: Tensor) -> Int { value.slice.offset - flat.slice.offset }
}

/// One adapted linear layer.
package struct LoRALayer: Sendable {
    package let module: AdapterModuleShape
    package let method: any AdapterMethod
    package let dropout: Double
    package let parameters: [AdapterParameter]
    let fixed: [String: Tensor]
    let derived: [String: Tensor]
    let shared: [Adapter.Part: Tensor]

    /// Hugging Face's name: `model.layers.0.self_attn.q_proj`.
    package var name: String { module.name }
    /// R as configured. The tensors have `paddedRank` rows or columns.
    package var rank: Int { module.rank }
    package var paddedRank: Int { module.paddedRank }
    package var scaling: Float { Float(module.scaling) }
    package var inFeatures: Int { module.inFeatures }
    package var outFeatures: Int { module.outFeatures }
    package var parts: [Adapter.Part] { parameters.map(\.shape.part) }

    /// A parameter's key in PEFT's files, or a name if they have none.
    package func key(_ part: Adapter.Part) -> String {
        part.filePart.map { AdapterFiles.key(name, $0) } ?? "\(name).\(part)"
    }

    package subscript(part: Adapter.Part) -> AdapterParameter {
        guard let parameter = parameters.first(where: { $0.shape.part == part }) else {
            preconditionFailure("\(name) has no \(part)")
        }
        return parameter
    }

    /// A fixed tensor of the method, by its name.
    package func fixed(_ name: String) -> Tensor {
        guard let tensor = fixed[name] else { preconditionFailure("\(self.name) has no fixed '\(name)'") }
        return tensor
    }

    /// A tensor that the method computes from the parameters or the weight, by its name.
    package func derived(_ name: String) -> Tensor {
        guard let tensor = derived[name] else { preconditionFailure("\(self.name) derives no '\(name)'") }
        return tensor
    }

    /// The layer's block of a matrix that all layers share.
    package func shared(_ part: Adapter.Part) -> Tensor {
        guard let tensor = shared[part] else { preconditionFailure("\(name) shares no \(part)") }
        return tensor
    }

    package var loraA: Tensor { self[.loraA].value }  // (R, I)
    package var loraB: Tensor { self[.loraB].value }  // (O, R)

    /// Numbers of a parameter that training changes.
    func trainedCount(_ parameter: AdapterParameter) -> Int {
        guard parameter.learningRate != 0 else { return 0 }
        let shape = parameter.shape
        switch shape.part {
        case .loraA: return (shape.rows - module.frozenRank) * shape.columns
        case .loraB: return shape.rows * (shape.columns - module.frozenRank)
        default: return shape.count
        }
    }

    /// The learning rates of a parameter, entry by entry as it is stored. Frozen ranks have 0.
    func learningRates(_ parameter: AdapterParameter) -> [Float] {
        let shape = parameter.shape
        let trained = module.rank - module.frozenRank
        return (0..<shape.storedRows).flatMap { row in
            (0..<shape.storedColumns).map { column in
                let isFrozen =
                    switch shape.part {
                    case .loraA: row >= trained
                    case .loraB: column >= trained
                    default: false
                    }
                return isFrozen ? 0 : Float(parameter.learningRate)
            }
        }
    }
}
