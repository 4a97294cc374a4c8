// Vectors of texts and the objectives that compare them, in whole models: an encoder without and one with a final norm, and a model that
// sees what is before it.

import Checkpoints
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct TextObjectiveTests {
    static let models = [("bert", Pooling.mean), ("modernbert", .cls), ("qwen3", .last)]
    static let objectives = [
        ("multiple-negatives", 2), ("multiple-negatives:scale=5", 3), ("cosine", 2), ("triplet:margin=8", 3),
    ]

    private func load(_ name: String, _ device: Device) throws -> Transformer {
        try withTemporaryFolder { folder in
            try TinyCheckpoint(try #require(Architectures.named(name))).writeFolder(folder)
            return try Transformer.load(folder, device: device)
        }
    }

    /// Of ragged lengths, one token among them.
    private func texts(_ count: Int, places: Int, _ pooling: Pooling) -> [Example] {
        let all = examples((0..<count * places).map { 1 + ($0 * 5) % 17 }, prompt: 0).map(\.tokens)
        return (0..<count).map { index in
            Example(
                texts: Array(all[index * places..<(index + 1) * places]), score: Float(index) / 4 - 0.3,
                pooling: pooling)
        }
    }

    @Test(arguments: models, objectives)
    func gradientIsThatOfTheLoss(
        _ model: (name: String, pooling: Pooling), _ objective: (name: String, places: Int)
    ) throws {
        let transformer = try load(model.name, TestDevices.main)
        let adapter = try Adapter.random(for: transformer, rank: 3)
        let named = try Registries.objectives.named(objective.name)
        let batch = texts(5, places: objective.places, model.pooling)
        let evaluator = try Evaluator(transformer, adapter, objective: named)
        let sum = try Trainer(transformer, adapter, objective: named).forwardBackward(batch, counted: 1)
        #expect(isClose(sum, try evaluator.evaluate(batch).loss * 5, 1e-4))
        try compareGradients(adapter, step: 1e-2, relative: 2e-2, least: 1e-4) {
            try evaluator.evaluate(batch).loss * 5
        }
    }

    @Test func everyFamilyGivesTheSame() throws {
        let batch = texts(6, places: 2, .mean)
        let objective = try Registries.objectives.named("multiple-negatives")
        var first: [String: [Float]]?
        for device in [try TestDevices.main, try TestDevices.smallLimits] + (try TestDevices.families) {
            let model = try load("bert", device)
            let adapter = try Adapter.random(for: model)
            let trainer = try Trainer(model, adapter, objective: objective)
            _ = try trainer.forwardBackward(batch, counted: 6)
            let gradients = try adapter.all(.gradient)
            if let first { #expect(relativeDifference(first, gradients) < 5e-4) }
            first = first ?? gradients
        }
    }

    /// A vector is the same whatever other texts are in its pass, and each way of pooling is what it says.
    @Test func vectorsArePooledStates() throws {
        let model = try load("bert", TestDevices.main)
        let evaluator = try Evaluator(model, nil)
        let texts = examples([9, 1, 30, 4], prompt: 0).map(\.tokens)
        let together = try Pooling.allCases.map {
            try evaluator.embeddings(texts, pooling: $0, isNormalized: false)
        }
        for (text, vectors) in zip(texts.indices, 0...) {
            for (pooling, all) in zip(Pooling.allCases, together) {
                let alone = try evaluator.embeddings([texts[text]], pooling: pooling, isNormalized: false)
                #expect(mismatch(all[vectors], alone[0].doubles, .float(scale: 4)) == nil, "\(pooling)")
            }
        }
        // Of one token all are the same; of more they are not.
        #expect(together.allSatisfy { mismatch($0[1], together[0][1].doubles, .float(scale: 4)) == nil })
        #expect(Set(together.map { $0[0] }).count == 3)
        let lengths = try evaluator.embeddings(texts, pooling: .mean).map { vector in
            vector.reduce(0) { $0 + Double($1) * Double($1) }
        }
        #expect(lengths.allSatisfy { isClose($0, 1, 1e-5) })
        #expect(
            errorText { _ = try evaluator.embeddings([[]], pooling: .mean) }?.contains("has no tokens")
                == true)
    }

    /// Texts that belong together come nearer.
    @Test func trainingRanks() throws {
        let model = try load("bert", TestDevices.main)
        let adapter = try Adapter.random(for: model, deviation: 0.05)
        let objective = try Registries.objectives.named("multiple-negatives")
        let batch = texts(8, places: 2, .mean)
        let evaluator = try Evaluator(model, adapter, objective: objective)
        let before = try evaluator.evaluate(batch)
        let trainer = try Trainer(model, adapter, objective: objective)
        for _ in 0..<30 { _ = try trainer.step([batch], learningRate: 1e-2) }
        let after = try evaluator.evaluate(batch)
        #expect(after.loss < 0.5 * before.loss, "\(before.loss) became \(after.loss)")
        let (first, last) = (try #require(before.metrics["mrr"]), try #require(after.metrics["mrr"]))
        #expect(last > first)
    }

    @Test(arguments: [("multiple-negatives", 2), ("triplet", 3)])
    func memoryIsPlanned(_ objective: (name: String, places: Int)) throws {
        let named = try Registries.objectives.named(objective.name)
        try withTemporaryFolder { folder in
            try TinyCheckpoint(try #require(Architectures.named("bert"))).writeFolder(folder)
            let checkpoint = try Checkpoint.open(path: folder)
            let device = try Device.choose().open()
            let batch = texts(7, places: objective.places, .mean)
            let planner = try MemoryPlanner(
                checkpoint, weights: .auto, capabilities: device.capabilities, objective: named
            ) { try Adapter.random(for: $0) }
            let shape = TokenBatch(batch).shape
            #expect(BatchShape(largestOf: Dataset(examples: batch).sizes, batchSize: 7) == shape)
            let planned = try planner.use(shape, recomputedBlocks: 1)
            let model = try Transformer.load(checkpoint, device: device)
            let trainer = try Trainer(
                model, Adapter.random(for: model), recomputedBlocks: 1, objective: named)
            _ = try trainer.step([batch], learningRate: 1e-3)
            #expect(device.heldByteCount == planned.total)
            withExtendedLifetime(trainer) {}
        }
    }

    @Test func whatHasNoMeaningIsRefused() throws {
        let ranking = try Registries.objectives.named("multiple-negatives")
        let mixed = texts(1, places: 2, .mean) + texts(1, places: 3, .mean)
        #expect(errorText { try ranking.check(mixed, nil) }?.contains("give all as many") == true)
        #expect(errorText { try ranking.check(examples([4]), nil) }?.contains("texts in pairs") == true)
        let triplet = try Registries.objectives.named("triplet")
        #expect(errorText { try triplet.check(mixed.prefix(1), nil) }?.contains("one has 2") == true)
        let encoder = try load("bert", TestDevices.main).spec
        #expect(errorText { try encoder.check(CausalLM()) }?.contains("is an encoder") == true)
        try encoder.check(ranking)
    }
}
