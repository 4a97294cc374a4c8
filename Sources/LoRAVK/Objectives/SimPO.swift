// SimPO: a chosen answer is to have a larger mean log p than a rejected one by a margin, without a reference.
// Shaders/loss/simpo.comp has the formula. The reward of an answer is β·(log p a target).

import Kernels
import VulkanCompute

package struct SimPO: AnswerObjective {
    package let name = "simpo"
    package let summary = "SimPO: −log σ(β·(mean log p of chosen − of rejected) − γ) (Meng et al. 2024)"
    package var options = [
        NumberOption("beta", 2, in: 1e-4...100, "scales the mean log-probabilities"),
        NumberOption("gamma", 1, in: 0...100, "the margin between the rewards"),
        NumberOption("smoothing", 0, in: 0...0.5, "the share of pairs whose labels are wrong"),
    ]

    package init() {}

    private var beta: Double { option("beta") }
    private var gamma: Double { option("gamma") }
    private var smoothing: Double { option("smoothing") }

    package func record(
        weights: Tensor, _ logps: Tensor, _ answers: AnswerBuffers, _ encoder: CommandEncoder
    ) throws(VulkanError) {
        try encoder.answerWeights(
            Shader.simpo, into: weights, logps, answers, usesReferences: false,
            push: [Float(beta), Float(gamma), Float(smoothing)], label: name)
    }

    package func report(_ pairs: [AnswerPair]) -> LossReport {
        var report = LossReport(count: pairs.count)
        for pair in pairs {
            let h = beta * (pair.first.mean - pair.second.mean) - gamma
            report.sum += -(1 - smoothing) * logSigmoid(h) - smoothing * logSigmoid(-h)
            report.metrics.add(pair, reward: { beta * $0.mean }, logp: \.mean)
        }
        return report
    }
}
