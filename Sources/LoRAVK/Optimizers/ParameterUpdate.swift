// A step of whichever optimizer on the parameters of an adapter: the gradients' norm and clipping, the order to skip a step that is
// not finite, and the parameters before the step.

import Kernels
import VulkanCompute

final class ParameterUpdate {
    let config: OptimizerConfig
    private(set) var step = 0
    let memory: OptimizerMemory
    /// The parameters before the last update.
    let previous: Tensor
    private let scratch: Tensor
    private let adapter: Adapter

    var optimizer: any Optimizer { config.optimizer }

    init(_ config: OptimizerConfig, _ adapter: Adapter) throws {
        try config.validate()
        let parameters = adapter.namedParameters.map(\.parameter)
        try config.optimizer.validate(parameters.map(\.shape), adapter.device.capabilities)
        self.config = config
        self.adapter = adapter
        let count = adapter.parameters.count
        memory = try OptimizerMemory(
            config.optimizer, parameters, values: adapter.parameters, gradients: adapter.gradients,
            rates: adapter.learningRates, on: adapter.device)
        scratch = try adapter.device.makeTensor(
            [CommandEncoder.gradientNormScratchCount(count)], label: "gradient norm")
        let previous = try adapter.device.makeTensor([count], label: "parameters before the step")
        self.previous = previous
        try adapter.device.run { encoder throws(VulkanError) in
            try encoder.copy(into: previous.slice, from: adapter.parameters.slice)
        }
    }

    /// Writes the next step's settings into the state that the recorded update reads.
    func prepare(_ state: inout StepState, learningRate: Double) {
        step += 1
        adapter.parametersChanged()
        state.learningRate = Float(learningRate)
        state.weightDecay = Float(config.weightDecay)
        state.maxGradientNorm = Float(config.maxGradientNorm ?? 0)
        state.set(optimizer.settings(step: step))
    }

    /// A step that the device skipped does not count.
    func undo() { step -= 1 }

    /// Goes on as after `step` steps, with the parameters and states that are there now.
    func resume(after step: Int) {
        self.step = step
        adapter.parametersChanged()
    }

    func restoreLastGoodParameters() throws(VulkanError) {
        adapter.parametersChanged()
        try adapter.device.run { encoder throws(VulkanError) in
            try encoder.copy(into: adapter.parameters.slice, from: previous.slice)
        }
    }

    func record(_ encoder: CommandEncoder, state: BufferSlice, result: BufferSlice) throws(VulkanError) {
        try encoder.copy(into: previous.slice, from: adapter.parameters.slice)
        try adapter.transformGradients(encoder)
        try encoder.gradientNorm(
            into: result, adapter.gradients, rates: adapter.learningRates, scratch: scratch, state: state)
        try optimizer.record(encoder, memory, state: state, result: result)
    }
}
