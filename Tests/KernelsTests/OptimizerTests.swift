// The gradient norm and AdamW: against f64, against torch's own numbers, and in steps that must be skipped.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct OptimizerTests {
    static let counts = [4, 28, 252, 256, 260, 4096, 4100, 20_000]

    /// Everything a step works on, on the device.
    struct Bench {
        let run: FamilyRun
        let count: Int
        let parameters: Tensor, m: Tensor, v: Tensor, gradients: Tensor, scratch: Tensor
        let state: BufferSlice, result: BufferSlice

        init(_ run: FamilyRun, _ initial: [Float]) throws {
            (self.run, count) = (run, initial.count)
            let zeros = [Float](repeating: 0, count: count)
            parameters = try run.output(initial, [count])
            m = try run.output(zeros, [count])
            v = try run.output(zeros, [count])
            gradients = try run.output(zeros, [count])
            scratch = try run.output([CommandEncoder.gradientNormScratchCount(count)])
            state = try run.device.makeStepState()
            result = try run.device.makeStepResult()
        }

        func step(_ values: [Float], _ stepState: StepState, rates: Tensor? = nil) throws -> StepResult {
            try run.device.upload(values, into: gradients.slice)
            try run.device.upload([stepState], into: state)
            try run.run {
                try $0.gradientNorm(into: result, gradients, rates: rates, scratch: scratch, state: state)
                try $0.adamW(
                    updating: parameters, m: m, v: v, gradients: gradients, rates: rates, state: state,
                    result: result)
            }
            return try run.device.download(result, as: StepResult.self)[0]
        }
    }

    static func state(step: Int, rate: Double, decay: Double, clip: Float, epsilon: Float = 1e-8) -> StepState
    {
        var state = StepState()
        state.learningRate = Float(rate)
        state.weightDecay = Float(decay)
        state.maxGradientNorm = clip
        state.set(StepState.adamW(beta1: 0.9, beta2: 0.999, epsilon: Double(epsilon), step: step))
        return state
    }

    @Test(arguments: try FamilyRun.all(), counts)
    func gradientNorm(_ run: FamilyRun, _ count: Int) throws {
        var random = RandomValues(seed: 17)
        let bench = try Bench(run, [Float](repeating: 0, count: count))
        let gradients = random.normal(count, deviation: 0.01)
        let norm = gradients.doubles.reduce(0) { $0 + $1 * $1 }.squareRoot()
        for clip in [Float(0), 0.5 * Float(norm), 2 * Float(norm)] {
            let result = try bench.step(gradients, Self.state(step: 1, rate: 0, decay: 0, clip: clip))
            let factor = clip > 0 ? min(1, Double(clip) / (norm + 1e-6)) : 1
            #expect(
                mismatch(
                    [result.gradientNorm, result.clipFactor], [norm, factor], .float(roundings: 8, scale: 0))
                    == nil)
            #expect(!result.skipped)
        }
    }

    /// Ten million gradients of one size: a float accumulator would stop growing long before the end.
    @Test(arguments: try FamilyRun.ownLimits())
    func gradientNormOfManyParameters(_ run: FamilyRun) throws {
        let count = 10_000_000
        let gradients = try run.input([Float](repeating: 0.01, count: count), [count])
        let scratch = try run.output([CommandEncoder.gradientNormScratchCount(count)])
        let (state, result) = (try run.device.makeStepState(), try run.device.makeStepResult())
        try run.device.upload([StepState()], into: state)
        try run.run { try $0.gradientNorm(into: result, gradients, scratch: scratch, state: state) }
        let norm = try run.device.download(result, as: StepResult.self)[0].gradientNorm
        let expected = Double(Float(0.01)) * Double(count).squareRoot()
        #expect(mismatch([norm], [expected], .float(roundings: 8, scale: 0)) == nil)
    }

    @Test(arguments: try FamilyRun.all(), counts)
    func adamWFollowsTheReference(_ run: FamilyRun, _ count: Int) throws {
        var random = RandomValues(seed: 18)
        let initial = random.normal(count, deviation: 0.5)
        let bench = try Bench(run, initial)
        var reference = ReferenceAdamW(
            initial.doubles, beta1: 0.9, beta2: 0.999, epsilon: Double(Float(1e-8)))
        for step in 1...20 {
            let rate = 1e-3 * Double(step)
            let gradients = random.normal(count, deviation: step % 4 == 0 ? 2 : 0.01)
            let norm = reference.step(
                gradients.doubles, learningRate: Double(Float(rate)), weightDecay: Double(Float(0.01)),
                maxGradientNorm: 1)
            let result = try bench.step(gradients, Self.state(step: step, rate: rate, decay: 0.01, clip: 1))
            #expect(mismatch([result.gradientNorm], [norm], .float(roundings: 8, scale: 0)) == nil)
        }
        #expect(
            mismatch(try run.values(bench.parameters), reference.parameters, .float(roundings: 40)) == nil)
        #expect(mismatch(try run.values(bench.m), reference.m, .float(roundings: 40, scale: 0.1)) == nil)
        #expect(mismatch(try run.values(bench.v), reference.v, .float(roundings: 40, scale: 1e-6)) == nil)
    }

    @Test(arguments: try FamilyRun.all())
    func adamWFollowsTorch(_ run: FamilyRun) throws {
        let bench = try Bench(run, TorchAdamW.initial)
        for (index, gradients) in TorchAdamW.gradients.enumerated() {
            let rate = 1e-2 * (1 - Double(index) / 20)
            let result = try bench.step(
                gradients, Self.state(step: index + 1, rate: rate, decay: 0.1, clip: 1))
            #expect(
                mismatch([result.gradientNorm], [Double(TorchAdamW.norms[index])], .float(roundings: 4))
                    == nil)
            let expected = TorchAdamW.parameters[index].doubles
            #expect(mismatch(try run.values(bench.parameters), expected, .float(roundings: 8)) == nil)
        }
    }

    /// Four parameters at a time share a rate; those of rate 0 neither move nor count in the norm, whatever their gradient.
    @Test(arguments: try FamilyRun.all(), [28, 4100])
    func everyParameterHasARateOfItsOwn(_ run: FamilyRun, _ count: Int) throws {
        var random = RandomValues(seed: 20)
        let (initial, gradients) = (random.normal(count), random.normal(count))
        let multipliers: [Float] = [1, 0, 16, 0.5, 0]
        let rates = (0..<count).map { multipliers[$0 % 5] }
        let bench = try Bench(run, initial)
        let dirty = zip(gradients, rates).enumerated().map { index, pair in
            pair.1 == 0 && index % 7 == 0 ? Float.nan : pair.0
        }
        let trained = zip(gradients, rates).map { $1 == 0 ? 0 : Double($0) }
        let norm = trained.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let result = try bench.step(
            dirty, Self.state(step: 1, rate: 1e-3, decay: 0.5, clip: 1), rates: try run.input(rates, [count]))
        #expect(mismatch([result.gradientNorm], [norm], .float(roundings: 8, scale: 0)) == nil)
        let after = try run.values(bench.parameters)
        for rate in Set(multipliers) {
            var reference = ReferenceAdamW(initial.doubles, beta1: 0.9, beta2: 0.999, epsilon: 1e-8)
            _ = reference.step(
                trained, learningRate: Double(Float(1e-3)) * Double(rate), weightDecay: 0.5,
                maxGradientNorm: 1)
            let group = rates.indices.filter { rates[$0] == rate }
            let expected = group.map { reference.parameters[$0] }
            #expect(mismatch(group.map { after[$0] }, expected, .float(roundings: 40)) == nil)
        }
    }

    @Test(arguments: try FamilyRun.all(), [Float.nan, .infinity, -.infinity, 1e30])
    func aStepWithoutAFiniteNormChangesNothing(_ run: FamilyRun, _ bad: Float) throws {
        var random = RandomValues(seed: 19)
        let bench = try Bench(run, random.normal(4100))
        var gradients = random.normal(4100)
        _ = try bench.step(gradients, Self.state(step: 1, rate: 1e-2, decay: 0.1, clip: 1))
        let before = try [bench.parameters, bench.m, bench.v].map { try run.values($0) }
        gradients[4099] = bad
        let result = try bench.step(gradients, Self.state(step: 2, rate: 1e-2, decay: 0.1, clip: 1))
        #expect(result.skipped)
        #expect(!result.gradientNorm.isFinite)
        #expect(try [bench.parameters, bench.m, bench.v].map { try run.values($0) } == before)
        gradients[4099] = 0
        #expect(try !bench.step(gradients, Self.state(step: 2, rate: 1e-2, decay: 0.1, clip: 1)).skipped)
    }
}
