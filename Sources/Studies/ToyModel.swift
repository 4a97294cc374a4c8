// The toy model of Hayou, Ghosh & Yu 2024 (The impact of initialization on LoRA finetuning dynamics):
// f(x) = wₒᵀ·φ((W + B·A)·u), u = φ(Wᵢ·x), φ = ReLU. Only A (R, n) and B (n, R) train, on ½·mean (f(x) − y)² over all examples, by
// AdamW; y is what a B·A of rank 20 in the student's place gives. What is frozen, u and W·u, is computed once, so a step is
// O(examples·n·R).

import Kernels
import LoRAVK
import VulkanCompute

enum Initialization: String, CaseIterable {
    case a = "Init[A]"
    case b = "Init[B]"
}

struct ToyRun {
    /// The size √(mean z²) of an entry of the features z_A = A·u and z_B = B·A·u, before the step.
    struct Features {
        var step: Int
        var zA: Double
        var zB: Double
    }

    /// Of every step, the first before anything has changed.
    var losses: [Double] = []
    var features: [Features] = []
    /// Stopped early: the loss was no number any more, or very large.
    var hasDiverged = false
}

/// One width and seed; not thread-safe.
final class ToyModel {
    private static let (inputs, examples, rank, teacherRank) = (5, 512, 4, 20)
    private static let hopeless = 1e3  // times the first loss

    private let width: Int
    private let seed: UInt64
    private let device: Device
    private let h: Tensor  // z_A (examples, R)
    private let parameters: Tensor, m: Tensor, v: Tensor  // flat, A before B
    private let loraB: Tensor  // in `parameters`
    private let state: BufferSlice, result: BufferSlice
    private let forward: CommandGraph, update: CommandGraph

    init(_ device: Device, width: Int, seed: UInt64) throws {
        (self.device, self.width, self.seed) = (device, width, seed)
        var random = RandomNumbers(seed: seed)
        func normal(_ rows: Int, _ columns: Int, variance: Double) -> [Float] {
            (0..<rows * columns).map { _ in Float(random.normal() * variance.squareRoot()) }
        }
        func make(_ shape: Int..., label: String) throws(VulkanError) -> Tensor {
            try device.makeTensor(shape, label: label)
        }
        let (inputs, examples, rank) = (Self.inputs, Self.examples, Self.rank)
        let x = normal(examples, inputs, variance: 1)
        let wIn = normal(width, inputs, variance: 1 / Double(inputs))
        let u = try device.makeTensor(Self.features(x, wIn, width: width), [examples, width], label: "u")
        let wOut = try device.makeTensor(
            normal(width, 1, variance: 1 / Double(width)), [width], label: "wₒ")
        let w = try device.makeTensor(
            normal(width, width, variance: 1 / Double(width)), [width, width], label: "W")
        let teacherA = try device.makeTensor(
            normal(Self.teacherRank, width, variance: 1 / Double(width)), [Self.teacherRank, width])
        let teacherB = try device.makeTensor(
            normal(width, Self.teacherRank, variance: 1 / Double(Self.teacherRank)),
            [width, Self.teacherRank])

        let base = try make(examples, width, label: "W·u")
        let z = try make(examples, width, label: "z")  // its gradient too
        let (h, g) = (try make(examples, rank, label: "h"), try make(examples, rank, label: "g"))
        let (targets, outputs) = (try make(examples, label: "y"), try make(examples, label: "f"))
        let losses = try make(examples, label: "losses")
        let count = 2 * rank * width
        let (parameters, gradients) = (try make(count, label: "A, B"), try make(count, label: "gradients"))
        let (m, v) = (try make(count, label: "m"), try make(count, label: "v"))
        let scratch = try make(CommandEncoder.gradientNormScratchCount(count), label: "norm")
        let (state, result) = (try device.makeStepState(), try device.makeStepResult())
        func matrices(_ flat: Tensor) -> (a: Tensor, b: Tensor) {
            let bytes = rank * width * 4
            return (
                Tensor(flat.slice.slice(0, byteCount: bytes), shape: [rank, width]),
                Tensor(flat.slice.slice(bytes, byteCount: bytes), shape: [width, rank])
            )
        }
        let (loraA, loraB) = matrices(parameters)
        let (dA, dB) = matrices(gradients)
        func readout(_ encoder: CommandEncoder, outputs: Tensor) throws(VulkanError) {
            try encoder.reluReadout(
                into: z, outputs: outputs, losses: losses, z, weight: wOut, targets: targets,
                scale: 1 / Float(examples))
        }

        try device.run { encoder throws(VulkanError) in
            let teacherH = try make(examples, Self.teacherRank, label: "teacher's h")
            try encoder.matmul(.nt, into: base, u, w)
            try encoder.copy(into: z.slice, from: base.slice)
            try encoder.matmul(.nt, into: teacherH, u, teacherA)
            try encoder.matmul(.nt, addingTo: z, teacherH, teacherB)
            try encoder.fill(outputs.slice)
            try readout(encoder, outputs: outputs)
            try encoder.copy(into: targets.slice, from: outputs.slice)
        }
        var encoder = try CommandEncoder(device)
        try encoder.loraDown(into: h, u, loraA: loraA, scaling: 1)
        try encoder.copy(into: z.slice, from: base.slice)
        try encoder.matmul(.nt, addingTo: z, h, loraB)
        try readout(encoder, outputs: outputs)
        try encoder.lossSum(into: result, losses)
        forward = try encoder.finish()
        encoder = try CommandEncoder(device)
        try encoder.fill(gradients.slice)
        try encoder.loraGradientB(addingTo: dB, dy: z, h: h)
        try encoder.loraDownBackward(into: g, z, loraB: loraB, scaling: 1)
        try encoder.loraGradientA(addingTo: dA, g: g, x: u)
        try encoder.gradientNorm(into: result, gradients, scratch: scratch, state: state)
        try encoder.adamW(
            updating: parameters, m: m, v: v, gradients: gradients, state: state, result: result)
        update = try encoder.finish()
        (self.h, self.loraB, self.parameters, self.m, self.v) = (h, loraB, parameters, m, v)
        (self.state, self.result) = (state, result)
    }

