// Objectives in whole models: gradients against differences of the loss, batches against their parts, memory
// against its plan, and runs that go on.

import Checkpoints
import Foundation
import Kernels
import LoRAVK
import TestSupport
import Testing
import Tokenizer
import VulkanCompute

@Suite struct ObjectiveTests {
    static let names = ["dpo:smoothing=0.1", "hinge", "ipo", "simpo", "orpo", "kto"]

    /// Random pairs, or judged answers, behind prompts of three tokens; with references that are no model's.
    static func comparisons(_ lengths: [Int], kind: Example.Kind, seed: UInt64 = 4) -> [Example] {
        var random = RandomValues(seed: seed)
        return lengths.indices.map { index in
            let length = lengths[index]
            let parts = examples([length, length + 2], prompt: 3, seed: seed + UInt64(index))
            var example =
                kind == .pair
                ? Example(chosen: parts[0], rejected: parts[1])
                : Example(judged: parts[0], isDesired: index % 2 == 0, other: parts[1])
            let size = -4 * Float(length - 3)
            example.comparison?.reference = PairOf(
                size + random.normal(1, deviation: 1)[0], size - 8 + random.normal(1, deviation: 1)[0])
            return example
        }
    }

    private func objective(_ name: String) throws -> (any Objective, Example.Kind) {
        let objective = try Registries.objectives.named(name)
        return (objective, objective.examples)
    }

    @Test(arguments: names)
    func gradientIsThatOfTheLoss(_ name: String) throws {
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        let adapter = try Adapter.random(for: model, rank: 3)
        let (objective, kind) = try objective(name)
        let batch = Self.comparisons([8, 5, 11], kind: kind)
        let evaluator = try Evaluator(model, adapter, objective: objective)
        let trainer = try Trainer(model, adapter, objective: objective)
        let sum = try trainer.forwardBackward(batch, counted: 1)
        #expect(isClose(sum, try evaluator.evaluate(batch).loss * 3, 1e-5))
        try compareGradients(adapter, step: 1e-2, relative: 1e-2, least: 1e-6) {
            try evaluator.evaluate(batch).loss * 3
        }
    }

    @Test(arguments: ["dpo", "simpo", "orpo", "ipo"])
    func aBatchIsTheSumOfItsPairs(_ name: String) throws {
        let model = try TinyModel().load(TestDevices.main)
        let (objective, kind) = try objective(name)
        let all = Self.comparisons([6, 14, 9, 11], kind: kind)
        func step(_ batches: [[Example]]) throws -> (StepReport, [String: [Float]]) {
            let adapter = try Adapter.random(for: model)
            let trainer = try Trainer(model, adapter, objective: objective)
            return (try trainer.step(batches, learningRate: 1e-2), try adapter.all(.gradient))
        }
        let (large, largeGradients) = try step([all])
        let (small, smallGradients) = try step([[all[0]], [all[1], all[2]], [all[3]]])
        #expect(isClose(large.loss, small.loss, 1e-5))
        #expect(relativeDifference(largeGradients, smallGradients) < 1e-4)
        #expect(large.metrics.values.map(\.name) == small.metrics.values.map(\.name))
        for (one, other) in zip(large.metrics.values, small.metrics.values) {
            #expect(abs(one.value - other.value) < 1e-4, "\(one.name)")
        }
        #expect(large.tokens == small.tokens && large.countedTokens == small.countedTokens)
    }

    /// A head that takes several chunks of rows, logits with a cap, and tiny limits.
    @Test func gradientWithTinyLimitsIsTheSame() throws {
        let shape = TinyModel(vocab: 640, intermediate: 96)
        let batch = Self.comparisons([9, 40, 17], kind: .pair)
        var results: [(loss: Double, gradients: [String: [Float]])] = []
        for device in [try TestDevices.main, try TestDevices.smallLimits] {
            let model = try shape.load(device)
            let adapter = try Adapter.random(for: model, rank: 8)
            let trainer = try Trainer(model, adapter, objective: DPO(.sigmoid))
            results.append((try trainer.forwardBackward(batch, counted: 1), try adapter.all(.gradient)))
        }
        #expect(isClose(results[0].loss, results[1].loss, 1e-5))
        #expect(relativeDifference(results[0].gradients, results[1].gradients) < 1e-4)
    }

