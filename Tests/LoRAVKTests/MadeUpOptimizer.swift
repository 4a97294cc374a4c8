// An optimizer that is in no paper. A new optimizer needs one such file and one line that registers it.

import Kernels
import LoRAVK
import VulkanCompute

/// Momentum that lasts only every other step.
struct MadeUpOptimizer: Optimizer {
    let name = "limping"
    let summary = "momentum on every other step"
    var options = [NumberOption("momentum", 0.5, in: 0...0.9, "how much goes on")]

    private static let velocity = "velocity"

    func states(of shape: ParameterShape) -> [OptimizerState] { [OptimizerState(Self.velocity)] }

    func settings(step: Int) -> [Float] { [step % 2 == 0 ? Float(options["momentum"]) : 0, 0] }

    func record(
        _ encoder: CommandEncoder, _ memory: OptimizerMemory, state: BufferSlice, result: BufferSlice
    ) throws(VulkanError) {
        try encoder.update(
            Shader.sgd, memory.values, [memory.all(Self.velocity)], gradients: memory.gradients,
            rates: memory.rates, state: state, result: result, label: name)
    }
}
