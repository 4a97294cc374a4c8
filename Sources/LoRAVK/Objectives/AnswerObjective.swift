// An objective of two answers' log-probabilities: loss(log p(first), log p(second), …), the mean over the pairs of a step.
//   sweep 1 of the head   −log p of each target, and log p of each answer
//   the objective         w = −∂loss/∂log p of each answer, for all of its targets
//   sweep 2               cross-entropy with the weights w, whose gradient is that of the objective
// Nothing is read back in between. The reported loss is computed in f64 from the answers' log p.

import Kernels
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package protocol AnswerObjective: TokenObjective {
    /// Records the kernel that writes the weights (n) of the targets from log p (2P) of the answers.
    func record(
        weights: Tensor, _ logps: Tensor, _ answers: AnswerBuffers, _ encoder: CommandEncoder
    ) throws(VulkanError)
    /// Loss and metrics of the pairs of a pass.
    func report(_ pairs: [AnswerPair]) -> LossReport
}

/// An answer as the model and the reference see it.
package struct Answer: Sendable, Equatable {
    package var logp: Double
    package var reference: Double
    package var tokens: Int

    package init(logp: Double, reference: Double = 0, tokens: Int = 1) {
        (self.logp, self.reference, self.tokens) = (logp, reference, tokens)
    }

    /// log p − log p_ref
    var ratio: Double { logp - reference }
    /// log p a target.
    var mean: Double { logp / Double(tokens) }
    var meanRatio: Double { ratio / Double(tokens) }
}

package struct AnswerPair: Sendable, Equatable {
    package var first: Answer
    package var second: Answer
    /// Whether the first is wanted.
    package var isDesired: Bool

    package init(_ first: Answer, _ second: Answer, isDesired: Bool = true) {
        (self.first, self.second, self.isDesired) = (first, second, isDesired)
    }
}

extension AnswerObjective {
    package var examples: Example.Kind { .pair }

    package func count(_ example: Example) -> Int { 1 }

    package func record(
        _ x: Tensor, _ head: Head, _ pass: Pass
    ) throws(VulkanError) -> (dx: Tensor, outputs: [Tensor]) {
        let answers = pass.batch.answers
        let logps = pass.arena.take(2 * answers.pairs)
        let dx = try head.weightedLoss(x, pass) { losses, weights throws(VulkanError) in
            try pass.encoder.answerSums(into: logps, losses, answers)
            try record(weights: weights, logps, answers, pass.encoder)
        }
        return (dx, [logps])
    }

    package func report(_ pass: FinishedPass) throws(VulkanError) -> LossReport {
        let logps = try pass.device.values(pass.outputs[0])
        return report(TokenBatch(pass.examples).answers.pairs { Double(logps[$0]) })
    }

    package func report(
        _ losses: some Collection<Float>, _ batch: TokenBatch, _ examples: [Example]
    ) -> LossReport {
        let losses = Array(losses)
        return report(
            batch.answers.pairs { -losses[batch.answers.targets($0)].reduce(0) { $0 + Double($1) } })
    }
}

extension Answers {
    /// With log p of each answer.
    fileprivate func pairs(_ logp: (Int) -> Double) -> [AnswerPair] {
        func answer(_ index: Int) -> Answer {
            Answer(
                logp: logp(index), reference: Double(references[index]), tokens: targets(index).count)
        }
        return signs.indices.map {
            AnswerPair(answer(2 * $0), answer(2 * $0 + 1), isDesired: signs[$0] > 0)
        }
    }
}

extension Metrics {
    /// What is told of pairs by every objective: implicit rewards and log p.
    mutating func add(
        _ pair: AnswerPair, reward: (Answer) -> Double, logp: (Answer) -> Double = \.logp
    ) {
        let rewards = (chosen: reward(pair.first), rejected: reward(pair.second))
        add(Self.chosen, rewards.chosen)
        add(Self.rejected, rewards.rejected)
        // A model that is its own reference is ahead of it by rounding alone.
        let rounding = 1e-6 * (abs(logp(pair.first)) + abs(logp(pair.second)))
        add("rewards/accuracies", rewards.chosen - rewards.rejected > rounding ? 1 : 0)
        add("logps/chosen", logp(pair.first))
        add("logps/rejected", logp(pair.second))
    }
}

/// log σ(x) without overflow.
func logSigmoid(_ x: Double) -> Double { min(x, 0) - log1p(exp(-abs(x))) }
