// A reward model: the score r of the chosen text is to be larger than that of the rejected one, −log σ(r − r′ − margin) +
// c·(r + r′)². Ouyang et al. 2022; the margin: Touvron et al. 2023 (Llama 2); c: Eisenstein et al. 2023; as TRL's RewardTrainer.

import Checkpoints
import Kernels
import VulkanCompute

package struct RewardModel: ScoreObjective {
    package let name = "reward"
    package let summary =
        "−log σ(r − r′ − margin) of the scores of a chosen and a rejected text (Ouyang et al. 2022)"
    package var options = [
        NumberOption("centre", 0, in: 0...100, "times (r + r′)², which keeps scores around 0")
    ]
    package let examples = Example.Kind.ranked
    package let loss = ScoreLoss.pair

    package init() {}

    package var centre: Double { option("centre") }

    package func head(for data: Dataset) -> ScoreHead? { ScoreHead(.regression, outputs: 1) }

    package func checkProblem(_ head: ScoreHead) throws(ConfigError) {
        guard head.outputs == 1, head.problem ?? .regression == .regression else {
            throw ConfigError(
                "a reward model has one score, and the adapter's head has \(head.outputs) outputs"
                    + (head.problem.map { " of \($0.rawValue)" } ?? ""))
        }
    }

    package func report(_ scores: [[Float]], _ examples: [Example]) -> LossReport {
        var report = LossReport(count: examples.count)
        for (index, outcome) in examples.compactMap(\.outcome).enumerated() {
            let (chosen, rejected) = (Double(scores[2 * index][0]), Double(scores[2 * index + 1][0]))
            let margin = chosen - rejected
            report.sum += -logSigmoid(margin - Double(outcome.values[0]))
            report.sum += centre * (chosen + rejected) * (chosen + rejected)
            report.metrics.add("accuracy", margin > 0 ? 1 : 0)
            report.metrics.add("margin", margin)
            report.metrics.add("mean_reward", (chosen + rejected) / 2)
        }
        return report
    }
}