    /// Trains from the start; features are measured at every `measured`-th step.
    func train(
        _ initialization: Initialization, learningRate: Double, steps: Int, measuredEvery interval: Int
    ) throws -> ToyRun {
        try start(initialization)
        var settings = StepState()
        settings.learningRate = Float(learningRate)
        var run = ToyRun()
        for step in 1...steps {
            try forward.run()
            let sum = try device.download(result, as: StepResult.self)[0].lossSum
            let loss = Double(sum) / Double(Self.examples)
            guard loss < Self.hopeless * (run.losses.first ?? .infinity) else {
                run.hasDiverged = true
                break
            }
            run.losses.append(loss)
            if step == 1 || step % interval == 0 { run.features.append(try features(step)) }
            settings.set(StepState.adamW(beta1: 0.9, beta2: 0.999, epsilon: 1e-8, step: step))
            try device.upload([settings], into: state)
            try update.run()
        }
        return run
    }

    /// The variances Θ(1/n) of A and Θ(1/R) of B that the paper names; the other matrix is zero.
    private func start(_ initialization: Initialization) throws {
        var random = RandomNumbers(seed: seed &+ 1 << 32)
        let count = Self.rank * width
        let variance = 1 / Double(initialization == .a ? width : Self.rank)
        let values = (0..<count).map { _ in Float(random.normal() * variance.squareRoot()) }
        let zeros = [Float](repeating: 0, count: count)
        try device.upload(initialization == .a ? values + zeros : zeros + values, into: parameters.slice)
        for moments in [m, v] { try device.upload(zeros + zeros, into: moments.slice) }
    }

    /// Σ z_B² = Σ hᵀ·(BᵀB)·h.
    private func features(_ step: Int) throws -> ToyRun.Features {
        let (h, b, rank) = (try device.values(h), try device.values(loraB), Self.rank)
        var gram = [Double](repeating: 0, count: rank * rank)
        for row in stride(from: 0, to: b.count, by: rank) {
            for i in 0..<rank {
                for j in 0..<rank { gram[i * rank + j] += Double(b[row + i]) * Double(b[row + j]) }
            }
        }
        var (squaresA, squaresB) = (0.0, 0.0)
        for row in stride(from: 0, to: h.count, by: rank) {
            for i in 0..<rank {
                squaresA += Double(h[row + i]) * Double(h[row + i])
                for j in 0..<rank { squaresB += Double(h[row + i]) * gram[i * rank + j] * Double(h[row + j]) }
            }
        }
        return ToyRun.Features(
            step: step, zA: (squaresA / Double(h.count)).squareRoot(),
            zB: (max(0, squaresB) / Double(Self.examples * width)).squareRoot())
    }

    /// φ(Wᵢ·x) (examples, width).
    private static func features(_ x: [Float], _ wIn: [Float], width: Int) -> [Float] {
        var u: [Float] = []
        u.reserveCapacity(examples * width)
        for row in 0..<examples {
            for feature in 0..<width {
                var sum: Float = 0
                for i in 0..<inputs { sum += wIn[feature * inputs + i] * x[row * inputs + i] }
                u.append(max(0, sum))
            }
        }
        return u
    }
}
