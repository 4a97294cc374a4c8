// A norm with frozen weights: RMSNorm, or LayerNorm. Its output is cheap to compute again and is not saved for the backward.

import Checkpoints
import Kernels
import VulkanCompute

struct Norm: Sendable {
    let weight: Tensor  // (C), with what the architecture adds to it
    let epsilon: Float

    /// What of each row a backward needs.
    struct Saved {
        let rstd: Tensor  // (N)

        func give(to arena: Arena) { arena.give(rstd) }
    }

    var width: Int { weight.count }

    /// `y`, `x` (N, C).
    func forward(into y: Tensor, _ x: Tensor, _ pass: Pass, label: String = "rmsNorm") throws(VulkanError)
        -> Saved
    {
        let saved = Saved(rstd: pass.arena.take(x.rows))
        try again(into: y, x, saved, pass, label: label)
        return saved
    }

    /// The forward once more; `saved` gets the values that it has.
    func again(
        into y: Tensor, _ x: Tensor, _ saved: Saved, _ pass: Pass, label: String = "rmsNorm"
    ) throws(VulkanError) {
        try pass.encoder.rmsNorm(into: y, rstd: saved.rstd, x, weight: weight, epsilon: epsilon, label: label)
    }

    func backward(
        into dx: Tensor, _ dy: Tensor, x: Tensor, _ saved: Saved, _ pass: Pass,
        label: String = "rmsNormBackward"
    ) throws(VulkanError) {
        try pass.encoder.rmsNormBackward(into: dx, dy, x: x, weight: weight, rstd: saved.rstd, label: label)
    }

    func backward(
        addingTo dx: Tensor, _ dy: Tensor, x: Tensor, _ saved: Saved, _ pass: Pass
    ) throws(VulkanError) {
        try pass.encoder.rmsNormBackward(addingTo: dx, dy, x: x, weight: weight, rstd: saved.rstd)
    }
}
