// ORPO: the chosen answer is learned, and its odds are to be larger than the rejected one's, without a
// reference. Shaders/loss/orpo.comp has the formula. The reward of an answer is λ·(log p a target).

import Kernels
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct ORPO: AnswerObjective {
    package let name = "orpo"
    package let summary =
        "ORPO: −mean log p of chosen − λ·log σ(log of the odds' ratio) (Hong et al. 2024)"
    package var options = [
        NumberOption("lambda", 0.1, in: 0...100, "how much the ratio of the odds counts")
    ]
    /// Of a mean log p: at 0 the odds are infinite.
    private static let limit: Float = -1e-6

    package init() {}

    private var lambda: Double { option("lambda") }

    package func record(
        weights: Tensor, _ logps: Tensor, _ answers: AnswerBuffers, _ encoder: CommandEncoder
    ) throws(VulkanError) {
        try encoder.answerWeights(
            Shader.orpo, into: weights, logps, answers, usesReferences: false,
            push: [Float(lambda), Self.limit], label: name)
    }

    package func report(_ pairs: [AnswerPair]) -> LossReport {
        var report = LossReport(count: pairs.count)
        for pair in pairs {
            let ratio = Self.logOdds(pair.first.mean) - Self.logOdds(pair.second.mean)
            report.sum += -pair.first.mean - lambda * logSigmoid(ratio)
            report.metrics.add(pair, reward: { lambda * $0.mean }, logp: \.mean)
            report.metrics.add("nll_loss", -pair.first.mean)
            report.metrics.add("log_odds_ratio", logSigmoid(ratio))
            report.metrics.add("log_odds_chosen", ratio)
        }
        return report
    }

    /// log(p/(1 − p)) of p = eᵐ
    private static func logOdds(_ m: Double) -> Double {
        let m = min(m, Double(limit))
        return m - log(-expm1(m))
    }
}
