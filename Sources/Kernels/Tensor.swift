// A shape over a range of a buffer. Row-major; the last dimension is the width, all before it are rows. Rows may lie further
// apart than they are wide: rows at a large power of two from each other fall on the same few lines of a processor's cache, and
// a product that walks down 64 of them then runs at a third of its speed.

import VulkanCompute

package enum DType: Sendable {
    case f32, i32

    package var byteCount: Int { 4 }
}

package struct Tensor: Sendable {
    package let slice: BufferSlice
    package let shape: [Int]
    package let dtype: DType
    /// Elements from one row to the next. Products, elementwise operations, the loss, rotation and the cache's new
    /// rows take any; the rest wants `width`.
    package let pitch: Int
    /// Elements of a row before the first of this tensor, where it is some columns of a wider one; products, rotation, the
    /// cache's new rows, `addRow` and `copyColumns` take such.
    package let column: Int

    package init(
        _ slice: BufferSlice, shape: [Int], dtype: DType = .f32, pitch: Int? = nil, column: Int = 0
    ) {
        let width = shape.last ?? 1
        self.pitch = pitch ?? width
        self.column = column
        precondition(
            self.pitch >= column + width,
            "rows of \(width) elements from \(column), at \(self.pitch) from each other")
        let needed = shape.dropLast().reduce(1, *) * self.pitch * dtype.byteCount
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
    /// Elements that lie between the first and the end of the last row.
    package var storedCount: Int { rows * pitch }
    package var byteCount: Int { storedCount * dtype.byteCount }

    /// A pitch at which rows of `width` floats spread over a processor's cache.
    package static func spreadPitch(_ width: Int) -> Int {
        let line = 16  // floats
        return (width + line) % 128 == 0 ? width + 2 * line : width + line
    }

    /// The same elements in another shape.
    package func reshaped(_ shape: [Int]) -> Tensor {
        precondition(
            shape.reduce(1, *) == count && pitch == width,
            "\(self.shape) at \(pitch) cannot be seen as \(shape)")
        return Tensor(slice, shape: shape, dtype: dtype)
    }

    /// Rows `range` of a matrix. Its first byte must be at a multiple of the device's binding alignment to be bound.
    package func rows(_ range: Range<Int>) -> Tensor {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of \(shape)")
        let rowBytes = pitch * dtype.byteCount
        return Tensor(
            slice.slice(range.lowerBound * rowBytes, byteCount: range.count * rowBytes),
            shape: [range.count, width], dtype: dtype, pitch: pitch, column: column)
    }

    /// Columns `range` of a matrix.
    package func columns(_ range: Range<Int>) -> Tensor {
        precondition(range.lowerBound >= 0 && range.upperBound <= width, "columns \(range) of \(shape)")
        return Tensor(
            slice, shape: [rows, range.count], dtype: dtype, pitch: pitch, column: column + range.lowerBound)
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

extension CommandEncoder {
    /// What a launcher needs between two of its dispatches; given back behind the last.
    func takeScratch(_ shape: [Int]) throws(VulkanError) -> Tensor {
        Tensor(try scratch.takeScratch(byteCount: shape.reduce(4, *)), shape: shape)
    }

    func giveScratch(_ tensors: Tensor...) {
        for tensor in tensors { scratch.giveScratch(tensor.slice) }
    }
}
