// AdamW's settings and its state on the device. Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization.

import Kernels
import VulkanCompute

package struct AdamWConfig: Sendable, Equatable {
    package var weightDecay = Defaults.weightDecay
    package var beta1 = Defaults.beta1
    package var beta2 = Defaults.beta2
    package var epsilon = Defaults.epsilon
    /// Gradients are scaled down to this global norm; nil: never.
    package var maxGradientNorm: Double?

    package init() {}

    var settings: Settings {
        var settings = Settings()
        settings.add("weight decay", weightDecay)
        settings.add("beta1", beta1)
        settings.add("beta2", beta2)
        settings.add("epsilon", epsilon)
        if let maxGradientNorm {
            settings.add("largest gradient norm", maxGradientNorm)
        } else {
            settings.add("largest gradient norm", "none")
        }
        return settings
    }

    package func validate() throws(ConfigError) {
        func require(_ condition: Bool, _ text: String) throws(ConfigError) {
            if !condition { throw ConfigError(text) }
        }
        try require(
            weightDecay >= 0 && weightDecay < 1, "the weight decay is \(weightDecay); it must be 0 to 1")
        try require(beta1 >= 0 && beta1 < 1, "AdamW's beta1 is \(beta1); it must be at least 0 and below 1")
        try require(beta2 >= 0 && beta2 < 1, "AdamW's beta2 is \(beta2); it must be at least 0 and below 1")
        try require(epsilon > 0 && epsilon.isFinite, "AdamW's epsilon is \(epsilon); it must be positive")
        if let norm = maxGradientNorm {
            try require(
                norm > 0 && norm.isFinite, "the gradient norm to clip at is \(norm); it must be positive")
        }
    }
}

/// Moving averages of the gradient and of its square, for all parameters of an adapter.
final class AdamW {
    let config: AdamWConfig
    private(set) var step = 0
    let m: Tensor
    let v: Tensor
    private let scratch: Tensor
    /// The parameters before the last update.
    let previous: Tensor
    private let adapter: Adapter

    init(_ config: AdamWConfig, _ adapter: Adapter) throws(VulkanError) {
        self.config = config
        self.adapter = adapter
        let count = adapter.parameters.count
        m = try adapter.device.makeTensor([count], label: "AdamW averages")
        v = try adapter.device.makeTensor([count], label: "AdamW squares")
        scratch = try adapter.device.makeTensor(
            [CommandEncoder.gradientNormScratchCount(count)], label: "gradient norm")
        previous = try adapter.device.makeTensor([count], label: "parameters before the step")
        let (m, v, previous) = (m, v, previous)
        try adapter.device.run { encoder throws(VulkanError) in
            try encoder.fill(m.slice)
            try encoder.fill(v.slice)
            try encoder.copy(into: previous.slice, from: adapter.parameters.slice)
        }
    }

    /// Writes the next step's settings into the state that the recorded update reads.
    func prepare(_ state: inout StepState, learningRate: Double) {
        step += 1
        adapter.parametersChanged()
        state.learningRate = Float(learningRate)
        state.weightDecay = Float(config.weightDecay)
        state.epsilon = Float(config.epsilon)
        state.maxGradientNorm = Float(config.maxGradientNorm ?? 0)
        state.setMoments(beta1: config.beta1, beta2: config.beta2, step: step)
    }

    /// A step that the device skipped does not count.
    func undo() { step -= 1 }

    /// Goes on as after `step` steps, with the parameters and averages that are there now.
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
        let rates = adapter.learningRates
        try encoder.gradientNorm(
            into: result, adapter.gradients, rates: rates, scratch: scratch, state: state)
        try encoder.adamW(
            updating: adapter.parameters, m: m, v: v, gradients: adapter.gradients, rates: rates,
            state: state,
            result: result)
    }
}
