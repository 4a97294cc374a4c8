// From the residual stream of the positions whose next token counts to the loss: normed and projected a chunk of rows
// at a time, and the gradient replaces the logits in place, so that (n, V) logits never exist.
// loss = Σ −log softmax(rms(x)·Wᵀ)[target] · scale.

import Kernels
import VulkanCompute

struct LossHead {
    let model: Transformer
    private static let chunkByteCount = 32 << 20

    /// Rows of logits at a time: a multiple of 64, so that a chunk begins where it may be bound.
    private var chunkRows: Int {
        max(64, Self.chunkByteCount / (model.head.layout.rows * 4) / 64 * 64)
    }

    /// Records loss and gradient. Takes over `x` (n, C) and returns dx (n, C).
    func trainingLoss(_ x: Tensor, _ pass: Pass) throws(VulkanError) -> Tensor {
        let (encoder, arena) = (pass.encoder, pass.arena)
        let (n, rstd) = try normed(x, pass)
        let dn = arena.take(n.rows, n.width)
        let losses = arena.take(n.rows)
        try eachChunk(of: n.rows, pass) { rows, logits throws(VulkanError) in
            try encoder.matmul(into: logits, n.rows(rows), weight: model.head, label: "lm_head")
            try encoder.crossEntropy(
                into: losses.elements(rows), gradientInPlaceOf: logits,
                labels: pass.batch.targets.elements(rows),
                columns: model.config.vocabSize, state: pass.state)
            try encoder.matmulBackward(into: dn.rows(rows), logits, weight: model.head, label: "lm_head dx")
        }
        try encoder.lossSum(into: pass.result, losses)
        arena.give(losses)
        let dx = arena.take(n.rows, n.width)
        try encoder.rmsNormBackward(
            into: dx, dn, x: x, weight: model.finalNorm, rstd: rstd, label: "final norm dx")
        arena.give(dn, n, rstd, x)
        return dx
    }

    /// Records per-target losses and whether the model's first choice was right. Takes over `x`.
    func evaluation(
        _ x: Tensor, losses: Tensor, correct: Tensor, _ pass: Pass
    ) throws(VulkanError) {
        let (n, rstd) = try normed(x, pass)
        try eachChunk(of: n.rows, pass) { rows, logits throws(VulkanError) in
            try pass.encoder.matmul(into: logits, n.rows(rows), weight: model.head, label: "lm_head")
            try pass.encoder.crossEntropy(
                into: losses.elements(rows), correct: correct.elements(rows), logits,
                labels: pass.batch.targets.elements(rows), columns: model.config.vocabSize)
        }
        pass.arena.give(n, rstd, x)
    }

    /// Records the logits (n, Vp) of the counted positions. Takes over `x`.
    func logits(_ x: Tensor, into logits: Tensor, _ pass: Pass) throws(VulkanError) {
        let (n, rstd) = try normed(x, pass)
        try pass.encoder.matmul(into: logits, n, weight: model.head, label: "lm_head")
        pass.arena.give(n, rstd, x)
    }

    private func normed(_ x: Tensor, _ pass: Pass) throws(VulkanError) -> (n: Tensor, rstd: Tensor) {
        let n = pass.arena.take(x.rows, x.width)
        let rstd = pass.arena.take(x.rows)
        try pass.encoder.rmsNorm(
            into: n, rstd: rstd, x, weight: model.finalNorm, epsilon: Float(model.config.rmsNormEps),
            label: "final norm")
        return (n, rstd)
    }

    private func eachChunk(
        of rows: Int, _ pass: Pass, _ body: (Range<Int>, Tensor) throws(VulkanError) -> Void
    ) throws(VulkanError) {
        for start in stride(from: 0, to: rows, by: chunkRows) {
            let range = start..<min(start + chunkRows, rows)
            let logits = pass.arena.takeSpread(range.count, model.head.layout.rows)
            try body(range, logits)
            pass.arena.give(logits)
        }
    }
}
