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
    /// NEFTune's α; 0: none.
    var noise: Float = 0
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
