// The loss of a model, with or without an adapter, on examples; and its logits.

import Kernels
import VulkanCompute

/// Not thread-safe: one thread evaluates.
package final class Evaluator {
    package let model: Transformer
    package let adapter: Adapter?
    private let device: Device
    private let workspace: Workspace
    private let unusedState: BufferSlice
    private let unusedResult: BufferSlice

    package init(_ model: Transformer, _ adapter: Adapter?) throws(VulkanError) {
        self.model = model
        self.adapter = adapter
        device = model.device
        workspace = Workspace(device)
        unusedState = try device.makeStepState()
        unusedResult = try device.makeStepResult()
    }

    package func evaluate(_ examples: [Example]) throws(VulkanError) -> EvaluationReport {
        let batch = TokenBatch(examples)
        var report = EvaluationReport()
        guard batch.countedCount > 0 else { return report }
        var outputs: (losses: Tensor, correct: Tensor)?
        try run(batch.padded(to: batch.shape), batch.shape) { x, pass throws(VulkanError) in
            let losses = pass.arena.take(batch.shape.counted)
            let correct = pass.arena.take(batch.shape.counted, dtype: .i32)
            try LossHead(model: model).evaluation(x, losses: losses, correct: correct, pass)
            pass.arena.give(losses, correct)
            outputs = (losses, correct)
        }
        guard let outputs else { return report }
        let losses = try device.values(outputs.losses).prefix(batch.countedCount)
        let correct = try device.integers(outputs.correct).prefix(batch.countedCount)
        report.lossSum = losses.reduce(0) { $0 + Double($1) }
        report.correct = correct.count { $0 != 0 }
        report.countedTokens = batch.countedCount
        return report
    }

    /// Logits (n, V) of the given positions of one sequence.
    package func logits(_ tokens: [Int32], at positions: [Int]) throws(VulkanError) -> [[Float]] {
        var labels = [Int32](repeating: TokenBatch.ignored, count: tokens.count + 1)
        for position in positions { labels[position + 1] = 0 }
        // A last token that nothing attends to makes room for the target of the one before it.
        let batch = TokenBatch([Example(tokens: tokens + [0], labels: labels)])
        let stride = model.head.layout.rows
        var output: Tensor?
        try run(batch.padded(to: batch.shape), batch.shape) { x, pass throws(VulkanError) in
            let logits = pass.arena.take(batch.shape.counted, stride)
            try LossHead(model: model).logits(x, into: logits, pass)
            pass.arena.give(logits)
            output = logits
        }
        guard let output else { return [] }
        let values = try device.values(output)
        return positions.indices.map { Array(values[($0 * stride)..<($0 * stride + model.config.vocabSize)]) }
    }

    private func run(
        _ batch: TokenBatch, _ shape: BatchShape, _ body: (Tensor, Pass) throws(VulkanError) -> Void
    ) throws(VulkanError) {
        func record(_ encoder: CommandEncoder, _ arena: Arena, _ buffers: TokenBuffers) throws(VulkanError) {
            let pass = Pass(
                encoder: encoder, arena: arena, batch: buffers, state: unusedState, result: unusedResult,
                adapter: adapter, isTraining: false)
            let (x, _) = try model.forward(pass)
            try body(x, pass)
        }
        let measure = Arena(planningFor: device.capabilities)
        let planned = Buffer(planned: TokenBuffers.byteCount(shape), label: "tokens")
        try record(
            CommandEncoder(planningFor: device.capabilities), measure, TokenBuffers(planned.slice(), shape))
        if !workspace.holds(measure.plan, shape) { try workspace.grow(measure.plan, shape) }
        let (buffers, arena) = try workspace.open(shape)
        try buffers.upload(batch, device)
        let encoder = try CommandEncoder(device)
        try record(encoder, arena, buffers)
        try encoder.finish().run()
    }
}
