// The loss of a model, with or without an adapter, on examples; and its logits.

import Kernels
import VulkanCompute

/// Not thread-safe: one thread evaluates.
package final class Evaluator {
    package let model: Transformer
    package let adapter: Adapter?
    package let objective: any Objective
    let workspace: Workspace
    var device: Device { model.device }
    private let unusedState: BufferSlice
    private let unusedResult: BufferSlice

    package convenience init(
        _ model: Transformer, _ adapter: Adapter?, objective: any Objective = CausalLM()
    ) throws(VulkanError) {
        try self.init(
            model, adapter, objective, Workspace(model), model.device.makeStepState(),
            model.device.makeStepResult())
    }

    /// Evaluates what `trainer` trains, in the memory of its steps.
    package convenience init(sharing trainer: Trainer) {
        self.init(
            trainer.model, trainer.adapter, trainer.objective, trainer.workspace, trainer.state,
            trainer.result)
    }

    private init(
        _ model: Transformer, _ adapter: Adapter?, _ objective: any Objective, _ workspace: Workspace,
        _ unusedState: BufferSlice, _ unusedResult: BufferSlice
    ) {
        (self.model, self.adapter, self.workspace) = (model, adapter, workspace)
        self.objective = objective
        (self.unusedState, self.unusedResult) = (unusedState, unusedResult)
    }

    /// What this evaluates without its adapter, in the same memory.
    var withoutAdapter: Evaluator {
        Evaluator(model, nil, objective, workspace, unusedState, unusedResult)
    }

    package func evaluate(_ examples: [Example]) throws -> EvaluationReport {
        try objective.check(adapter?.head)
        try objective.check(examples, adapter?.head)
        if let objective = objective as? any TextObjective {
            return try evaluate(texts: [examples], objective)
        }
        let batch = TokenBatch(examples)
        var report = EvaluationReport()
        guard batch.countedCount > 0 else { return report }
        guard let objective = objective as? any TokenObjective else { return try scored(examples, batch) }
        let (losses, correct) = try losses(batch)
        report.objective = objective.report(losses, batch, examples)
        report.correct = correct.count { $0 != 0 }
        var first = correct.startIndex
        for example in examples where example.countedTokens > 0 {
            let end = first + example.countedTokens
            report.correctExamples += correct[first..<end].allSatisfy { $0 != 0 } ? 1 : 0
            report.examples += 1
            first = end
        }
        report.countedTokens = batch.countedCount
        return report
    }

    private func scored(_ examples: [Example], _ batch: TokenBatch) throws -> EvaluationReport {
        guard let objective = objective as? any ScoreObjective else {
            preconditionFailure("\(objective.name) learns neither tokens nor scores")
        }
        var report = EvaluationReport()
        report.objective = objective.report(try scores(batch), examples)
        report.correct = report.metrics.sayings.correct
        (report.correctExamples, report.examples) = (report.correct, report.objective.count)
        report.countedTokens = batch.countedCount
        return report
    }

    /// What the head says (K) of each sequence, at its last token.
    package func scores(_ sequences: [[Int32]]) throws -> [[Float]] {
        guard adapter?.head != nil else { throw ConfigError("the adapter has no head that says scores") }
        let examples = sequences.map { Example($0, Outcome(label: 0)) }
        for example in examples {
            try model.check(example)
            if example.tokens.isEmpty { throw ConfigError("a text without tokens has no scores") }
        }
        return try TokenBatch.passes(examples, tokens: Self.tokensPerPass).flatMap {
            try scores(TokenBatch($0))
        }
    }

    private func scores(_ batch: TokenBatch) throws(VulkanError) -> [[Float]] {
        let pass = try workspace.prepare(batch, for: .scores, recordScores)
        try adapter?.refresh()
        try pass.graph.run()
        return try device.rows(pass.outputs[0], batch.countedCount, of: adapter?.head?.outputs ?? 0)
    }

    private func recordScores(
        _ encoder: CommandEncoder, _ arena: Arena, _ buffers: TokenBuffers
    ) throws(VulkanError) -> [Tensor] {
        let pass = pass(encoder, arena, buffers)
        let (x, _) = try model.forward(pass)
        let (h, saved, scores) = try model.head.scores(x, pass)
        model.head.giveNormed(x, h, saved, pass)
        arena.give(scores)
        return [scores]
    }

    /// −log p of each token of the examples, in their order; 0 where it is no target that counts.
    package func tokenLosses(_ examples: [Example]) throws(VulkanError) -> [Float] {
        var result: [Float] = []
        for examples in TokenBatch.passes(examples, tokens: Self.tokensPerPass) {
            let batch = TokenBatch(examples)
            var losses = [Float](repeating: 0, count: batch.tokenCount)
            if batch.countedCount > 0 {
                let counted = try self.losses(batch).losses
                for (position, loss) in zip(batch.countedPositions, counted) {
                    losses[Int(position) + 1] = loss
                }
            }
            result += losses
        }
        return result
    }

    /// Of the counted targets: the loss, and whether each was the model's first choice.
    func losses(
        _ batch: TokenBatch
    ) throws(VulkanError) -> (losses: ArraySlice<Float>, correct: ArraySlice<Int32>) {
        let pass = try workspace.prepare(
            batch, for: .evaluation(adapted: adapter != nil), recordLosses)
        try adapter?.refresh()
        try pass.graph.run()
        return (
            try device.values(pass.outputs[0]).prefix(batch.countedCount),
            try device.integers(pass.outputs[1]).prefix(batch.countedCount)
        )
    }

    /// Logits (n, V) of the given positions of one sequence.
    package func logits(_ tokens: [Int32], at positions: [Int]) throws(VulkanError) -> [[Float]] {
        var labels = [Int32](repeating: TokenBatch.ignored, count: tokens.count + 1)
        for position in positions { labels[position + 1] = 0 }
        // A last token that nothing attends to makes room for the target of the one before it.
        let batch = TokenBatch([Example(tokens: tokens + [0], labels: labels)])
        let stride = model.head.paddedVocabulary
        let pass = try workspace.prepare(batch, for: .logits, recordLogits)
        try adapter?.refresh()
        try pass.graph.run()
        let values = try device.values(pass.outputs[0])
        return positions.indices.map { Array(values[($0 * stride)..<($0 * stride + model.spec.vocabulary)]) }
    }

    private func recordLosses(
        _ encoder: CommandEncoder, _ arena: Arena, _ buffers: TokenBuffers
    ) throws(VulkanError) -> [Tensor] {
        let count = buffers.targets.count
        let pass = pass(encoder, arena, buffers)
        let (x, _) = try model.forward(pass)
        let (losses, correct) = (arena.take(count), arena.take(count, dtype: .i32))
        try model.head.evaluation(x, losses: losses, correct: correct, pass)
        arena.give(losses, correct)
        return [losses, correct]
    }

    private func recordLogits(
        _ encoder: CommandEncoder, _ arena: Arena, _ buffers: TokenBuffers
    ) throws(VulkanError) -> [Tensor] {
        let pass = pass(encoder, arena, buffers)
        let (x, _) = try model.forward(pass)
        let logits = arena.take(buffers.targets.count, model.head.paddedVocabulary)
        try model.head.logits(x, into: logits, pass)
        arena.give(logits)
        return [logits]
    }

    func pass(_ encoder: CommandEncoder, _ arena: Arena, _ buffers: TokenBuffers) -> Pass {
        Pass(
            encoder: encoder, arena: arena, batch: buffers, state: unusedState, result: unusedResult,
            adapter: adapter, isTraining: false)
    }
}
