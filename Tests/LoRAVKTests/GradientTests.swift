// The gradient of a whole model's loss, held against differences of the loss; batches against their parts.

import Checkpoints
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct GradientTests {
    @Test(arguments: [true, false])
    func gradientIsThatOfTheLoss(tied: Bool) throws {
        let model = try TinyModel(tied: tied).load(TestDevices.main)
        let adapter = try Adapter.random(for: model, rank: 3)
        let batch = examples([9, 5], prompt: 2)
        let evaluator = try Evaluator(model, adapter)
        _ = try gradients(model, adapter, [batch])
        try compareGradients(adapter, step: 1e-2, relative: 3e-3) {
            try evaluator.evaluate(batch).lossSum
        }
    }

    /// The mask of the backward is that of the forward: a new trainer draws the same mask every time.
    @Test func gradientWithDropoutIsThatOfTheLoss() throws {
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        let adapter = try Adapter.random(for: model, rank: 8, dropout: 0.3)
        let batch = examples([12], prompt: 2)
        _ = try gradients(model, adapter, [batch])
        try compareGradients(adapter, step: 5e-2, relative: 2e-2) {
            try Trainer(model, adapter).forwardBackward(batch, counted: 1)
        }
    }

    @Test func gradientWithTinyLimitsIsTheSame() throws {
        let shape = TinyModel(vocab: 640, intermediate: 96)  // an embedding larger than one binding
        let batch = examples([9, 40, 17], vocab: 640)
        var results: [(loss: Double, gradients: [String: [Float]], logits: [Float])] = []
        for device in [try TestDevices.main, try TestDevices.smallLimits] {
            let model = try shape.load(device)
            let adapter = try Adapter.random(for: model, rank: 8)
            let loss = try Evaluator(model, adapter).evaluate(batch).lossSum
            let logits = try Evaluator(model, adapter).logits(batch[1].tokens, at: [39])
            results.append((loss, try gradients(model, adapter, [batch]), logits[0]))
        }
        #expect(isClose(results[0].loss, results[1].loss, 1e-5))
        #expect(relativeDifference(results[0].gradients, results[1].gradients) < 1e-4)
        #expect(
            mismatch(results[1].logits, results[0].logits.doubles, Tolerance(absolute: 1e-4, relative: 1e-4))
                == nil)
    }

    @Test func aBatchIsTheSumOfItsExamples() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.random(for: model)
        let parts = examples([3, 21, 8], prompt: 1)
        let trainer = try Trainer(model, adapter)
        let whole = try trainer.forwardBackward(parts, counted: 1)
        let separate = try parts.map { try trainer.forwardBackward([$0], counted: 1) }
        #expect(isClose(whole, separate.reduce(0, +), 1e-5))
        let together = try gradients(model, adapter, [parts])
        #expect(relativeDifference(together, try gradients(model, adapter, parts.map { [$0] })) < 1e-4)
        #expect(relativeDifference(together, try gradients(model, adapter, [Array(parts.reversed())])) < 1e-4)
    }

    @Test func accumulationIsOneLargeBatch() throws {
        let model = try TinyModel().load(TestDevices.main)
        let all = examples([6, 14, 9, 11], prompt: 2)
        func step(_ batches: [[Example]]) throws -> (StepReport, gradients: [String: [Float]], after: Double)
        {
            let adapter = try Adapter.random(for: model)
            let trainer = try Trainer(model, adapter)
            let report = try trainer.step(batches, learningRate: 1e-2)
            return (report, try adapter.all(.gradient), try Evaluator(model, adapter).evaluate(all).lossSum)
        }
        let (large, largeGradients, largeAfter) = try step([all])
        let (small, smallGradients, smallAfter) = try step([[all[0]], [all[1], all[2]], [all[3]]])
        #expect(
            large.countedTokens == 32 && small.countedTokens == 32 && large.tokens == 40 && small.tokens == 40
        )
        #expect(
            isClose(large.loss, small.loss, 1e-5) && isClose(large.gradientNorm, small.gradientNorm, 1e-4))
        #expect(relativeDifference(largeGradients, smallGradients) < 1e-4)
        #expect(isClose(largeAfter, smallAfter, 1e-3))
        let plain = try Evaluator(model, Adapter.random(for: model)).evaluate(all)
        #expect(isClose(large.loss, plain.loss, 1e-5) && largeAfter < plain.lossSum)
    }

    /// With weights per target, of either sign: the gradient is that of the weighted loss, training and evaluation report it, and targets
    /// of weight 0 are as if they were none but for the divisor.
    @Test func weightedTargets() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.random(for: model, rank: 3)
        var batch = examples([9, 5], prompt: 2)
        let plain = try Evaluator(model, adapter).evaluate(batch)
        for index in batch.indices {
            batch[index].weights = batch[index].tokens.indices.map { [0.5, -1, 2, 0][$0 % 4] }
        }
        let report = try Evaluator(model, adapter).evaluate(batch)
        #expect(report.countedTokens == plain.countedTokens && report.lossSum != plain.lossSum)
        let loss = try Trainer(model, adapter).forwardBackward(batch, counted: 1)
        #expect(isClose(loss, report.lossSum, 1e-5))
        let weighted = try gradients(model, adapter, [batch])
        let evaluator = try Evaluator(model, adapter)
        try compareGradients(adapter, step: 1e-2, relative: 3e-3) { try evaluator.evaluate(batch).lossSum }

        var ignoring = batch
        for index in ignoring.indices {
            for (position, weight) in (batch[index].weights ?? []).enumerated() where weight == 0 {
                ignoring[index].labels[position] = TokenBatch.ignored
            }
        }
        #expect(relativeDifference(weighted, try gradients(model, adapter, [ignoring])) < 1e-5)
    }

    @Test(arguments: [
        "layers.1.self_attn.q_proj", "layers.0.self_attn.v_proj", "layers.1.mlp.down_proj", "up_proj",
    ])
    func onlyTheTargetsAreTrained(_ target: String) throws {
        let model = try TinyModel().load(TestDevices.main)
        let batch = examples([9, 5])
        let alone = try Adapter.random(for: model, targets: .names([target]))
        #expect(
            alone.layers.allSatisfy { $0.name.hasSuffix(target) }
                && alone.layers.count == (target == "up_proj" ? 2 : 1))

        // The same adapter among others that do nothing.
        let among = try Adapter.create(for: model, LoRAConfig(rank: 4, alpha: 4))
        for layer in among.layers {
            for part in layer.parts {
                let count = try among.values(layer, part).count
                let twin = try alone.layer(layer.name).map { try alone.values($0, part) }
                try among.set(layer, part, to: twin ?? [Float](repeating: 0, count: count))
            }
        }
        let wanted = try gradients(model, among, [batch])
        let got = try gradients(model, alone, [batch])
        #expect(got.count == 2 * alone.layers.count)
        #expect(relativeDifference(got, wanted.filter { got.keys.contains($0.key) }) < 1e-4)

        let before = try alone.all()
        _ = try Trainer(model, alone).step([batch], learningRate: 1e-3)
        let after = try alone.all()
        #expect(before.keys == after.keys && before.allSatisfy { $1 != after[$0] })
    }
}
