// One binding holds a limited number of bytes: kernels that work row by row run over spans of rows that fit.

import VulkanCompute

extension Capabilities {
    /// `0..<rows` cut so that, for every tensor with so many bytes a row, each piece fits one binding and begins where
    /// it may be bound. Pieces begin at multiples of `multiple`.
    package func spans(
        of rows: Int, rowByteCounts: [Int], family: Shader.Family, multiple: Int = 1
    ) -> [Range<Int>] {
        guard rows > 0, let widest = rowByteCounts.max(), widest > 0 else { return [] }
        let limit =
            family == .texel ? min(maxStorageBufferRange, maxTexelBufferElements * 16) : maxStorageBufferRange
        if rows <= limit / widest { return [0..<rows] }
        var granularity = multiple
        while rowByteCounts.contains(where: { granularity * $0 % bindingAlignment != 0 }) { granularity *= 2 }
        let size = limit / widest / granularity * granularity
        precondition(
            size > 0, "\(granularity) rows of \(widest) bytes do not fit a binding of \(limit) bytes")
        return stride(from: 0, to: rows, by: size).map { $0..<min($0 + size, rows) }
    }
}

extension Tensor {
    /// Elements `range` of the tensor seen as a column: what belongs to rows `range` when there is one element a row.
    package func elements(_ range: Range<Int>) -> Tensor {
        reshaped([count, 1]).rows(range).reshaped([range.count])
    }
}
