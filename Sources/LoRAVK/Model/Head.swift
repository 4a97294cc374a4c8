// From the residual stream of the positions whose next token counts to the loss: normed and projected a chunk of rows
// at a time, and the gradient replaces the logits in place, so that (n, V) logits never exist.
// loss = Σ −log softmax(z)[target] · weight · scale, z = norm(x)·Wᵀ, or c·tanh(z/c) where the logits have a cap c.

import Kernels
import VulkanCompute

package struct Head: Sendable {
    let norm: Norm
    /// The output projection (V, C); the embedding itself where they are tied.
    package let weight: Weight
    /// V: columns of the logits that stand for tokens. Behind them a row is padded.
    let vocabulary: Int
    let logitCap: Float?
    private static let chunkByteCount = 32 << 20

    init(norm: Norm, weight: Weight, vocabulary: Int, logitCap: Float?) {
        (self.norm, self.weight, self.vocabulary) = (norm, weight, vocabulary)
        self.logitCap = logitCap
    }

    /// Vp, of a row of logits.
    package var paddedVocabulary: Int { weight.layout.rows }

    /// Rows of logits at a time: a multiple of 64, so that a chunk begins where it may be bound.
    private var chunkRows: Int {
        max(64, Self.chunkByteCount / (paddedVocabulary * 4) / 64 * 64)
    }

    /// Records loss and gradient. Takes over `x` (n, C) and returns dx (n, C).
    func trainingLoss(_ x: Tensor, _ pass: Pass) throws(VulkanError) -> Tensor {
        let (encoder, arena) = (pass.encoder, pass.arena)
        let (n, saved) = try normed(x, pass)
        let dn = arena.take(n.rows, n.width)
        let losses = arena.take(n.rows)
        try eachChunk(of: n.rows, pass) { rows, logits throws(VulkanError) in
            try encoder.matmul(into: logits, n.rows(rows), weight: weight, label: "lm_head")
            try encoder.crossEntropy(
                into: losses.elements(rows), gradientInPlaceOf: logits,
                labels: pass.batch.targets.elements(rows), weights: pass.batch.weights.elements(rows),
                columns: vocabulary, state: pass.state, cap: logitCap)
            try encoder.matmulBackward(into: dn.rows(rows), logits, weight: weight, label: "lm_head dx")
        }
        try encoder.lossSum(into: pass.result, losses)
        arena.give(losses)
        let dx = arena.take(n.rows, n.width)
        try norm.backward(into: dx, dn, x: x, saved, pass, label: "final norm dx")
        saved.give(to: arena)
        arena.give(dn, n, x)
        return dx
    }

    /// Records per-target losses and whether the model's first choice was right. Takes over `x`.
    func evaluation(
        _ x: Tensor, losses: Tensor, correct: Tensor, _ pass: Pass
    ) throws(VulkanError) {
        let (n, saved) = try normed(x, pass)
        try eachChunk(of: n.rows, pass) { rows, logits throws(VulkanError) in
            try pass.encoder.matmul(into: logits, n.rows(rows), weight: weight, label: "lm_head")
            try pass.encoder.crossEntropy(
                into: losses.elements(rows), correct: correct.elements(rows), logits,
                labels: pass.batch.targets.elements(rows), columns: vocabulary, cap: logitCap)
        }
        saved.give(to: pass.arena)
        pass.arena.give(n, x)
    }

    /// Records the logits (n, Vp) of the counted positions. Takes over `x`.
    func logits(_ x: Tensor, into logits: Tensor, _ pass: Pass) throws(VulkanError) {
        let (n, saved) = try normed(x, pass)
        try pass.encoder.matmul(into: logits, n, weight: weight, label: "lm_head")
        if let logitCap { try pass.encoder.cap(into: logits, logits, by: logitCap) }
        saved.give(to: pass.arena)
        pass.arena.give(n, x)
    }

    private func normed(_ x: Tensor, _ pass: Pass) throws(VulkanError) -> (n: Tensor, Norm.Saved) {
        let n = pass.arena.take(x.rows, x.width)
        return (n, try norm.forward(into: n, x, pass, label: "final norm"))
    }

    private func eachChunk(
        of rows: Int, _ pass: Pass, _ body: (Range<Int>, Tensor) throws(VulkanError) -> Void
    ) throws(VulkanError) {
        for start in stride(from: 0, to: rows, by: chunkRows) {
            let range = start..<min(start + chunkRows, rows)
            let logits = pass.arena.takeSpread(range.count, paddedVocabulary)
            try body(range, logits)
            pass.arena.give(logits)
        }
    }
}
