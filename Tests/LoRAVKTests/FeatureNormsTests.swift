// The norms of A·x and B·A·x against f64 where the input can be told by hand, and that looking at them changes no step.

import Checkpoints
import LoRAVK
import TestSupport
import Testing

@Suite struct FeatureNormsTests {
    private func features(_ adapter: Adapter, _ model: Transformer, _ examples: [Example]) throws
        -> FeatureNorms
    {
        try #require(try Evaluator(model, adapter).featureNorms(examples))
    }

    /// The first layer's q_proj sees the normed embeddings.
    @Test func theNormsOfTheFirstLayer() throws {
        let tiny = TinyModel()
        let model = try tiny.load(TestDevices.main)
        let adapter = try Adapter.random(for: model, targets: .names(["layers.0.self_attn.q_proj"]))
        // 37 tokens are cut to 32, so that none is padding.
        let examples = examples([20, 17])
        let seen = Array(examples.flatMap(\.tokens).prefix(32))
        func values(_ name: String) throws -> [Double] {
            let tensor = try model.checkpoint.tensor(name)
            return try tensor.floats(rows: 0..<tensor.rows).doubles
        }
        let (embedding, weight) = (
            try values("model.embed_tokens.weight"), try values("model.layers.0.input_layernorm.weight")
        )
        let rows = seen.flatMap { embedding[Int($0) * tiny.hidden..<(Int($0) + 1) * tiny.hidden] }
        let x = ReferenceNorm.forward(rows, weight: weight, epsilon: 1e-5).y
        let layer = try #require(adapter.layers.first)
        let (a, b) = (
            try adapter.values(layer, .loraA).doubles, try adapter.values(layer, .loraB).doubles
        )
        func product(_ x: [Double], _ matrix: [Double], _ width: Int) -> [Double] {
            stride(from: 0, to: x.count, by: width).flatMap { row in
                stride(from: 0, to: matrix.count, by: width).map { column in
                    (0..<width).reduce(0) { $0 + x[row + $1] * matrix[column + $1] }
                }
            }
        }
        func norm(_ z: [Double]) -> Double {
            (z.reduce(0) { $0 + $1 * $1 } / Double(seen.count)).squareRoot()
        }
        let zA = product(x, a, tiny.hidden)
        let found = try features(adapter, model, examples)
        #expect(isClose(found.zA, norm(zA), 1e-5))
        #expect(isClose(found.zB, norm(product(zA, b, layer.rank)), 1e-5))
    }

    /// Nothing follows the last down_proj, so its input does not depend on the adapter; it sees counted positions only.
    @Test func zBGrowsWithBAndZAWithA() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.random(for: model, targets: .names(["layers.1.mlp.down_proj"]))
        let layer = try #require(adapter.layers.first)
        let before = try features(adapter, model, examples([9, 24], prompt: 3))
        try adapter.set(layer, .loraB, to: adapter.values(layer, .loraB).map { 2 * $0 })
        try adapter.set(layer, .loraA, to: adapter.values(layer, .loraA).map { 4 * $0 })
        let after = try features(adapter, model, examples([9, 24], prompt: 3))
        #expect(after.zA == 4 * before.zA && after.zB == 8 * before.zB && before.zA > 0)
    }

    /// Started as the base model by what is taken off again: the frozen ranks cancel.
    @Test func aStartInTheWeightChangesNothingYet() throws {
        let model = try TinyModel().load(TestDevices.main)
        var config = LoRAConfig()
        config.rank = 4
        config.initialization = try Registries.initializations.named("pissa")
        let found = try features(try Adapter.create(for: model, config), model, examples([20, 17]))
        #expect(found.zA > 0.01 && found.zB < 1e-5 * found.zA)
    }

    @Test func aMethodWithoutALowRankTermHasNone() throws {
        let model = try TinyModel().load(TestDevices.main)
        var config = LoRAConfig()
        config.method = try Registries.methods.named("dora")
        let evaluator = try Evaluator(model, try Adapter.create(for: model, config))
        #expect(try evaluator.featureNorms(examples([20])) == nil)
        let plain = try Evaluator(model, try Adapter.random(for: model))
        #expect(try plain.featureNorms(examples([3])) == nil, "too few tokens")
    }

    @Test(arguments: [0, 0.3])
    func lookingChangesNoStep(dropout: Double) throws {
        let data = Dataset(examples: examples([9, 5, 12, 7, 8], prompt: 2))
        func losses(every: Int) throws -> (losses: [Double], looks: Int) {
            let model = try TinyModel().load(TestDevices.main)
            let trainer = try Trainer(model, try Adapter.random(for: model, dropout: dropout), seed: 3)
            var config = RunConfig()
            (config.batchSize, config.steps, config.validateEvery) = (2, 6, every)
            config.schedule = Schedule(.constant, learningRate: 1e-2, steps: 6)
            let run = try TrainingRun(
                trainer, data: data, validation: data, probe: data.examples, config: config, folder: nil)
            var (losses, looks) = ([Double](), 0)
            _ = try run.run(onProgress: { progress in
                losses.append(progress.report.loss)
                looks += progress.features == nil ? 0 : 1
            })
            return (losses, looks)
        }
        let (seldom, often) = (try losses(every: 0), try losses(every: 1))
        #expect(seldom.losses == often.losses && (seldom.looks, often.looks) == (1, 6))
    }

    /// An example counts as correct where all its targets are.
    @Test func wholeExamplesAreCounted() throws {
        let model = try TinyModel().load(TestDevices.main)
        let evaluator = try Evaluator(model, nil)
        let chosen = try evaluator.logits([5, 6, 7], at: [2])[0]
        let first = Int32(try #require(chosen.indices.max { chosen[$0] < chosen[$1] }))
        func example(_ last: Int32) -> Example {
            Example(tokens: [5, 6, 7, last], labels: [-100, -100, -100, last])
        }
        var mixed = example(first)
        mixed.labels[1] = 95  // token 6 is not what follows: neither is this
        let nothing = Example(tokens: [5, 6], labels: [-100, -100])
        let report = try evaluator.evaluate([mixed, nothing, example(first), example((first + 1) % 96)])
        #expect((report.examples, report.correctExamples, report.countedTokens) == (3, 1, 4))
    }
}