    @Test func whatAnObjectiveDoesNotLearnFromIsRefused() throws {
        let model = try TinyModel().load(TestDevices.main)
        let trainer = try Trainer(model, Adapter.random(for: model), objective: DPO(.sigmoid))
        let plain = errorText { _ = try trainer.step([examples([5])], learningRate: 1e-3) }
        #expect(
            plain?.contains("the objective dpo learns from pairs of a chosen and a rejected answer") == true,
            "\(plain ?? "")")
        let causal = try Trainer(model, Adapter.random(for: model))
        for kind in [Example.Kind.pair, .judged] {
            #expect(throws: ConfigError.self) {
                try causal.step([Self.comparisons([5], kind: kind)], learningRate: 1e-3)
            }
        }
        #expect(throws: ConfigError.self) { try Registries.objectives.named("dpo:gamma=1") }
        #expect(throws: ConfigError.self) { try Registries.objectives.named("dpo:beta=0") }
        #expect(throws: ConfigError.self) { try Registries.objectives.named("ppo") }
    }

    /// One of a program that uses the library is one type and one line.
    @Test func aMadeUpObjectiveTrains() throws {
        Registries.objectives.register(Ahead())
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        let objective = try Registries.objectives.named("ahead:beta=3")
        let adapter = try Adapter.random(for: model, rank: 3)
        let trainer = try Trainer(model, adapter, objective: objective)
        let batch = Self.comparisons([8, 5], kind: .pair)
        _ = try trainer.forwardBackward(batch, counted: 1)
        let evaluator = try Evaluator(model, adapter, objective: objective)
        try compareGradients(adapter, step: 1e-2, relative: 1e-2, least: 1e-6) {
            try evaluator.evaluate(batch).loss * 2
        }
    }

    // MARK: Runs

    private func config(steps: Int) -> RunConfig {
        var config = RunConfig()
        (config.batchSize, config.steps, config.seed) = (2, steps, 3)
        config.schedule = Schedule(.constant, learningRate: 1e-2, warmupSteps: 0, steps: steps)
        (config.saveEvery, config.validateEvery) = (2, 3)
        return config
    }

    /// Before the first step a model is its own reference; then the margins grow.
    @Test(arguments: ["dpo", "ipo", "hinge", "kto"])
    func aRunBeginsAtItsReference(_ name: String) throws {
        let model = try TinyModel().load(TestDevices.main)
        let (objective, kind) = try objective(name)
        let data = Dataset(examples: Self.comparisons([8, 5, 11, 7], kind: kind))
        var config = LoRAConfig(rank: 4, alpha: 8)
        config.seed = 1
        let trainer = try Trainer(model, Adapter.create(for: model, config), objective: objective)
        var seen: [(Int, Int)] = []
        var progress: [RunProgress] = []
        let run = try TrainingRun(
            trainer, data: data, validation: data, config: self.config(steps: 12), folder: nil)
        _ = try run.run(onProgress: { progress.append($0) }, onReference: { seen.append(($0, $1)) })
        #expect(seen.last.map { $0.0 == 8 && $0.1 == 8 } == true)
        let first = try #require(progress.first)
        let start = ["dpo": 0.693147, "ipo": 25, "hinge": 1, "kto": 0.5]
        #expect(isClose(first.report.loss, try #require(start[name]), 1e-3))
        #expect(abs(first.report.metrics["rewards/chosen"] ?? 0) < 1e-4)
        let last = try #require(progress.last)
        // A batch of judged answers may have only one kind of them.
        if kind == .pair { #expect((last.report.metrics["rewards/margins"] ?? 0) > 0.1) }
        #expect((last.validation?.metrics["rewards/margins"] ?? 0) > 0.1)
        if kind == .pair { #expect(last.validation?.metrics["rewards/accuracies"] == 1) }
    }

    @Test(arguments: [("dpo", false), ("dpo", true), ("kto", true), ("orpo", false)])
    func aStoppedRunGoesOnToTheSameBits(_ name: String, fromAnAdapter: Bool) throws {
        let model = try TinyModel().load(TestDevices.main)
        let (objective, kind) = try objective(name)
        let data = Dataset(examples: Self.comparisons([8, 5, 11, 7, 9], kind: kind))
        func run(_ folder: String, stopAfter: Int = .max, _ objective: any Objective) throws -> [Double] {
            var config = LoRAConfig(rank: 4, alpha: 8)
            config.dropout = 0.2
            let adapter =
                try fromAnAdapter
                ? Adapter.random(for: model) : Adapter.create(for: model, config)
            let trainer = try Trainer(model, adapter, seed: 5, objective: objective)
            let run = try TrainingRun(
                trainer, data: data, validation: data, config: self.config(steps: 6), folder: folder,
                resumes: true)
            var done = run.firstStep
            var losses: [Double] = []
            _ = try run.run(
                shouldStop: { done == stopAfter },
                onProgress: {
                    done += 1
                    losses += [$0.report.loss] + $0.report.metrics.values.map(\.value)
                    losses += $0.validation?.metrics.values.map(\.value) ?? []
                }, onWarning: { Issue.record("\($0)") })
            return losses
        }
        try withTemporaryFolder { folder in
            let (whole, parts) = ("\(folder)/whole", "\(folder)/parts")
            let all = try run(whole, objective)
            let before = try run(parts, stopAfter: 3, objective)
            let text = errorText { _ = try run(parts, SimPO()) }
            if name == "dpo" {
                #expect(isClose(all[0], 0.693147, 1e-3))
                #expect(
                    text?.contains("objective dpo:beta=0.1,smoothing=0 there, simpo") == true,
                    "\(text ?? "it went on")")
            }
            let after = try run(parts, objective)
            #expect(before + after == all)
            let file = "adapter_model.safetensors"
            #expect(try contents("\(whole)/\(file)") == contents("\(parts)/\(file)"))
        }
    }

    // MARK: Memory and work

    /// A step of pairs is a plain step on both answers and one more product of the head, with its
    /// cross-entropy.
    @Test func theWorkIsOneMoreProductOfTheHead() throws {
        let model = try TinyModel(vocab: 4096).load(TestDevices.main)
        let adapter = try Adapter.random(for: model)
        func work(_ objective: any Objective, pairs: Int) throws -> Double {
            try Trainer(model, adapter, objective: objective)
                .plan(BatchShape(tokens: 64, counted: 48, pairs: pairs)).flops
        }
        let more = try work(DPO(.sigmoid), pairs: 8) - work(CausalLM(), pairs: 0)
        let product = 2.0 * 48 * 32 * 4096
        #expect(more >= product && more < 1.4 * product)
    }

    /// What is planned is what is then taken, references included; and it is little more than plain training
    /// of the same tokens takes.
    @Test(arguments: ["dpo", "kto"])
    func memoryIsPlanned(_ name: String) throws {
        let (objective, kind) = try objective(name)
        let data = Dataset(examples: Self.comparisons([30, 20, 25, 28, 24, 29, 30, 31], kind: kind))
        try withTemporaryFolder { folder in
            try TinyModel(vocab: 4096).write(to: folder)
            let device = try Device.open(instance: Instance(options: .environment))
            let checkpoint = try Checkpoint.open(path: folder)
            func adapter(_ model: Transformer) throws -> Adapter {
                try Adapter.create(for: model, LoRAConfig(rank: 4, alpha: 8))
            }
            func planner(_ objective: any Objective) throws -> MemoryPlanner {
                try MemoryPlanner(
                    checkpoint, weights: .auto, capabilities: device.capabilities, objective: objective,
                    makeAdapter: adapter)
            }
            let planned = try planner(objective).layout(data.sizes, batchSize: 2, recomputedBlocks: 0)
            let plain = try planner(CausalLM()).layout(
                data.sizes.map { ExampleSize(tokens: $0.tokens, counted: $0.counted) }, batchSize: 2,
                recomputedBlocks: 0)
            #expect(Double(planned.use.total) <= 1.05 * Double(plain.use.total))
            let model = try Transformer.load(checkpoint, device: device, weights: .auto)
            let trainer = try Trainer(model, adapter(model), objective: objective)
            var config = config(steps: 3)
            config.tokensPerPass = planned.tokensPerPass
            var bytes: [Int] = []
            let run = try TrainingRun(trainer, data: data, validation: data, config: config, folder: nil)
            _ = try run.run(onProgress: { _ in bytes.append(device.bufferByteCount) })
            #expect(Set(bytes) == [planned.use.total - planned.use.unused])
        }
    }
}

/// −log σ(β·(mean log p of chosen − of rejected))
private struct Ahead: AnswerObjective {
    let name = "ahead"
    let summary = "the chosen answer is to be likelier"
    var options = [NumberOption("beta", 1, in: 0...10, "scales the difference")]

    func record(
        weights: Tensor, _ logps: Tensor, _ answers: AnswerBuffers, _ encoder: CommandEncoder
    ) throws(VulkanError) {
        try encoder.answerWeights(
            Shader.simpo, into: weights, logps, answers, usesReferences: false,
            push: [Float(options["beta"]), Float(0), Float(0)], label: name)
    }

    func report(_ pairs: [AnswerPair]) -> LossReport {
        var report = LossReport(count: pairs.count)
        for pair in pairs {
            let (first, second) = (pair.first, pair.second)
            let means = first.logp / Double(first.tokens) - second.logp / Double(second.tokens)
            report.sum += log1p(exp(-options["beta"] * means))
        }
        return report
    }
}
