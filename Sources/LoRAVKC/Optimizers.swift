// AdamW of loravk.h over a set of tensors, and clipping of a set of gradients. Gradients are gathered into one flat tensor,
// whose norm one kernel finds; the update of each parameter reads its part.

import CLoRAVK
import Kernels
import LoRAVK
import VulkanCompute

/// Tensors side by side in one, each beginning where it may be bound.
private struct FlatLayout {
    let offsets: [Int]
    let count: Int

    init(_ tensors: [TensorObject]) {
        var offsets: [Int] = []
        var count = 0
        for tensor in tensors {
            offsets.append(count)
            count += (tensor.flat.count + 63) / 64 * 64
        }
        (self.offsets, self.count) = (offsets, count)
    }

    /// The place of a tensor in the flat one.
    func part(_ flat: Tensor, _ index: Int, of tensor: TensorObject) -> Tensor {
        Tensor(
            flat.slice.slice(offsets[index] * 4, byteCount: tensor.storage.byteCount),
            shape: [tensor.flat.count])
    }
}

/// The global norm of a set of gradients and the factor that clips it.
private final class GradientNorm {
    let state: BufferSlice
    let result: BufferSlice
    let gathered: Tensor
    private let layout: FlatLayout
    private let gradients: [TensorObject]
    private let scratch: Tensor

    init(_ gradients: [TensorObject], _ layout: FlatLayout, _ device: Device) throws {
        self.gradients = gradients
        self.layout = layout
        state = try device.makeStepState()
        result = try device.makeStepResult()
        let gathered = try device.makeTensor([layout.count], label: "gradients")
        self.gathered = gathered
        scratch = try device.makeTensor(
            [CommandEncoder.gradientNormScratchCount(layout.count)], label: "gradient norm")
        try device.run { encoder throws(VulkanError) in try encoder.fill(gathered.slice) }
    }

    func record(_ encoder: CommandEncoder) throws(VulkanError) {
        for (index, gradient) in gradients.enumerated() {
            try encoder.copy(into: part(index).slice, from: gradient.storage)
        }
        try encoder.gradientNorm(into: result, gathered, scratch: scratch, state: state)
    }

    func part(_ index: Int) -> Tensor { layout.part(gathered, index, of: gradients[index]) }

    func read(_ device: Device) throws -> StepResult { try device.download(result, as: StepResult.self)[0] }
}

private func floatTensors(_ handles: UnsafePointer<OpaquePointer?>?, _ count: Int, _ name: String) throws
    -> [TensorObject]
{
    guard count > 0 else { throw APIError.argument("\(name) has no tensor; give at least one") }
    let tensors = try array(handles, count, name).enumerated().map { index, handle in
        let tensor = try tensorObject(handle, "\(name)[\(index)]")
        try tensor.require(.f32, "\(name)[\(index)]")
        return tensor
    }
    guard tensors.allSatisfy({ $0.context === tensors[0].context }) else {
        throw APIError.argument("\(name) belong to different contexts")
    }
    guard Set(tensors.map(ObjectIdentifier.init)).count == tensors.count else {
        throw APIError.argument("\(name) holds a tensor twice")
    }
    return tensors
}

private func divergence(_ norm: Float) -> APIError {
    APIError(
        LORAVK_ERROR_DIVERGED,
        "the gradient norm is \(norm); nothing was changed. Try a smaller learning rate, a warm-up, or clipping at 1"
    )
}

@c @implementation public func loravk_clip_gradient_norm(
    _ gradients: UnsafePointer<OpaquePointer?>!, _ count: Int, _ maxNorm: Double,
    _ norm: UnsafeMutablePointer<Double>!
) -> loravk_status {
    call {
        let gradients = try floatTensors(gradients, count, "gradients")
        guard maxNorm >= 0, maxNorm.isFinite else {
            throw APIError.argument("max_norm is \(maxNorm); it must be positive, or 0 for no clipping")
        }
        let context = gradients[0].context
        try context.locked {
            try context.requireNoRecording("loravk_clip_gradient_norm")
            let work = try GradientNorm(gradients, FlatLayout(gradients), context.device)
            var state = StepState()
            state.maxGradientNorm = Float(maxNorm)
            try context.device.upload([state], into: work.state)
            try context.device.run { encoder throws(VulkanError) in try work.record(encoder) }
            let result = try work.read(context.device)
            guard !result.skipped else { throw divergence(result.gradientNorm) }
            if result.clipFactor < 1 {
                try context.device.run { encoder throws(VulkanError) in
                    for gradient in gradients {
                        try encoder.scale(into: gradient.flat, gradient.flat, by: result.clipFactor)
                    }
                }
            }
            norm?.pointee = Double(result.gradientNorm)
        }
    }
}

/// Used inside its context's lock.
private final class OptimizerObject: HandleObject, @unchecked Sendable {
    static let kind = "an optimizer"
    let context: Context
    private let config: OptimizerConfig
    private let gradients: [TensorObject]
    private let norm: GradientNorm
    private let update: CommandGraph
    private var step = 0

