// Steps that repeat exactly: replay or none, the same seed, every storage of the weights; and the memory they take.

import Foundation
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct TrainerTests {
    /// Losses, norms and the final parameters of some steps on batches of two shapes.
    private func run(
        _ model: Transformer, dropout: Double = 0, targets: LoRAConfig.Targets = .allLinear, seed: UInt64 = 7,
        replays: Bool = true, recomputedBlocks: Int = 0, steps: Int = 5
    ) throws -> (losses: [Double], norms: [Double], parameters: [String: [Float]]) {
        let adapter = try Adapter.random(for: model, dropout: dropout, targets: targets)
        var optimizer = OptimizerConfig()
        optimizer.weightDecay = 0.1
        optimizer.maxGradientNorm = 1
        let trainer = try Trainer(
            model, adapter, optimizer: optimizer, seed: seed, recomputedBlocks: recomputedBlocks)
        trainer.replays = replays
        let batches = [examples([9, 5], seed: 1), examples([20, 3, 30], prompt: 2, seed: 2)]
        var (losses, norms): ([Double], [Double]) = ([], [])
        for step in 0..<steps {
            let report = try trainer.step([batches[step % 2]], learningRate: 1e-2)
            losses.append(report.loss)
            norms.append(report.gradientNorm)
        }
        #expect(trainer.step == steps)
        return (losses, norms, try adapter.all())
    }

    @Test(arguments: [0, 0.3])
    func replayedStepsAreTheRecordedOnes(dropout: Double) throws {
        let model = try TinyModel().load(TestDevices.main)
        let replayed = try run(model, dropout: dropout)
        let recorded = try run(model, dropout: dropout, replays: false)
        #expect(replayed.losses == recorded.losses && replayed.norms == recorded.norms)
        #expect(replayed.parameters == recorded.parameters)
        #expect(
            Set(replayed.losses).count == replayed.losses.count && replayed.losses[4] < replayed.losses[0])
    }

    /// Bit by bit, dropout masks too, wherever the lowest adapted block is.
    @Test(
        arguments: [0, 0.3],
        [["*"], ["layers.1*"], ["layers.2.self_attn.v_proj"], ["layers.2.mlp.down_proj"]])
    func blocksComputedAgainChangeNothing(dropout: Double, targets: [String]) throws {
        let model = try TinyModel(layers: 3).load(TestDevices.main)
        let kept = try run(model, dropout: dropout, targets: .names(targets), steps: 3)
        for count in [1, 2, Int.max] {
            let again = try run(
                model, dropout: dropout, targets: .names(targets), recomputedBlocks: count, steps: 3)
            #expect(again.losses == kept.losses && again.norms == kept.norms, "\(count) blocks")
            #expect(again.parameters == kept.parameters, "\(count) blocks")
        }
    }

    @Test func theSeedDecidesWhatIsDropped() throws {
        let model = try TinyModel().load(TestDevices.main)
        let first = try run(model, dropout: 0.3)
        #expect(try run(model, dropout: 0.3).losses == first.losses)
        #expect(try run(model, dropout: 0.3, seed: 8).losses[0] != first.losses[0])
        #expect(try run(model, dropout: 0).losses[0] != first.losses[0])
        // Without dropout the seed of the trainer has no effect.
        #expect(try run(model, seed: 8).losses == run(model).losses)
    }

    @Test func dropoutIsDrawnAnewInEveryPass() throws {
        let model = try TinyModel().load(TestDevices.main)
        let trainer = try Trainer(model, try Adapter.random(for: model, dropout: 0.3))
        let batch = examples([9, 5])
        let losses = try (0..<4).map { _ in try trainer.forwardBackward(batch, counted: 1) }
        #expect(Set(losses).count == 4)
    }

    @Test(arguments: [true, false])
    func evaluationIsTheTrainingLoss(tied: Bool) throws {
        let model = try TinyModel(tied: tied).load(TestDevices.main)
        let batch = examples([9, 5, 33], prompt: 2)
        for adapter in [try Adapter.random(for: model), try Adapter.random(for: model, dropout: 0.5)] {
            let report = try Evaluator(model, adapter).evaluate(batch)
            #expect(report.countedTokens == batch.reduce(0) { $0 + $1.countedTokens } && report.lossSum > 0)
            let whole = try Evaluator(model, adapter).evaluate(
                Dataset(examples: batch), shouldStop: { false })
            #expect(isClose(whole.lossSum, report.lossSum, 1e-6) && whole.correct == report.correct)
            guard adapter.config.dropout == 0 else { continue }  // dropped while training only
            let loss = try Trainer(model, adapter).forwardBackward(batch, counted: 1)
            #expect(isClose(loss, report.lossSum, 1e-5))
        }
        let plain = try Evaluator(model, nil).evaluate(batch)
        #expect(
            try Evaluator(model, Adapter.random(for: model, dropout: 0.5)).evaluate(batch).lossSum
                == Evaluator(model, Adapter.random(for: model)).evaluate(batch).lossSum)
        #expect(try Evaluator(model, Adapter.random(for: model)).evaluate(batch).lossSum != plain.lossSum)
    }

    @Test func lossOfOnePredictionIsThatOfItsLogits() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.random(for: model)
        let evaluator = try Evaluator(model, adapter)
        let example = examples([12])[0]
        let logits = try evaluator.logits(example.tokens, at: Array(0..<11))
        var (sum, correct) = (0.0, 0)
        for (position, row) in logits.enumerated() {
            let target = Int(example.tokens[position + 1])
            let values = row.doubles
            let largest = values.max() ?? 0
            sum += largest + log(values.reduce(0) { $0 + exp($1 - largest) }) - values[target]
            correct += values[target] == largest ? 1 : 0
        }
        let report = try evaluator.evaluate([example])
        #expect(isClose(report.lossSum, sum, 1e-6) && report.correct == correct && report.countedTokens == 11)
        #expect(logits.allSatisfy { $0.count == 96 })
    }

    /// Every weight is exact in all three types, so their kernels must give the same numbers.
    @Test(arguments: [true, false])
    func storageOfWeightsDoesNotChangeWhatTheyAre(tied: Bool) throws {
        let shape = TinyModel(tied: tied)
        let whole = try shape.load(TestDevices.main, weights: .f32)
        let expected = try run(whole)
        for storage in [WeightStorage.f16, .bf16, .auto] {
            let model = try shape.load(TestDevices.main, weights: storage)
            let got = try run(model)
            for (a, b) in zip(got.losses, expected.losses) { #expect(isClose(a, b, 1e-5), "\(storage)") }
            for (a, b) in zip(got.norms, expected.norms) { #expect(isClose(a, b, 1e-4), "\(storage)") }
            #expect((model.weightByteCount < whole.weightByteCount * 2 / 3) == (storage != .auto))
        }
    }

    /// What LORAVK_VALIDATION=1 makes the driver's layer say about training, evaluation and generation.
    @Test func aWholeRoundIsValidVulkan() throws {
        for device in [try TestDevices.main, try TestDevices.smallLimits] {
            let model = try TinyModel(tied: false).load(device)
            let adapter = try Adapter.random(for: model, dropout: 0.1)
            let batch = examples([9, 5, 33], prompt: 2)
            let trainer = try Trainer(model, adapter)
            let before = try trainer.step([batch, batch], learningRate: 1e-3).loss
            let after = try trainer.step([batch, batch], learningRate: 1e-3).loss
            #expect(before != after)
            #expect(try Evaluator(model, adapter).evaluate(batch).countedTokens == 41)
            let answer = try Generator(model, adapter, capacity: 16).generate(
                prompt: [1, 2, 3], maxTokens: 4, stopTokens: [], sampling: SamplerConfig())
            #expect(answer.count == 4)
            #expect(device.instance.validationMessages.isEmpty)
        }
    }

    @Test func kernelsAreTimedByName() throws {
        let device = try TestDevices.main
        let model = try TinyModel().load(device)
        let trainer = try Trainer(model, try Adapter.random(for: model))
        let timings = try trainer.profile(examples([9, 5]))
        let labels = Set(timings.map(\.label))
        for name in ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj dB", "lm_head"] {
            #expect(labels.contains(name), "\(name)")
        }
        #expect(timings.allSatisfy { $0.seconds >= 0 })
    }
}
