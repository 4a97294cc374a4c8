// Heads in whole models: gradients against differences of the loss, batches against their parts, memory against its plan, files; and
// what rows and measures make of labels.

import Checkpoints
import Foundation
import Kernels
import LoRAVK
import TestSupport
import Testing
import Tokenizer
import VulkanCompute

@Suite struct HeadTests {
    static let names = ["classification", "multilabel", "regression", "reward:centre=0.1"]

    /// Random sequences with what the objective learns of them, for a head of three outputs or one.
    private func examples(_ lengths: [Int], _ objective: any Objective, seed: UInt64 = 3) -> [Example] {
        var random = RandomValues(seed: seed)
        return lengths.map { length in
            func tokens(_ count: Int) -> [Int32] {
                (0..<count).map { _ in Int32.random(in: 0..<50, using: &random) }
            }
            switch objective.examples {
            case .labelled: return Example(tokens(length), Outcome(label: .random(in: 0..<3, using: &random)))
            case .multilabelled:
                return Example(tokens(length), Outcome(.multilabelled, [1, 0, length % 2 == 0 ? 1 : 0]))
            case .scored: return Example(tokens(length), Outcome(.scored, random.normal(3, deviation: 1)))
            default:
                var pair = Example(
                    chosen: Example(tokens: tokens(length)), rejected: Example(tokens: tokens(length + 2)))
                pair.labels = pair.labels.map { _ in TokenBatch.ignored }
                pair.outcome = Outcome(.ranked, [0.25])
                return pair
            }
        }
    }

    private func head(_ objective: any Objective) -> ScoreHead {
        objective.examples == .ranked
            ? ScoreHead(.regression, outputs: 1)
            : ScoreHead((objective as? Classification)?.problem, outputs: 3)
    }

    private func adapter(_ model: Transformer, _ objective: any Objective, _ method: String = "lora") throws
        -> Adapter
    {
        var config = LoRAConfig()
        config.rank = 3
        config.method = try Registries.methods.named(method)
        config.head = head(objective)
        let adapter = try Adapter.create(for: model, config)
        var random = RandomValues(seed: 11)
        for (_, parameter) in adapter.namedParameters where parameter.learningRate != 0 {
            try adapter.set(parameter, to: random.normal(parameter.shape.count, deviation: 0.2))
        }
        return adapter
    }

