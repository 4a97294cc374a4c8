// An objective of vectors of texts: the states of a text's tokens are pooled to one vector, vectors are compared, and the gradient goes
// the same way back. The texts of an example have places: anchor, one like it, one unlike it. What a pass holds is compared with what
// the same pass holds: a step is never divided otherwise than its batches are.
//   x ─▶ norm ─▶ pool ─▶ /length? ─▶ loss of (first, others) ─▶ gradients ─▶ … ─▶ dx

import Checkpoints
import Kernels
import VulkanCompute

package protocol TextObjective: Objective {
    /// How many texts an example may have.
    var places: ClosedRange<Int> { get }
    /// Vectors are divided by their length first.
    var comparesDirections: Bool { get }

    /// Records the `losses` (P), and the gradients of the vectors of first texts (P, C) and of the others ((k − 1)·P, C).
    func record(
        losses: Tensor, gradients: (first: Tensor, others: Tensor), _ first: Tensor, _ others: Tensor,
        _ texts: TextBuffers, _ pass: Pass
    ) throws(VulkanError)
    /// Σ of the losses of vectors, in f64, and what else is told of them.
    func report(_ first: [[Float]], _ others: [[Float]], scores: [Float]) -> LossReport
}

extension TextObjective {
    package var examples: Example.Kind { .texts }

    package func count(_ example: Example) -> Int { 1 }

    package func head(for data: Dataset) -> ScoreHead? { nil }

    package func check(_ examples: some Sequence<Example>, _ head: ScoreHead?) throws(ConfigError) {
        let counts = Set(examples.map { $0.texts?.ends.count ?? 0 })
        if counts.count == 2, counts.isSubset(of: Set(places)) {
            throw ConfigError(
                "some examples have \(places.lowerBound) texts and some \(places.upperBound); give all as many"
            )
        }
        guard let other = examples.first(where: { !places.contains($0.texts?.ends.count ?? 0) }) else {
            return
        }
        guard let texts = other.texts else {
            throw ConfigError(
                "the objective \(name) learns from texts in pairs, and the data has \(other.kind.words)")
        }
        let wanted =
            places.count == 1 ? "\(places.lowerBound)" : "\(places.lowerBound) or \(places.upperBound)"
        throw ConfigError(
            "the objective \(name) learns from \(wanted) texts an example, and one has \(texts.ends.count)")
    }

    package func record(
        _ x: Tensor, _ head: Head, _ pass: Pass
    ) throws(VulkanError) -> (dx: Tensor, outputs: [Tensor]) {
        let (arena, texts) = (pass.arena, pass.batch.texts)
        let (n, saved) = try head.normed(x, pass)
        let (first, others) = (
            try PooledTexts(n, texts.first, self, pass), try PooledTexts(n, texts.others, self, pass)
        )
        let losses = arena.take(texts.scores.count)
        let gradients = (first: arena.take(like: first.vectors), others: arena.take(like: others.vectors))
        try record(losses: losses, gradients: gradients, first.vectors, others.vectors, texts, pass)
        let dn = arena.take(n.rows, n.width)
        try first.backward(into: dn, gradients.first, texts.first, pass)
        let more = arena.take(n.rows, n.width)
        try others.backward(into: more, gradients.others, texts.others, pass)
        try pass.encoder.add(more, addingTo: dn)
        arena.give(more)
        return (try head.normBackward(x, n, dn, saved, pass), [losses])
    }

    package func report(_ pass: FinishedPass) throws(VulkanError) -> LossReport {
        let losses = try pass.device.values(pass.outputs[0])
        return LossReport(sum: losses.reduce(0) { $0 + Double($1) }, count: pass.examples.count)
    }
}

/// Vectors of some of a batch's texts, with what their backward needs.
private struct PooledTexts {
    let vectors: Tensor
    private let raw: Tensor?
    private let norm: Norm?
    private let saved: Norm.Saved?

    init(_ n: Tensor, _ ranges: Tensor, _ objective: any TextObjective, _ pass: Pass) throws(VulkanError) {
        let pooled = pass.arena.take(ranges.rows, n.width)
        try pass.encoder.pool(into: pooled, n, ranges: ranges)
        guard objective.comparesDirections else {
            (vectors, raw, norm, saved) = (pooled, nil, nil, nil)
            return
        }
        // x/√(mean x²)·C^−½ is x/‖x‖.
        let weight = pass.arena.take(n.width)
        try pass.encoder.fill(weight.slice, value: (1 / Float(n.width).squareRoot()).bitPattern)
        let norm = Norm(weight: weight, bias: nil, epsilon: 1e-30)
        let y = pass.arena.take(like: pooled)
        saved = try norm.forward(into: y, pooled, pass, label: "length")
        (vectors, raw, self.norm) = (y, pooled, norm)
    }

    /// Records the gradient of n, and gives back what was kept and `dy`.
    func backward(into dn: Tensor, _ dy: Tensor, _ ranges: Tensor, _ pass: Pass) throws(VulkanError) {
        if let raw, let norm, let saved {
            try norm.backward(into: dy, dy, x: raw, saved, pass, label: "length dx")
            saved.give(to: pass.arena)
            pass.arena.give(raw, norm.weight)
        }
        try pass.encoder.poolBackward(into: dn, dy, ranges: ranges)
        pass.arena.give(vectors, dy)
    }
}
