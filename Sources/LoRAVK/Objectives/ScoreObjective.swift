// An objective of what a head says of sequences: scores z = norm(x)·Wᵀ (K) of each one's last token, W of the adapter, which trains
// with it:
//   dz       the objective's, Shaders/loss/score_gradient.comp
//   dW       += dzᵀ·norm(x)
//   dx       dz·W through the norm, and on through the model
// The reported loss is computed in f64 from the scores.

import Checkpoints
import Kernels
import VulkanCompute

package protocol ScoreObjective: Objective {
    var loss: ScoreLoss { get }
    /// PAIR's c.
    var centre: Double { get }
    /// Loss and metrics, from the scores (K) of each sequence of the examples.
    func report(_ scores: [[Float]], _ examples: [Example]) -> LossReport
    /// Refuses heads whose outputs mean something else.
    func checkProblem(_ head: ScoreHead) throws(ConfigError)
}

extension ScoreObjective {
    package var centre: Double { 0 }

    package func count(_ example: Example) -> Int { min(1, example.countedTokens) }

    package func record(
        _ x: Tensor, _ head: Head, _ pass: Pass
    ) throws(VulkanError) -> (dx: Tensor, outputs: [Tensor]) {
        guard let weight = pass.adapter?.headWeight() else { preconditionFailure("no adapter has the head") }
        let (h, saved, scores) = try head.scores(x, pass)
        let dz = pass.arena.take(scores.rows, scores.width)
        try pass.encoder.scoreGradient(
            into: dz, scores, targets: pass.batch.targets,
            values: loss == .label ? nil : pass.batch.values, outputs: weight.shape.rows, loss: loss,
            centre: Float(centre), state: pass.state)
        try pass.encoder.loraGradientA(addingTo: weight.gradient, g: dz, x: h, label: "score dW")
        let dh = pass.arena.take(h.rows, h.width)
        try pass.encoder.matmul(.nn, into: dh, dz, weight.value, label: "score dx")
        pass.arena.give(dz)
        return (try head.normBackward(x, h, dh, saved, pass), [scores])
    }

    package func report(_ pass: FinishedPass) throws(VulkanError) -> LossReport {
        let examples = pass.examples.filter { $0.countedTokens > 0 }
        let sequences = examples.reduce(0) { $0 + $1.countedTokens }
        return report(try pass.device.rows(pass.outputs[0], sequences, of: pass.outputsOfHead), examples)
    }
}

extension Head {
    /// h = norm(x) (n, C), and the scores h·Wᵀ (n, Kp) of the adapter's head.
    func scores(
        _ x: Tensor, _ pass: Pass
    ) throws(VulkanError) -> (h: Tensor, saved: Norm.Saved?, scores: Tensor) {
        guard let weight = pass.adapter?.headWeight().value else {
            preconditionFailure("no adapter has the head")
        }
        let (h, saved) = try normed(x, pass)
        let scores = pass.arena.take(h.rows, weight.rows)
        try pass.encoder.matmul(.nt, into: scores, h, weight, label: "score")
        return (h, saved, scores)
    }
}

extension Device {
    /// The first numbers of the first rows of a matrix.
    func rows(_ matrix: Tensor, _ count: Int, of width: Int) throws(VulkanError) -> [[Float]] {
        let all = try values(matrix)
        return (0..<count).map { Array(all[$0 * matrix.width..<$0 * matrix.width + width]) }
    }
}
