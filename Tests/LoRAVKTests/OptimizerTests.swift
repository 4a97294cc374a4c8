// Every optimizer of the registry: against f64 on ragged matrices in every family, with rates of single parameters, in steps that
// must be skipped, saved and restored; and how it is written.

import Checkpoints
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct OptimizerTests {
    /// Ragged, padded and vector parameters.
    static let shapes: [ParameterShape] = [
        ParameterShape(.loraA, rows: 3, columns: 20, storedRows: 8),
        ParameterShape(.loraB, rows: 37, columns: 3, storedColumns: 8),
        ParameterShape(.loraA, rows: 16, columns: 300), ParameterShape(.loraB, rows: 129, columns: 16),
        ParameterShape(.vector, count: 10), ParameterShape(.loraA, rows: 1, columns: 64, storedRows: 8),
        ParameterShape(.loraB, rows: 64, columns: 1, storedColumns: 8),
        ParameterShape(.vector, count: 1),
        ParameterShape(.loraB, rows: 520, columns: 8),
    ]

    /// As users write them, with other options than the defaults too.
    static let texts =
        Registries.optimizers.names + [
            "adamw:beta1=0.8,beta2=0.95,epsilon=1e-6", "lion:beta1=0.95,beta2=0.98", "sgd:momentum=0",
            "sgd:momentum=0.95,nesterov=1", "adafactor:decay=0.5,limit=0.5",
            "muon:nesterov=0,rms=0,momentum=0.8",
        ]

    struct Bench {
        let run: FamilyRun
        let optimizer: any Optimizer
        let memory: OptimizerMemory
        let values: Tensor
        private let gradients: Tensor, rates: Tensor?, scratch: Tensor
        private let state: BufferSlice, result: BufferSlice

        init(_ run: FamilyRun, _ text: String, _ initial: [[Float]], rates: [[Float]]? = nil) throws {
            (self.run, optimizer) = (run, try Registries.optimizers.named(text))
            let values = try run.output(Bench.flat(initial), [Bench.count])
            self.values = values
            let gradients = try run.output([Float](repeating: 0, count: Bench.count), [Bench.count])
            self.gradients = gradients
            self.rates = try rates.map { try run.input(Bench.flat($0), [Bench.count]) }
            scratch = try run.output([CommandEncoder.gradientNormScratchCount(Bench.count)])
            (state, result) = (try run.device.makeStepState(), try run.device.makeStepResult())
            let parameters = zip(OptimizerTests.shapes, Bench.places).map { shape, place in
                func part(_ flat: Tensor) -> Tensor {
                    let size = [shape.storedRows, shape.storedColumns]
                    return Tensor(
                        flat.slice.slice(place * 4, byteCount: size[0] * size[1] * 4), shape: size)
                }
                return AdapterParameter(
                    shape: shape, value: part(values), gradient: part(gradients), learningRate: 1)
            }
            try optimizer.validate(OptimizerTests.shapes, run.device.capabilities)
            memory = try OptimizerMemory(
                optimizer, parameters, values: values, gradients: gradients, rates: self.rates,
                on: run.device)
        }

        static let places = OptimizerTests.shapes.reduce(into: [0]) {
            $0.append($0[$0.count - 1] + $1.stride)
        }
        static let count = places[OptimizerTests.shapes.count]

        static func flat(_ parts: [[Float]]) -> [Float] {
            var flat = [Float](repeating: 0, count: count)
            for (index, part) in parts.enumerated() {
                let padded = OptimizerTests.shapes[index].padded(part)
                flat.replaceSubrange(places[index]..<places[index] + padded.count, with: padded)
            }
            return flat
        }

        func parts(_ flat: [Float]) -> [[Float]] {
            OptimizerTests.shapes.enumerated().map { index, shape in
                let start = Self.places[index]
                return shape.unpadded(
                    Array(flat[start..<start + shape.storedRows * shape.storedColumns]))
            }
        }

        func step(_ number: Int, _ values: [[Float]], rate: Double, decay: Double, clip: Double) throws
            -> StepResult
        {
            try run.device.upload(Bench.flat(values), into: gradients.slice)
            var step = StepState()
            (step.learningRate, step.weightDecay) = (Float(rate), Float(decay))
            step.maxGradientNorm = Float(clip)
            step.set(optimizer.settings(step: number))
            try run.device.upload([step], into: state)
            try run.run {
                try $0.gradientNorm(into: result, gradients, rates: rates, scratch: scratch, state: state)
                try optimizer.record($0, memory, state: state, result: result)
            }
            return try run.device.download(result, as: StepResult.self)[0]
        }

        /// Everything that a later step depends on, word by word.
        var words: [[UInt32]] {
            get throws {
                let names = Set(
                    OptimizerTests.shapes.flatMap { optimizer.states(of: $0) }.filter(\.isSaved).map(\.name))
                return try [run.values(values).map(\.bitPattern)]
                    + names.sorted().map { name in
                        try run.device.download(memory.all(name).slice, as: UInt32.self)
                    }
            }
        }
    }

    private static func random(_ random: inout RandomValues, _ deviation: Float) -> [[Float]] {
        shapes.map { random.normal($0.count, deviation: deviation) }
    }

    private static func reference(_ optimizer: any Optimizer) throws -> [any ReferenceOptimizer] {
        let type = try #require(
            ReferenceOptimizers.all[optimizer.name], "there is no reference of \(optimizer.name)")
        let options = Dictionary(uniqueKeysWithValues: optimizer.options.map { ($0.name, $0.value) })
        return shapes.map { shape in
            type.init(
                ReferenceMatrix(
                    rows: shape.rows, columns: shape.columns, isVector: !shape.isMatrix,
                    pitch: shape.storedColumns), options: options)
        }
    }

    /// Half way between two codes of 8 bits, the last bit of a float decides for one.
    private static func tolerance(_ optimizer: any Optimizer) -> Tolerance {
        optimizer is AdamW8bit
            ? Tolerance(absolute: 1e-3, relative: 0) : Tolerance(absolute: 1e-5, relative: 1e-5)
    }

    @Test(arguments: try FamilyRun.all(), texts)
    func followsItsReference(_ run: FamilyRun, _ text: String) throws {
        for hasRates in [false, true] {
            var random = RandomValues(seed: 21)
            let initial = Self.random(&random, 0.5)
            let choice: [Float] = [1, 16, 0.5, 0]
            let multipliers = Self.shapes.enumerated().map { index, shape in
                // A whole matrix at one rate, but for frozen ranks at the end.
                (0..<shape.count).map { i -> Float in
                    guard hasRates else { return 1 }
                    let isFrozen =
                        shape.part == .loraA ? i / shape.columns >= 12 : i % shape.columns >= 12
                    return isFrozen && shape.savedShape.count == 2 ? 0 : choice[index % 4]
                }
            }
            let bench = try Bench(run, text, initial, rates: hasRates ? multipliers : nil)
            var references = try Self.reference(bench.optimizer)
            var expected = initial.map(\.doubles)
            for number in 1...10 {
                let rate = Double(Float(1e-3 * (1 + Double(number) / 10)))
                let gradients = Self.random(&random, number % 4 == 0 ? 2 : 0.01)
                let masked = zip(gradients, multipliers).map { g, m in
                    zip(g, m).map { $1 == 0 ? 0 : Double($0) }
                }
                let norm = masked.joined().reduce(0) { $0 + $1 * $1 }.squareRoot()
                let clip = min(1, 1 / (norm + 1e-6))
                for index in expected.indices {
                    var step = ReferenceStep(
                        expected[index], gradients: masked[index].map { $0 * clip },
                        rates: multipliers[index].map { rate * Double($0) },
                        weightDecay: Double(Float(0.01)), step: number)
                    references[index].apply(&step)
                    expected[index] = step.parameters
                }
                // What is frozen may have any gradient.
                let dirty = zip(gradients, multipliers).map { g, m in
                    zip(g, m).enumerated().map { $1.1 == 0 && $0 % 3 == 0 ? Float.nan : $1.0 }
                }
                let result = try bench.step(number, dirty, rate: rate, decay: 0.01, clip: 1)
                #expect(mismatch([result.gradientNorm], [norm], .float(roundings: 8, scale: 0)) == nil)
            }
            let flat = try run.values(bench.values)
            for (index, part) in bench.parts(flat).enumerated() {
                let wrong = mismatch(part, expected[index], Self.tolerance(bench.optimizer))
                #expect(wrong == nil, "\(text), \(Self.shapes[index].savedShape), rates \(hasRates)")
                let far = zip(part, expected[index]).count { abs(Double($0) - $1) > 1e-5 * max(1, abs($1)) }
                #expect(far <= 1 + part.count / 500, "\(far) of \(part.count) are further than 1e-5")
            }
            // Padding stays zero, which products of a whole tile rely on.
            #expect(zip(flat, Bench.flat(bench.parts(flat))).allSatisfy { $0 == $1 })
        }
    }

    @Test(arguments: try FamilyRun.all(), Registries.optimizers.names)
    func aStepWithoutAFiniteNormChangesNothing(_ run: FamilyRun, _ name: String) throws {
        var random = RandomValues(seed: 22)
        let bench = try Bench(run, name, Self.random(&random, 0.5))
        _ = try bench.step(1, Self.random(&random, 1), rate: 1e-2, decay: 0.1, clip: 1)
        let before = try bench.words
        for bad in [Float.nan, .infinity, 1e30] {
            var gradients = Self.random(&random, 1)
            gradients[3][77] = bad
            #expect(try bench.step(2, gradients, rate: 1e-2, decay: 0.1, clip: 1).skipped)
            #expect(try bench.words == before)
        }
        #expect(try !bench.step(2, Self.random(&random, 1), rate: 1e-2, decay: 0.1, clip: 1).skipped)
        #expect(try bench.words != before)
    }

    /// B is zero at the start, so A's first gradient is.
    @Test(arguments: Registries.optimizers.names)
    func zerosAsGradientsKeepEverythingFinite(_ name: String) throws {
        let run = try #require(FamilyRun.ownLimits().first)
        var random = RandomValues(seed: 23)
        let initial = Self.random(&random, 0.5)
        let bench = try Bench(run, name, initial)
        let zeros = initial.map { $0.map { _ in Float(0) } }
        _ = try bench.step(1, zeros, rate: 1e-2, decay: 0, clip: 1)
        #expect(try bench.parts(run.values(bench.values)) == initial)
        _ = try bench.step(2, Self.random(&random, 1), rate: 1e-2, decay: 0, clip: 1)
        #expect(try run.values(bench.values).allSatisfy(\.isFinite))
    }

    // MARK: A trainer

    private static func trainer(
        _ model: Transformer, _ text: String, method: String = "lora", seed: UInt64 = 7
    ) throws -> Trainer {
        var optimizer = OptimizerConfig()
        optimizer.optimizer = try Registries.optimizers.named(text)
        (optimizer.weightDecay, optimizer.maxGradientNorm) = (0.1, 1)
        var config = LoRAConfig()
        (config.rank, config.method) = (3, try Registries.methods.named(method))
        return try Trainer(model, try Adapter.create(for: model, config), optimizer: optimizer, seed: seed)
    }

    private func losses(_ trainer: Trainer, steps: Int) throws -> [Double] {
        try (0..<steps).map { _ in
            try trainer.step([examples([9, 5], seed: UInt64(trainer.step % 2))], learningRate: 3e-3).loss
        }
    }

    @Test(arguments: Registries.optimizers.names, ["lora", "dora", "lora+"])
    func aTrainerLearnsAndGoesOnToTheSameBits(_ name: String, _ method: String) throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            let path = "\(folder)/state"
            let first = try Self.trainer(model, name, method: method)
            let start = try losses(first, steps: 4)
            try first.saveState(to: path)
            let expected = try losses(first, steps: 4)
            #expect(expected[2] < start[0] && expected[3] < start[1])
            let second = try Self.trainer(model, name, method: method, seed: 8)
            _ = try losses(second, steps: 1)
            try second.loadState(from: path)
            #expect(try losses(second, steps: 4) == expected)
            #expect(try second.adapter.all() == first.adapter.all())
        }
    }

    @Test func eightBitsTakeAQuarter() throws {
        let model = try TinyModel(hidden: 64, intermediate: 256).load(TestDevices.main)
        func bytes(_ name: String) throws -> Int {
            let adapter = try Adapter.random(for: model, rank: 16)
            let optimizer = try Registries.optimizers.named(name)
            return adapter.layers.flatMap(\.parameters).flatMap { parameter in
                optimizer.states(of: parameter.shape).map { state in
                    state.deviceShape(parameter.shape).reduce(4, *)
                }
            }.reduce(0, +)
        }
        #expect(try Double(bytes("adamw8bit")) <= 0.27 * Double(bytes("adamw")))
    }

    @Test func aStateOfAnotherOptimizerIsRefused() throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            let path = "\(folder)/state"
            try Self.trainer(model, "lion").saveState(to: path)
            let trainer = try Self.trainer(model, "adamw")
            let text = errorText { try trainer.loadState(from: path) }
            #expect(
                text
                    == "\(path): is the state of the optimizer 'lion', and this trainer's is 'adamw'; go on with the "
                    + "optimizer that it was saved with")
        }
    }

    // MARK: Names

    @Test func optionsAreRead() throws {
        let lion = try Registries.optimizers.named("lion:beta2=0.98")
        #expect(lion.description == "lion:beta1=0.9,beta2=0.98")
        #expect(
            errorText { _ = try Registries.optimizers.named("adam") }?.contains(
                "there is no optimizer 'adam'") == true)
        #expect(
            errorText { _ = try Registries.optimizers.named("sgd:speed=1") }?.contains(
                "takes no option 'speed'") == true)
        #expect(
            errorText { _ = try Registries.optimizers.named("sgd:momentum=2") }?.contains("momentum is 2")
                == true)
    }

    /// One file and this line.
    @Test func anOptimizerOfOnesOwn() throws {
        Registries.optimizers.register(MadeUpOptimizer())
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            let trainer = try Self.trainer(model, "limping:momentum=0.25")
            let before = try losses(trainer, steps: 2)
            try trainer.saveState(to: "\(folder)/state")
            let file = try SafetensorsFile("\(folder)/state")
            #expect(file.tensors.contains { $0.name.hasSuffix(".velocity") })
            let expected = try losses(trainer, steps: 2)
            try trainer.loadState(from: "\(folder)/state")
            #expect(try losses(trainer, steps: 2) == expected && expected[0] < before[0])
        }
    }
}

extension Adapter.Part {
    fileprivate static let vector = Adapter.Part("vector")
}
