// Lion: the sign of a mix of gradient and average, p −= lr·sign(β1·m + (1 − β1)·g). One state, and every number moves by the whole
// rate, so rates are three to ten times smaller than AdamW's. Chen et al. 2023, Symbolic Discovery of Optimization Algorithms.

import Kernels
import VulkanCompute

package struct Lion: Optimizer {
    package let name = "lion"
    package let summary = "the sign of an average of gradients; Chen et al. 2023"
    package var options = [
        NumberOption("beta1", 0.9, in: 0...0.999_999, "how much of the average is in a step"),
        NumberOption("beta2", 0.99, in: 0...0.999_999, "how much the average keeps of itself"),
    ]

    private static let average = "exp_avg"

    package func states(of shape: ParameterShape) -> [OptimizerState] { [OptimizerState(Self.average)] }

    package func settings(step: Int) -> [Float] {
        let (beta1, beta2) = (option("beta1"), option("beta2"))
        return [beta1, 1 - beta1, beta2, 1 - beta2].map(Float.init)
    }

    package func record(
        _ encoder: CommandEncoder, _ memory: OptimizerMemory, state: BufferSlice, result: BufferSlice
    ) throws(VulkanError) {
        try encoder.update(
            Shader.lion, memory.values, [memory.all(Self.average)], gradients: memory.gradients,
            rates: memory.rates, state: state, result: result, label: name)
    }
}
