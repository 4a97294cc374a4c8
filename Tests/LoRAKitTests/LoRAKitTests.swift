// The public Swift module: a plain step and the same step as an objective of one's own, a method of one's own, and what is saved.

import Foundation
import LoRAKit
import Testing

/// The mean of −log p, which the library has itself.
private struct MeanLoss: Objective {
    func evaluate(_ logProbabilities: [[Double]], of examples: [Example]) -> (
        loss: Double, derivative: [[Double]]
    ) {
        let count = Double(logProbabilities.reduce(0) { $0 + $1.count })
        return (
            -logProbabilities.joined().reduce(0, +) / count,
            logProbabilities.map { $0.map { _ in -1 / count } }
        )
    }
}

private struct ShortDerivative: Objective {
    func evaluate(_ logProbabilities: [[Double]], of examples: [Example]) -> (
        loss: Double, derivative: [[Double]]
    ) {
        (0, [[]])
    }
}

private struct QuarterLoRA: Method {
    let name = "quarter-lora"
    let summary = "LoRA of which a quarter counts"
    let factor = 0.25

    func learningRate(of matrix: LoRAMatrix) -> Double { matrix == .a ? 0 : 1 }

    func start(_ layer: LoRAShape, random: inout any RandomNumberGenerator) -> (a: [Float], b: [Float])? {
        (
            (0..<layer.rank * layer.inFeatures).map { _ in Float.random(in: -0.25...0.25, using: &random) },
            [Float](repeating: 0, count: layer.outFeatures * layer.rank)
        )
    }
}

@Suite struct LoRAKitTests {
    private static let tiny = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Examples/tiny").path

    private func model() throws -> Model { try Model("\(Self.tiny)/model", on: Device()) }

    private func examples(_ model: Model, _ count: Int) throws -> [Example] {
        Array(try model.examples("\(Self.tiny)/valid.jsonl", maxTokens: 48).prefix(count))
    }

    private func trainer(_ model: Model, method: String = "lora") throws -> Trainer {
        var options = Adapter.Options()
        (options.rank, options.method) = (4, method)
        return try Trainer(model, Adapter(for: model, options))
    }

    @Test func anObjectiveOfOnesOwnIsThePlainStepWhereItIsTheSameFunction() throws {
        let model = try model()
        let examples = try examples(model, 6)
        let (plain, own) = (try trainer(model), try trainer(model))
        for _ in 0..<3 {
            let a = try plain.step(examples, learningRate: 1e-2)
            let b = try own.step(examples, MeanLoss(), learningRate: 1e-2)
            #expect(abs(a.loss - b.loss) < 1e-4 * a.loss)
            #expect(abs(a.gradientNorm - b.gradientNorm) < 1e-3 * a.gradientNorm)
        }
        #expect(abs(try plain.loss(examples) - own.loss(examples)) < 1e-3)
        let error = #expect(throws: (any Error).self) {
            try own.step(examples, ShortDerivative(), learningRate: 1e-2)
        }
        #expect("\(try #require(error))".contains("derivative has [0] numbers"))
    }

    @Test func fitLearnsStopsAndSavesWhatLoads() throws {
        let model = try model()
        let examples = try examples(model, 8)
        let trainer = try trainer(model)
        let before = try trainer.loss(examples)
        var schedule = Trainer.Schedule(steps: 12)
        (schedule.batchSize, schedule.learningRate) = (4, 1e-2)
        var steps = 0
        try trainer.fit(examples, schedule) { number, _ in
            steps = number
            return number < 10
        }
        #expect(steps == 10)
        let after = try trainer.loss(examples)
        #expect(after < before - 0.05, "\(before) → \(after)")

        let folder = NSTemporaryDirectory() + "kit-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try trainer.adapter.save(to: folder)
        let again = try Trainer(model, Adapter(folder, for: model))
        #expect(try again.logProbabilities(examples) == trainer.logProbabilities(examples))
        let prompt = try model.chatTokens(of: "The fear of the")
        let answer = try model.generate(prompt, with: trainer.adapter, maxTokens: 8)
        #expect(try model.generate(prompt, with: again.adapter, maxTokens: 8) == answer)
        #expect(!answer.isEmpty && answer.count <= 8 && !model.text(of: answer).isEmpty)
        #expect(model.tokens(of: model.text(of: answer)).isEmpty == false)
    }

    /// What is saved is a plain LoRA that computes the same.
    @Test func aMethodOfOnesOwnTrainsAndIsSavedAsLoRA() throws {
        QuarterLoRA().register()
        let model = try model()
        let examples = try examples(model, 4)
        let trainer = try trainer(model, method: "quarter-lora")
        let plain = try self.trainer(model)
        #expect(try trainer.logProbabilities(examples) == plain.logProbabilities(examples), "B begins at 0")
        for _ in 0..<4 { _ = try trainer.step(examples, learningRate: 5e-2) }
        let folder = NSTemporaryDirectory() + "kit-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try trainer.adapter.save(to: folder)
        let again = try Trainer(model, Adapter(folder, for: model))
        for (a, b) in zip(
            try trainer.logProbabilities(examples).joined(), try again.logProbabilities(examples).joined())
        {
            #expect(abs(a - b) < 1e-4 * max(1, abs(b)))
        }
        #expect(try trainer.loss(examples) < plain.loss(examples))
    }

    @Test func examplesSayWhatIsLearned() throws {
        let example = Example(prompt: [1, 2], completion: [3, 4])
        #expect(example.tokens == [1, 2, 3, 4] && example.isLearned == [false, false, true, true])
        let model = try model()
        #expect(try model.examples(Self.tiny, split: .valid).count > 8)
        #expect(throws: (any Error).self) { try Model("/nowhere/at/all", on: Device()) }
        #expect(throws: (any Error).self) { try trainer(model, method: "magic") }
    }
}
