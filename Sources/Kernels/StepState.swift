// What changes from step to step, in a small device buffer that the host writes before a graph replays, and what a step
// reports back. Both mirror Shaders/lib/step_state.glsl word by word.

import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct StepState: BitwiseCopyable, Sendable {
    private var seedLow: UInt32 = 0
    private var seedHigh: UInt32 = 0
    /// Forward passes so far. Random masks depend on it; a recomputed forward keeps its number.
    package var pass: UInt32 = 0
    /// 1 / number of counted tokens of the step.
    package var lossScale: Float = 1
    /// 0: no clipping.
    package var maxGradientNorm: Float = 0
    package var learningRate: Float = 0
    package var weightDecay: Float = 0
    private var own: (Float, Float, Float, Float, Float, Float, Float, Float, Float, Float, Float, Float) =
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    package init() {}

    package var seed: UInt64 {
        get { UInt64(seedHigh) << 32 | UInt64(seedLow) }
        set {
            seedLow = UInt32(truncatingIfNeeded: newValue)
            seedHigh = UInt32(truncatingIfNeeded: newValue >> 32)
        }
    }

    /// The optimizer's own settings, in the order in which its kernel names them.
    package mutating func set(_ settings: [Float]) {
        withUnsafeMutableBytes(of: &own) { words in
            let words = words.bindMemory(to: Float.self)
            precondition(settings.count <= words.count, "an optimizer has at most \(words.count) settings")
            for (index, value) in settings.enumerated() { words[index] = value }
        }
    }

    /// The settings of adamw.comp at step `step`, which counts from 1. In double: 1 − 0.999 in floats is off by 1e-5.
    package static func adamW(beta1: Double, beta2: Double, epsilon: Double, step: Int) -> [Float] {
        precondition(step >= 1, "AdamW's steps count from 1, this is \(step)")
        return [
            beta1, 1 - beta1, beta2, 1 - beta2, 1 - pow(beta1, Double(step)),
            (1 - pow(beta2, Double(step))).squareRoot(), epsilon,
        ].map(Float.init)
    }
}

package struct StepResult: BitwiseCopyable, Sendable {
    package var lossSum: Float = 0
    /// Of the whole gradient, before clipping.
    package var gradientNorm: Float = 0
    package var clipFactor: Float = 0
    private var skippedWord: UInt32 = 0

    package init() {}

    /// The gradient norm was not finite, so the optimizer changed nothing.
    package var skipped: Bool { skippedWord != 0 }
}

extension Device {
    package func makeStepState() throws(VulkanError) -> BufferSlice {
        try makeBuffer(byteCount: MemoryLayout<StepState>.size, label: "step state").slice()
    }

    package func makeStepResult() throws(VulkanError) -> BufferSlice {
        let slice = try makeBuffer(byteCount: MemoryLayout<StepResult>.size, label: "step result").slice()
        try upload([StepResult()], into: slice)
        return slice
    }
}
