// Causal language modelling: the mean of −log p(target)·weight over the counted targets. `smoothing` ε takes ε of the target's part
// for all tokens alike (Szegedy et al. 2016), `z` adds z·(log Z)², Z the sum under the softmax (Chowdhery et al. 2022). Both are of
// training: what is evaluated is −log p.

import Kernels
import VulkanCompute

package struct CausalLM: TokenObjective {
    package let name = "causal"
    package let summary = "the mean of −log p of each token to learn"
    package let examples = Example.Kind.plain
    package var options = [
        NumberOption("smoothing", 0, in: 0...0.999, "the part of a target that all tokens share"),
        NumberOption("z", 0, in: 0...1, "times (log Z)², which keeps logits small"),
    ]

    package init() {}

    package func count(_ example: Example) -> Int { example.countedTokens }

    package func record(
        _ x: Tensor, _ head: Head, _ pass: Pass
    ) throws(VulkanError) -> (dx: Tensor, outputs: [Tensor]) {
        let smoothing = LossSmoothing(
            smoothing: Float(option("smoothing")), square: Float(option("z")))
        return (try head.trainingLoss(x, pass, smoothing: smoothing), [])
    }

    package func report(_ pass: FinishedPass) throws(VulkanError) -> LossReport {
        let result = try pass.device.download(pass.result, as: StepResult.self)[0]
        return LossReport(
            sum: Double(result.lossSum), count: pass.examples.reduce(0) { $0 + $1.countedTokens })
    }

    package func report(
        _ losses: some Collection<Float>, _ batch: TokenBatch, _ examples: [Example]
    ) -> LossReport {
        LossReport(
            sum: zip(losses, batch.weights).reduce(0) { $0 + Double($1.0) * Double($1.1) },
            count: batch.countedCount)
    }
}
