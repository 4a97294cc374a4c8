// A norm with frozen weights: RMSNorm, or LayerNorm where it has a bias. Its output is cheap to compute again and is not saved for
// the backward.

import Kernels
import VulkanCompute

struct Norm: Sendable {
    let weight: Tensor  // (C), with what the architecture adds to it
    let bias: Tensor?  // (C), of LayerNorm
    let epsilon: Float

    /// What of each row a backward needs.
    struct Saved {
        let rstd: Tensor  // (N)
        let mean: Tensor?  // (N), of LayerNorm

        var tensors: [Tensor] { [rstd] + (mean.map { [$0] } ?? []) }

        func give(to arena: Arena) { arena.give(rstd, mean) }
    }

    var width: Int { weight.count }

    /// The same as a part of a kernel, where it is an RMSNorm.
    var fused: InputNorm? { bias == nil ? InputNorm(weight: weight, epsilon: epsilon) : nil }

    func takeSaved(rows: Int, _ arena: Arena) -> Saved {
        let rstd = arena.take(rows)
        return Saved(rstd: rstd, mean: bias == nil ? nil : arena.take(rows))
    }

    /// `y`, `x` (N, C).
    func forward(into y: Tensor, _ x: Tensor, _ pass: Pass, label: String = "norm") throws(VulkanError)
        -> Saved
    {
        let saved = takeSaved(rows: x.rows, pass.arena)
        try again(into: y, x, saved, pass, label: label)
        return saved
    }

    /// The forward once more; `saved` gets the values that it has.
    func again(
        into y: Tensor, _ x: Tensor, _ saved: Saved, _ pass: Pass, label: String = "norm"
    ) throws(VulkanError) {
        guard let bias, let mean = saved.mean else {
            return try pass.encoder.rmsNorm(
                into: y, rstd: saved.rstd, x, weight: weight, epsilon: epsilon, label: label)
        }
        try pass.encoder.layerNorm(
            into: y, mean: mean, rstd: saved.rstd, x, weight: weight, bias: bias, epsilon: epsilon,
            label: label)
    }

    /// y = residual + norm(x); y may be the residual.
    func forward(
        into y: Tensor, plus residual: Tensor, _ x: Tensor, _ pass: Pass
    ) throws(VulkanError) -> Saved {
        let saved = takeSaved(rows: x.rows, pass.arena)
        if bias == nil {
            try pass.encoder.rmsNorm(
                into: y, plus: residual, rstd: saved.rstd, x, weight: weight, epsilon: epsilon, label: "norm")
        } else {
            let n = pass.arena.take(x.rows, x.width)
            try again(into: n, x, saved, pass)
            try pass.encoder.add(into: y, residual, n)
            pass.arena.give(n)
        }
        return saved
    }

    func backward(
        into dx: Tensor, _ dy: Tensor, x: Tensor, _ saved: Saved, _ pass: Pass, label: String = "norm dx"
    ) throws(VulkanError) {
        guard let mean = saved.mean else {
            return try pass.encoder.rmsNormBackward(
                into: dx, dy, x: x, weight: weight, rstd: saved.rstd, label: label)
        }
        try pass.encoder.layerNormBackward(
            into: dx, dy, x: x, weight: weight, mean: mean, rstd: saved.rstd, label: label)
    }

    func backward(
        addingTo dx: Tensor, _ dy: Tensor, x: Tensor, _ saved: Saved, _ pass: Pass
    ) throws(VulkanError) {
        guard let mean = saved.mean else {
            return try pass.encoder.rmsNormBackward(
                addingTo: dx, dy, x: x, weight: weight, rstd: saved.rstd, label: "norm dx")
        }
        try pass.encoder.layerNormBackward(
            addingTo: dx, dy, x: x, weight: weight, mean: mean, rstd: saved.rstd, label: "norm dx")
    }
}
