// Direct preference optimisation, by the margin h between the log-ratios of the chosen and the rejected
// answer to the model that the run begins with. Shaders/loss/dpo.comp has the formulas. The reward of an
// answer is β·(log p − log p_ref).

import Kernels
import VulkanCompute

package struct DPO: AnswerObjective {
    package enum Loss: UInt32, Sendable { case sigmoid, hinge, ipo }

    package let loss: Loss
    package var options: [NumberOption]
    package let needsReference = true

    package init(_ loss: Loss) {
        self.loss = loss
        options = [NumberOption("beta", 0.1, in: 1e-4...100, "how far the model may go from the reference")]
        if loss == .sigmoid {
            options.append(
                NumberOption("smoothing", 0, in: 0...0.5, "the share of pairs whose labels are wrong"))
        }
    }

    package var name: String {
        switch loss {
        case .sigmoid: "dpo"
        case .hinge: "hinge"
        case .ipo: "ipo"
        }
    }

    package var summary: String {
        switch loss {
        case .sigmoid: "DPO: −log σ(β·h) of the margin h of a chosen answer (Rafailov et al. 2023)"
        case .hinge: "max(0, 1 − β·h) (Zhao et al. 2023)"
        case .ipo: "IPO: (h − 1/2β)² of log-ratios a token (Azar et al. 2023)"
        }
    }

    private var beta: Double { option("beta") }
    private var smoothing: Double { loss == .sigmoid ? option("smoothing") : 0 }

    package func record(
        weights: Tensor, _ logps: Tensor, _ answers: AnswerBuffers, _ encoder: CommandEncoder
    ) throws(VulkanError) {
        try encoder.answerWeights(
            Shader.dpo, into: weights, logps, answers, usesReferences: true,
            push: [Float(beta), Float(smoothing)], constants: ["LOSS": loss.rawValue], label: name)
    }

    package func report(_ pairs: [AnswerPair]) -> LossReport {
        var report = LossReport(count: pairs.count)
        for pair in pairs {
            report.sum += value(pair)
            report.metrics.add(pair, reward: { beta * $0.ratio })
        }
        return report
    }

    private func value(_ pair: AnswerPair) -> Double {
        let h = pair.first.ratio - pair.second.ratio
        switch loss {
        case .sigmoid:
            return -(1 - smoothing) * logSigmoid(beta * h) - smoothing * logSigmoid(-beta * h)
        case .hinge: return max(0, 1 - beta * h)
        case .ipo:
            let distance = pair.first.meanRatio - pair.second.meanRatio - 1 / (2 * beta)
            return distance * distance
        }
    }
}
