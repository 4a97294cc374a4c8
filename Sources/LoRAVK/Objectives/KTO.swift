// KTO: single answers, each judged as wanted or not, against a zero point z: how far the model is from the
// reference on answers that do not belong to their prompts. Shaders/loss/kto.comp has the formula. z is that
// of a pass.

import Kernels
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct KTO: AnswerObjective {
    package let name = "kto"
    package let summary =
        "KTO: 1 − σ(±β·(log p/p_ref − z)) of answers that are wanted or not (Ethayarajh et al. 2024)"
    package var options = [
        NumberOption("beta", 0.1, in: 1e-4...100, "how far the model may go from the reference"),
        NumberOption("desirable", 1, in: 0...1e4, "the weight of answers that are wanted"),
        NumberOption("undesirable", 1, in: 0...1e4, "the weight of answers that are not"),
    ]
    package let examples = Example.Kind.judged
    package let needsReference = true

    package init() {}

    private var beta: Double { option("beta") }

    package func record(
        weights: Tensor, _ logps: Tensor, _ answers: AnswerBuffers, _ encoder: CommandEncoder
    ) throws(VulkanError) {
        try encoder.answerWeights(
            Shader.kto, into: weights, logps, answers, usesReferences: true,
            push: [
                answers.pairs, Float(beta), Float(option("desirable")), Float(option("undesirable")),
            ], label: name)
    }

    package func report(_ pairs: [AnswerPair]) -> LossReport {
        var report = LossReport(count: pairs.count)
        let z = max(0, pairs.reduce(0) { $0 + $1.second.ratio } / Double(max(1, pairs.count)))
        for pair in pairs {
            let margin = beta * (pair.first.ratio - z)
            report.sum +=
                pair.isDesired
                ? option("desirable") / (1 + exp(margin)) : option("undesirable") / (1 + exp(-margin))
            let (reward, logp) =
                pair.isDesired
                ? (Metrics.chosen, "logps/chosen") : (Metrics.rejected, "logps/rejected")
            report.metrics.add(reward, beta * pair.first.ratio)
            report.metrics.add(logp, pair.first.logp)
            report.metrics.add("kl", z)
        }
        return report
    }
}
