// AdamW: moving averages m of the gradient and v of its square, p −= lr/(1 − β1^t) · m / (√v/√(1 − β2^t) + ε).
// Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization.

import Kernels
import VulkanCompute

package struct AdamW: Optimizer {
    package let name = "adamw"
    package let summary = "averages of the gradient and of its square; Loshchilov & Hutter 2019"
    package var options: [NumberOption] = Self.moments

    static let moments = [
        NumberOption("beta1", Defaults.beta1, in: 0...0.999_999, "how much the average keeps of itself"),
        NumberOption("beta2", Defaults.beta2, in: 0...0.999_999_9, "the same of the squares' average"),
        NumberOption("epsilon", Defaults.epsilon, in: 1e-30...1, "added to the root of the squares' average"),
    ]
    static let (mean, square) = ("exp_avg", "exp_avg_sq")

    package init() {}

    package init(beta1: Double, beta2: Double, epsilon: Double) throws(ConfigError) {
        try options.set(
            [("beta1", beta1), ("beta2", beta2), ("epsilon", epsilon)], of: "the optimizer \(name)")
    }

    package func states(of shape: ParameterShape) -> [OptimizerState] {
        [OptimizerState(Self.mean), OptimizerState(Self.square, isSquare: true)]
    }

    package func settings(step: Int) -> [Float] {
        StepState.adamW(
            beta1: option("beta1"), beta2: option("beta2"), epsilon: option("epsilon"), step: step)
    }

    package func record(
        _ encoder: CommandEncoder, _ memory: OptimizerMemory, state: BufferSlice, result: BufferSlice
    ) throws(VulkanError) {
        try encoder.adamW(
            updating: memory.values, m: memory.all(Self.mean), v: memory.all(Self.square),
            gradients: memory.gradients, rates: memory.rates, state: state, result: result)
    }
}
