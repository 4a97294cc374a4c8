// What every layer needs while a forward or backward pass is recorded.

import Kernels
import VulkanCompute

package struct Pass {
    package let encoder: CommandEncoder
    package let arena: Arena
    let batch: TokenBuffers
    /// Step state and result in device memory (StepState, StepResult).
    package let state: BufferSlice
    let result: BufferSlice
    let adapter: Adapter?
    /// Dropout is applied, and a backward pass follows.
    package let isTraining: Bool
    /// Blocks, from the lowest that a backward needs, of which only the input is kept.
    var recomputedBlocks = 0
    /// Measures what adapted layers see.
    var features: FeatureSums?

    var tokens: Int { batch.tokens.count }
}

extension Pass {
    func copy(_ x: Tensor) throws(VulkanError) -> Tensor {
        let copy = arena.take(x.rows, x.width)
        try encoder.copy(into: copy.slice, from: x.slice)
        return copy
    }

    /// The rows of `x` that `index` names.
    func gather(_ x: Tensor, _ index: Tensor) throws(VulkanError) -> Tensor {
        let rows = arena.take(index.count, x.width)
        try encoder.gatherRows(into: rows, x, index: index)
        return rows
    }

    /// So many rows, zero but for those that `index` names. Takes `few` over.
    func scatter(_ few: Tensor, _ index: Tensor, rows: Int) throws(VulkanError) -> Tensor {
        let many = arena.take(rows, few.width)
        try encoder.scatterRows(into: many, few, index: index)
        arena.give(few)
        return many
    }
}

/// Where an output goes.
package enum Destination {
    case into(Tensor)
    case addingTo(Tensor)
    /// Where it goes and what is added to it.
    case sum(Tensor, plus: Tensor)
}

/// Where a gradient goes.
package enum GradientDestination {
    case into(Tensor)
    case addingTo(Tensor)
    /// Nobody needs it.
    case none
}

/// The device's copy of a TokenBatch, filled anew before every run of a recorded step.
package struct TokenBuffers {
    let tokens: Tensor  // (N) ids
    let positions: Tensor  // (N)
    let spans: Tensor  // (N, 2)
    let countedPositions: Tensor  // (n)
    let targets: Tensor  // (n)
    let keyOffset: Tensor  // (1): cached tokens before these
    /// All of them: one upload fills them.
    private let whole: BufferSlice

    /// Room for a batch of a shape, in one buffer.
    package static func byteCount(_ shape: BatchShape) -> Int { offsets(shape).end }

    init(_ slice: BufferSlice, _ shape: BatchShape) {
        let at = Self.offsets(shape)
        func part(_ offset: Int, _ dimensions: Int...) -> Tensor {
            let bytes = dimensions.reduce(4, *)
            return Tensor(slice.slice(offset, byteCount: bytes), shape: dimensions, dtype: .i32)
        }
        tokens = part(0, shape.tokens)
        positions = part(at.positions, shape.tokens)
        spans = part(at.spans, shape.tokens, 2)
        countedPositions = part(at.counted, shape.counted)
        targets = part(at.targets, shape.counted)
        keyOffset = part(at.keyOffset, 1)
        whole = slice.slice(0, byteCount: at.end)
    }

    private static func offsets(
        _ shape: BatchShape
    ) -> (positions: Int, spans: Int, counted: Int, targets: Int, keyOffset: Int, end: Int) {
        func aligned(_ words: Int) -> Int { (words * 4 + 255) / 256 * 256 }
        let positions = aligned(shape.tokens)
        let spans = positions + aligned(shape.tokens)
        let counted = spans + aligned(shape.tokens * 2)
        let targets = counted + aligned(shape.counted)
        let keyOffset = targets + aligned(shape.counted)
        return (positions, spans, counted, targets, keyOffset, keyOffset + aligned(1))
    }

    /// `batch` must be padded to the shape of these buffers.
    func upload(_ batch: TokenBatch, _ device: Device) throws(VulkanError) {
        var words = [Int32](repeating: 0, count: whole.byteCount / 4)
        for (tensor, values) in [
            (tokens, batch.tokens), (positions, batch.positions), (spans, batch.spans),
            (countedPositions, batch.countedPositions), (targets, batch.targets),
            (keyOffset, [batch.keyOffset]),
        ] {
            precondition(values.count == tensor.count, "\(values.count) values for \(tensor.shape)")
            let start = (tensor.slice.offset - whole.offset) / 4
            words.replaceSubrange(start..<(start + values.count), with: values)
        }
        try device.upload(words, into: whole)
    }
}
