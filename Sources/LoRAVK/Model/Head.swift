// From the residual stream of the positions whose next token counts to the loss: normed and projected a chunk of rows
// at a time, and the gradient replaces the logits in place, so that (n, V) logits never exist.
// loss = Σ −log softmax(z)[target] · weight · scale, z = norm(x)·Wᵀ, or c·tanh(z/c) where the logits have a cap c.

import Kernels
import VulkanCompute

package struct Head: Sendable {
    /// The tensor's name; an adapter may have a copy of its own, which trains.
    let name: String
    /// nil: the states are normed as they come.
    let norm: Norm?
    /// The output projection (V, C); the embedding itself where they are tied.
    package let weight: Weight
    /// V: columns of the logits that stand for tokens. Behind them a row is padded.
    let vocabulary: Int
    let logitCap: Float?
    private static let chunkByteCount = 32 << 20

    init(name: String, norm: Norm?, weight: Weight, vocabulary: Int, logitCap: Float?) {
        self.name = name
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
    func trainingLoss(
        _ x: Tensor, _ pass: Pass, smoothing: LossSmoothing = LossSmoothing()
    ) throws(VulkanError) -> Tensor {
        let (n, saved) = try normed(x, pass)
        let dn = pass.arena.take(n.rows, n.width)
        let losses = pass.arena.take(n.rows)
        try gradient(
            into: dn, n, weights: pass.batch.weights, losses: losses, smoothing: smoothing, pass)
        try pass.encoder.lossSum(into: pass.result, losses)
        pass.arena.give(losses)
        return try normBackward(x, n, dn, saved, pass)
    }

    /// Records the gradient of Σ −log p(target)·w·scale, where `weigh` records w (n), given −log p (n) of all
    /// targets. Takes over `x` (n, C) and returns dx (n, C).
    func weightedLoss(
        _ x: Tensor, _ pass: Pass, weigh: (_ losses: Tensor, _ weights: Tensor) throws(VulkanError) -> Void
    ) throws(VulkanError) -> Tensor {
        let (n, saved) = try normed(x, pass)
        let (losses, weights) = (pass.arena.take(n.rows), pass.arena.take(n.rows))
        let correct = pass.arena.take(n.rows, dtype: .i32)
        try self.losses(into: losses, correct: correct, n, pass)
        pass.arena.give(correct)
        try weigh(losses, weights)
        let dn = pass.arena.take(n.rows, n.width)
        try gradient(into: dn, n, weights: weights, losses: losses, pass)
        pass.arena.give(losses, weights)
        return try normBackward(x, n, dn, saved, pass)
    }

    /// Records per-target losses and whether the model's first choice was right. Takes over `x`.
    func evaluation(
        _ x: Tensor, losses: Tensor, correct: Tensor, _ pass: Pass
    ) throws(VulkanError) {
        let (n, saved) = try normed(x, pass)
        try self.losses(into: losses, correct: correct, n, pass)
        giveNormed(x, n, saved, pass)
    }

    /// Records the logits (n, Vp) of the counted positions. Takes over `x`.
    func logits(_ x: Tensor, into logits: Tensor, _ pass: Pass) throws(VulkanError) {
        let (n, saved) = try normed(x, pass)
        try project(n, into: logits, pass)
        if let logitCap { try pass.encoder.cap(into: logits, logits, by: logitCap) }
        giveNormed(x, n, saved, pass)
    }

    /// From n (n, C), the normed states: −log p of the targets, and whether each was the model's first choice.
    private func losses(
        into losses: Tensor, correct: Tensor, _ n: Tensor, _ pass: Pass
    ) throws(VulkanError) {
        try eachChunk(of: n.rows, pass) { rows, logits throws(VulkanError) in
            try project(n.rows(rows), into: logits, pass)
            try pass.encoder.crossEntropy(
                into: losses.elements(rows), correct: correct.elements(rows), logits,
                labels: pass.batch.targets.elements(rows), columns: vocabulary, cap: logitCap)
        }
    }

    /// The gradient of n (n, C), and the losses times their weights.
    private func gradient(
        into dn: Tensor, _ n: Tensor, weights: Tensor, losses: Tensor,
        smoothing: LossSmoothing = LossSmoothing(), _ pass: Pass
    ) throws(VulkanError) {
        try eachChunk(of: n.rows, pass) { rows, logits throws(VulkanError) in
            try project(n.rows(rows), into: logits, pass)
            try pass.encoder.crossEntropy(
                into: losses.elements(rows), gradientInPlaceOf: logits,
                labels: pass.batch.targets.elements(rows), weights: weights.elements(rows),
                columns: vocabulary, state: pass.state, cap: logitCap, smoothing: smoothing)
            if let own = pass.adapter?.whole(name) {
                try pass.encoder.loraGradientA(
                    addingTo: own.gradient, g: logits, x: n.rows(rows), label: "lm_head dW")
                try pass.encoder.matmul(.nn, into: dn.rows(rows), logits, own.value, label: "lm_head dx")
            } else {
                try pass.encoder.matmulBackward(
                    into: dn.rows(rows), logits, weight: weight, label: "lm_head dx")
            }
        }
    }

    /// Logits (m, Vp) of normed states (m, C).
    private func project(_ n: Tensor, into logits: Tensor, _ pass: Pass) throws(VulkanError) {
        if let own = pass.adapter?.whole(name) {
            try pass.encoder.matmul(.nt, into: logits, n, own.value, label: "lm_head")
        } else {
            try pass.encoder.matmul(into: logits, n, weight: weight, label: "lm_head")
        }
    }

    /// From dn the gradient of x, which it takes over with n and dn.
    func normBackward(
        _ x: Tensor, _ n: Tensor, _ dn: Tensor, _ saved: Norm.Saved?, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        guard let norm, let saved else {
            pass.arena.give(x)
            return dn
        }
        let dx = pass.arena.take(n.rows, n.width)
        try norm.backward(into: dx, dn, x: x, saved, pass, label: "final norm dx")
        saved.give(to: pass.arena)
        pass.arena.give(dn, n, x)
        return dx
    }

    /// x itself where there is no norm.
    func normed(_ x: Tensor, _ pass: Pass) throws(VulkanError) -> (n: Tensor, Norm.Saved?) {
        guard let norm else { return (x, nil) }
        let n = pass.arena.take(x.rows, x.width)
        return (n, try norm.forward(into: n, x, pass, label: "final norm"))
    }

    func giveNormed(_ x: Tensor, _ n: Tensor, _ saved: Norm.Saved?, _ pass: Pass) {
        saved?.give(to: pass.arena)
        pass.arena.give(norm == nil ? nil : n, x)
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
