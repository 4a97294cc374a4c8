// Gradient descent with momentum: b = μ·b + g; p −= lr·b, or lr·(g + μ·b) with Nesterov's look ahead. torch.optim.SGD.

import Kernels
import VulkanCompute

package struct SGD: Optimizer {
    package let name = "sgd"
    package let summary = "gradient descent with momentum"
    package var options = [
        NumberOption("momentum", 0.9, in: 0...0.999_999, "how much of the last step goes on"),
        NumberOption("nesterov", 0, in: 0...1, "1: look one step ahead"),
    ]

    package static let momentum = "momentum_buffer"

    package func states(of shape: ParameterShape) -> [OptimizerState] { [OptimizerState(Self.momentum)] }

    package func settings(step: Int) -> [Float] { [option("momentum"), option("nesterov")].map(Float.init) }

    package func record(
        _ encoder: CommandEncoder, _ memory: OptimizerMemory, state: BufferSlice, result: BufferSlice
    ) throws(VulkanError) {
        try encoder.update(
            Shader.sgd, memory.values, [memory.all(Self.momentum)], gradients: memory.gradients,
            rates: memory.rates, state: state, result: result, label: name)
    }
}
