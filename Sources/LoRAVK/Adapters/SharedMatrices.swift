// Matrices that never train and that all layers of an adapter share. Each is as large as the largest layer needs; a layer uses
// its top-left block. Blocks of equal size are one tensor on the device.

import Kernels
import VulkanCompute

package struct SharedMatrix: Sendable {
    package let rows: Int
    package let columns: Int
    /// Row by row.
    package var values: [Float]

    package init(rows: Int, columns: Int, values: [Float]) {
        (self.rows, self.columns, self.values) = (rows, columns, values)
    }

    fileprivate func block(_ shape: ParameterShape) -> [Float] {
        precondition(shape.rows <= rows && shape.columns <= columns, "\(shape) of \(rows) x \(columns)")
        return shape.padded(
            (0..<shape.rows).flatMap { values[$0 * columns..<$0 * columns + shape.columns] })
    }
}

package typealias SharedMatrices = [Adapter.Part: SharedMatrix]

extension AdapterMethod {
    /// Zeros, as large as these layers need.
    func emptyShared(_ modules: [AdapterModuleShape]) -> SharedMatrices {
        var shapes: [(part: Adapter.Part, rows: Int, columns: Int)] = []
        for shape in modules.flatMap({ shared(with: $0) }) {
            if let index = shapes.firstIndex(where: { $0.part == shape.part }) {
                shapes[index].rows = max(shapes[index].rows, shape.rows)
                shapes[index].columns = max(shapes[index].columns, shape.columns)
            } else {
                shapes.append((shape.part, shape.rows, shape.columns))
            }
        }
        var matrices: SharedMatrices = [:]
        for (part, rows, columns) in shapes {
            matrices[part] = SharedMatrix(
                rows: rows, columns: columns, values: [Float](repeating: 0, count: rows * columns))
        }
        return matrices
    }
}

/// The blocks that layers use. The first layer that asks for a block makes it.
struct SharedBlocks {
    let matrices: SharedMatrices
    private var tensors: [ParameterShape: Tensor] = [:]

    init(_ matrices: SharedMatrices) { self.matrices = matrices }

    mutating func tensor(_ shape: ParameterShape, on device: Device) throws(VulkanError) -> Tensor {
        if let tensor = tensors[shape] { return tensor }
        guard let matrix = matrices[shape.part] else {
            preconditionFailure("there is no shared \(shape.part)")
        }
        let tensor = try device.makeTensor(
            [shape.storedRows, shape.storedColumns], label: "shared \(shape.part)")
        if !device.isPlanning { try device.upload(matrix.block(shape), into: tensor.slice) }
        tensors[shape] = tensor
        return tensor
    }
}