    init(_ config: OptimizerConfig, _ parameters: [TensorObject], _ gradients: [TensorObject]) throws {
        let device = parameters[0].context.device
        let layout = FlatLayout(parameters)
        let norm = try GradientNorm(gradients, layout, device)
        let m = try device.makeTensor([layout.count], label: "AdamW averages")
        let v = try device.makeTensor([layout.count], label: "AdamW squares")
        try device.run { encoder throws(VulkanError) in
            try encoder.fill(m.slice)
            try encoder.fill(v.slice)
        }
        let encoder = try CommandEncoder(device)
        try norm.record(encoder)
        for (index, parameter) in parameters.enumerated() {
            try encoder.adamW(
                updating: parameter.flat, m: layout.part(m, index, of: parameter),
                v: layout.part(v, index, of: parameter), gradients: norm.part(index), state: norm.state,
                result: norm.result)
        }
        update = try encoder.finish()
        context = parameters[0].context
        (self.config, self.gradients, self.norm) = (config, gradients, norm)
    }

    func apply(learningRate: Double) throws -> Double {
        var state = StepState()
        state.learningRate = Float(learningRate)
        state.weightDecay = Float(config.weightDecay)
        state.maxGradientNorm = Float(config.maxGradientNorm ?? 0)
        state.set(config.optimizer.settings(step: step + 1))
        try context.device.upload([state], into: norm.state)
        try update.run()
        let result = try norm.read(context.device)
        guard !result.skipped else { throw divergence(result.gradientNorm) }
        step += 1
        return Double(result.gradientNorm)
    }

    func zeroGradients() throws {
        let gradients = gradients
        try context.device.run { encoder throws(VulkanError) in
            for gradient in gradients { try encoder.fill(gradient.storage) }
        }
    }
}

private func optimizer(_ handle: OpaquePointer?) throws -> OptimizerObject {
    try Handles.object(handle, OptimizerObject.self, "optimizer")
}

@c @implementation public func loravk_optimizer_create(
    _ config: UnsafePointer<loravk_optimizer_config>!, _ parameters: UnsafePointer<OpaquePointer?>!,
    _ gradients: UnsafePointer<OpaquePointer?>!, _ count: Int,
    _ optimizer: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let output = try Output(optimizer, "optimizer")
        let settings = try read(config, defaults: .defaults)
        let adamW = try OptimizerConfig(
            AdamW(beta1: settings.beta1, beta2: settings.beta2, epsilon: settings.epsilon),
            weightDecay: settings.weight_decay, maxGradNorm: settings.max_grad_norm)
        let parameters = try floatTensors(parameters, count, "parameters")
        let gradients = try floatTensors(gradients, count, "gradients")
        for (index, (parameter, gradient)) in zip(parameters, gradients).enumerated() {
            guard parameter.shape == gradient.shape, parameter.context === gradient.context else {
                throw APIError.argument(
                    "parameters[\(index)] has the shape \(parameter.shape) and its gradient \(gradient.shape); "
                        + "they must be equal, and on one context")
            }
            try parameter.requireDistinct(from: gradients.map { ($0, "a gradient") }, "parameters[\(index)]")
        }
        let context = parameters[0].context
        output.give(try context.locked { try OptimizerObject(adamW, parameters, gradients) })
    }
}

@c @implementation public func loravk_optimizer_step(
    _ handle: OpaquePointer!, _ learningRate: Double, _ gradNorm: UnsafeMutablePointer<Double>!
) -> loravk_status {
    call {
        let optimizer = try optimizer(handle)
        try checkLearningRate(learningRate)
        try optimizer.context.locked {
            try optimizer.context.requireNoRecording("loravk_optimizer_step")
            let norm = try optimizer.apply(learningRate: learningRate)
            gradNorm?.pointee = norm
        }
    }
}

@c @implementation public func loravk_optimizer_zero_gradients(_ handle: OpaquePointer!) -> loravk_status {
    call {
        let optimizer = try optimizer(handle)
        try optimizer.context.locked {
            try optimizer.context.requireNoRecording("loravk_optimizer_zero_gradients")
            try optimizer.zeroGradients()
        }
    }
}

@c @implementation public func loravk_optimizer_release(_ optimizer: OpaquePointer!) {
    Handles.release(optimizer, OptimizerObject.self)
}

extension OptimizerConfig {
    init(_ optimizer: any Optimizer, weightDecay: Double, maxGradNorm: Double) throws {
        self.init()
        (self.optimizer, self.weightDecay) = (optimizer, weightDecay)
        maxGradientNorm = maxGradNorm == 0 ? nil : maxGradNorm
        try validate()
    }
}

func checkLearningRate(_ rate: Double) throws {
    guard rate > 0, Float(rate).isFinite else {
        throw APIError.argument("the learning rate is \(rate); it must be positive (1e-4 to 1e-3 are usual)")
    }
}
