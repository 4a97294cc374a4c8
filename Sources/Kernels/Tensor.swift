// A shape over a range of a buffer. Row-major; the last dimension is the width, all before it are rows.

import VulkanCompute

package enum DType: Sendable {
    case f32, i32

    package var byteCount: Int { 4 }
}

package struct Tensor: Sendable {
    package let slice: BufferSlice
    package let shape: [Int]
    package let dtype: DType

    package init(_ slice: BufferSlice, shape: [Int], dtype: DType = .f32) {
        let needed = shape.reduce(1, *) * dtype.byteCount
        precondition(
            slice.byteCount >= needed,
            "shape \(shape) needs \(needed) bytes, '\(slice.buffer.label)' gives \(slice.byteCount)")
        self.slice = slice.slice(0, byteCount: needed)
        self.shape = shape
        self.dtype = dtype
    }

    package var count: Int { shape.reduce(1, *) }
    package var width: Int { shape.last ?? 1 }
    package var rows: Int { shape.dropLast().reduce(1, *) }
    package var byteCount: Int { count * dtype.byteCount }

    /// The same elements in another shape.
    package func reshaped(_ shape: [Int]) -> Tensor {
        precondition(shape.reduce(1, *) == count, "\(self.shape) cannot be seen as \(shape)")
        return Tensor(slice, shape: shape, dtype: dtype)
    }

    /// Rows `range` of a matrix. Its first byte must be at a multiple of the device's binding alignment to be bound.
    package func rows(_ range: Range<Int>) -> Tensor {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of \(shape)")
        let rowBytes = width * dtype.byteCount
        return Tensor(
            slice.slice(range.lowerBound * rowBytes, byteCount: range.count * rowBytes),
            shape: [range.count, width], dtype: dtype)
    }
}

extension Device {
    package func makeTensor(_ shape: [Int], dtype: DType = .f32, label: String) throws(VulkanError) -> Tensor
    {
        let byteCount = shape.reduce(1, *) * dtype.byteCount
        return Tensor(try makeBuffer(byteCount: byteCount, label: label).slice(), shape: shape, dtype: dtype)
    }

    package func makeTensor(_ values: [Float], _ shape: [Int], label: String = "tensor") throws(VulkanError)
        -> Tensor
    {
        let tensor = try makeTensor(shape, label: label)
        try upload(values, into: tensor.slice)
        return tensor
    }

    package func makeTensor(_ values: [Int32], _ shape: [Int], label: String = "tensor") throws(VulkanError)
        -> Tensor
    {
        let tensor = try makeTensor(shape, dtype: .i32, label: label)
        try upload(values, into: tensor.slice)
        return tensor
    }

    package func values(_ tensor: Tensor) throws(VulkanError) -> [Float] {
        try download(tensor.slice, as: Float.self)
    }

    package func integers(_ tensor: Tensor) throws(VulkanError) -> [Int32] {
        try download(tensor.slice, as: Int32.self)
    }
}