    @Test(arguments: names)
    func gradientIsThatOfTheLoss(_ name: String) throws {
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        let objective = try Registries.objectives.named(name)
        let adapter = try adapter(model, objective)
        let batch = examples([8, 5, 11], objective)
        let evaluator = try Evaluator(model, adapter, objective: objective)
        let sum = try Trainer(model, adapter, objective: objective).forwardBackward(batch, counted: 1)
        #expect(isClose(sum, try evaluator.evaluate(batch).loss * 3, 1e-5))
        for (key, parameter) in adapter.namedParameters {
            let gradient = try adapter.values(parameter, .gradient)
            let values = try adapter.values(parameter)
            let largest = gradient.map(abs).max() ?? 0
            #expect(largest > 0, "\(key)")
            // The largest, and one of each third.
            let places = [
                gradient.firstIndex { abs($0) == largest } ?? 0, gradient.count / 3, 2 * gradient.count / 3,
            ]
            for place in places {
                let slope = try difference(1e-2) { step in
                    var moved = values
                    moved[place] += step
                    try adapter.set(parameter, to: moved)
                    return try evaluator.evaluate(batch).loss * 3
                }
                let distance = abs(Double(gradient[place]) - slope)
                #expect(
                    distance < 1e-2 * Double(largest) + 1e-4, "\(key)[\(place)]: \(gradient[place]), \(slope)"
                )
            }
            try adapter.set(parameter, to: values)
        }
    }

    /// Of fourth order.
    private func difference(_ step: Float, _ loss: (Float) throws -> Double) throws -> Double {
        let near = try loss(step) - loss(-step)
        let far = try loss(2 * step) - loss(-2 * step)
        return (8 * near - far) / (12 * Double(step))
    }

    @Test(arguments: names)
    func aBatchIsTheSumOfItsExamples(_ name: String) throws {
        let model = try TinyModel().load(TestDevices.main)
        let objective = try Registries.objectives.named(name)
        let all = examples([6, 14, 9, 11], objective)
        func step(_ batches: [[Example]]) throws -> (Double, [Float]) {
            let adapter = try adapter(model, objective, "dora")
            let trainer = try Trainer(model, adapter, objective: objective)
            let report = try trainer.step(batches, learningRate: 1e-3)
            return (report.loss, try adapter.values(adapter.namedParameters.last!.parameter, .gradient))
        }
        let (whole, parts) = (try step([all]), try step(all.map { [$0] }))
        #expect(isClose(whole.0, parts.0, 1e-5))
        let largest = whole.1.map { Double(abs($0)) }.max() ?? 0
        #expect(
            mismatch(parts.1, whole.1.map(Double.init), Tolerance(absolute: 1e-5 * largest, relative: 1e-4))
                == nil)
    }

    @Test(arguments: names)
    func memoryIsPlanned(_ name: String) throws {
        let objective = try Registries.objectives.named(name)
        let data = Dataset(examples: examples([20, 30, 24], objective))
        try withTemporaryFolder { folder in
            try TinyModel().write(to: folder)
            let device = try Device.open(instance: Instance(options: .environment))
            let checkpoint = try Checkpoint.open(path: folder)
            func adapter(_ model: Transformer) throws -> Adapter {
                var config = LoRAConfig()
                config.head = head(objective)
                return try Adapter.create(for: model, config)
            }
            let planned = try MemoryPlanner(
                checkpoint, weights: .auto, capabilities: device.capabilities, objective: objective,
                makeAdapter: adapter
            ).layout(data.sizes, batchSize: 2, recomputedBlocks: 0)
            let model = try Transformer.load(checkpoint, device: device, weights: .auto)
            let trainer = try Trainer(model, adapter(model), objective: objective)
            var config = RunConfig()
            (config.batchSize, config.steps, config.tokensPerPass) = (2, 3, planned.tokensPerPass)
            config.schedule = Schedule(Defaults.schedule, learningRate: 1e-3, steps: 3)
            var bytes: [Int] = []
            let run = try TrainingRun(trainer, data: data, validation: data, config: config, folder: nil)
            _ = try run.run(onProgress: { _ in bytes.append(device.bufferByteCount) })
            #expect(Set(bytes) == [planned.use.total - planned.use.unused])
        }
    }

    @Test func anAdapterWithAHeadIsReadAsItWasWritten() throws {
        let model = try TinyModel().load(TestDevices.main)
        let objective = try Registries.objectives.named("classification")
        let adapter = try adapter(model, objective)
        let read = try withTemporaryFolder { folder in
            try adapter.save(to: folder)
            return try Adapter.load(folder, for: model)
        }
        #expect(read.head == adapter.head && read.parameterCount == adapter.parameterCount)
        let others = Dictionary(uniqueKeysWithValues: read.namedParameters.map { ($0.key, $0.parameter) })
        for own in adapter.namedParameters {
            let other = try #require(others[own.key])
            #expect(try adapter.values(own.parameter) == read.values(other), "\(own.key)")
        }
        let sequences: [[Int32]] = [[1, 2, 3], [4, 5]]
        let scores = try Evaluator(model, read).scores(sequences)
        for (own, other) in zip(try Evaluator(model, adapter).scores(sequences), scores) {
            #expect(mismatch(other, own.map(Double.init), Tolerance(absolute: 1e-5, relative: 1e-4)) == nil)
        }
        // Without its head's names it is PEFT's.
        #expect(throws: ConfigError.self) { try Trainer(model, read) }
        #expect(throws: ConfigError.self) { try Trainer(model, read, objective: RewardModel()) }
    }

    // MARK: Data

    private func read(_ rows: [String], _ kind: Example.Kind, labels: [String]? = nil) throws -> Dataset {
        var format = TextFormat()
        (format.kind, format.labels) = (kind, labels)
        return try Dataset(rows: rows, named: "rows", tokenizer: DatasetTests.tokenizer(), format: format)
    }

    @Test func labelsAreIntegersOrNames() throws {
        func row(_ label: String) -> String { #"{"text": "One two", "label": \#(label)}"# }
        func labels(_ data: Dataset) -> [Int32] { data.examples.map { $0.outcome!.label } }
        let named = try read([row(#""b""#), row(#""a""#), row(#""b""#)], .labelled)
        #expect(named.labels == ["a", "b"] && labels(named) == [1, 0, 1])
        let numbered = try read([row("3"), row("0"), row("true")], .labelled)
        #expect(numbered.labels.count == 4 && labels(numbered) == [3, 0, 1])
        let known = try read([row(#""b""#), row("0")], .labelled, labels: ["x", "b"])
        #expect(labels(known) == [1, 0])
        #expect(throws: FileError.self) { try read([row(#""c""#)], .labelled, labels: ["x", "b"]) }
        for wrong in ["-1", "null", "1.5", #""""#, "[0]"] {
            #expect(throws: (any Error).self, "\(wrong)") { try read([row(wrong)], .labelled) }
        }
    }

    @Test func labelsOfListsAreNamesOrZerosAndOnes() throws {
        func row(_ label: String) -> String { #"{"text": "One two", "label": \#(label)}"# }
        func values(_ data: Dataset) -> [[Float]] { data.examples.map { $0.outcome!.values } }
        let named = try read([row(#"["b", "c"]"#), row(#"["a"]"#)], .multilabelled)
        #expect(named.labels == ["a", "b", "c"] && values(named) == [[0, 1, 1], [1, 0, 0]])
        let numbered = try read([row("[0, 1]"), row("[1, 1]")], .multilabelled)
        #expect(numbered.labels.count == 2 && values(numbered) == [[0, 1], [1, 1]])
        #expect(throws: FileError.self) { try read([row(#"["a"]"#), row("[1]")], .multilabelled) }
        #expect(values(try read([row("0.5"), row("[2]")], .scored)) == [[0.5], [2]])
    }

    @Test func aHeadReadsTextsWithoutAnEnd() throws {
        let data = try read([#"{"text": "One", "text_pair": " two", "label": 1}"#], .labelled)
        let tokenizer = try DatasetTests.tokenizer()
        #expect(data.examples[0].tokens == tokenizer.encode("One") + tokenizer.encode(" two"))
        #expect(data.examples[0].countedTokens == 1 && data.warnings.isEmpty)
        let batch = TokenBatch(data.examples)
        #expect(batch.countedPositions == [Int32(data.examples[0].tokens.count - 1)] && batch.targets == [1])
    }

    @Test func pairsOfARewardModelEndWithTheText() throws {
        let data = try read(
            [#"{"prompt": "One", "chosen": " two", "rejected": " three four", "margin": 0.5}"#], .ranked)
        let batch = TokenBatch(data.examples)
        let lengths = data.examples[0].sequences.map(\.count)
        #expect(batch.countedPositions == [Int32(lengths[0] - 1), Int32(lengths[0] + lengths[1] - 1)])
        #expect(batch.values == [0.5, 0.5] && batch.shape.pairs == 0)
    }

    // MARK: Measures

    private func measured(_ problem: ScoreHead.Problem, _ pairs: [([Double], [Double])], outputs: Int)
        -> [String: Double]
    {
        var sayings = HeadSayings()
        for (expected, said) in pairs {
            sayings.add(HeadSaying(expected: expected, said: said, outputs: outputs), as: problem)
        }
        return Dictionary(uniqueKeysWithValues: sayings.metrics.map { ($0.name, $0.value) })
    }

    /// By hand: 3 right of 5; of class 1 two right, three said, three there.
    @Test func measuresOfTwoClasses() {
        let found = measured(
            .single, [([1], [1]), ([1], [1]), ([1], [0]), ([0], [1]), ([0], [0])], outputs: 2)
        #expect(isClose(found["accuracy"]!, 0.6, 1e-12) && isClose(found["f1"]!, 2.0 / 3, 1e-12))
        // (2·1 − 1·1)/√(3·3·2·2)
        #expect(isClose(found["matthews_correlation"]!, 1.0 / 6, 1e-12))
    }

    @Test func measuresOfThreeClassesAreMeansOverThem() {
        let found = measured(.single, [([0], [0]), ([1], [1]), ([2], [1]), ([2], [2])], outputs: 4)
        // F1 of the classes that are there: 1, 2/3, 2/3.
        #expect(isClose(found["f1"]!, 7.0 / 9, 1e-12) && found["accuracy"] == 0.75)
        // c = 3, s = 4, Σpt = 1·1 + 2·1 + 1·2 = 5, Σp² = 6, Σt² = 6
        #expect(isClose(found["matthews_correlation"]!, 7.0 / 10, 1e-12))
    }

    @Test func measuresOfLabelsAndNumbers() {
        let labels = measured(.multi, [([1, 0], [1, 1]), ([0, 1], [0, 1])], outputs: 2)
        #expect(labels["accuracy"] == 0.5 && isClose(labels["f1"]!, 0.8, 1e-12))
        #expect(isClose(labels["f1_macro"]!, (1 + 2.0 / 3) / 2, 1e-12))
        let numbers = measured(.regression, [([1], [2]), ([2], [2]), ([3], [9])], outputs: 1)
        #expect(isClose(numbers["mse"]!, 37.0 / 3, 1e-12))
        // x − 2 = −1, 0, 1; y − 13/3 = −7/3, −7/3, 14/3: 7/√(2·98/3). Ranks 0, ½, ½ … of y: ½, ½, 2.
        #expect(isClose(numbers["pearson"]!, 7 / (2 * 98.0 / 3).squareRoot(), 1e-12))
        #expect(isClose(numbers["spearmanr"]!, 1.5 / (2 * 1.5).squareRoot(), 1e-12))
        #expect(measured(.regression, [([1], [1]), ([1], [2])], outputs: 1)["pearson"] == nil)
    }
}
