// Training steps on the device: forward and backward of each micro-batch as one recorded graph, the optimizer as another,
// so that a host program can read and change gradients in between. Graphs are kept per batch shape and replayed.

import Kernels
import VulkanCompute

/// What a step did.
package struct StepReport: Sendable {
    /// Mean over what the objective counts: the counted targets, or the pairs.
    package var loss: Double
    package var gradientNorm: Double
    package var tokens: Int
    package var countedTokens: Int
    package var seconds: Double
    /// What else the objective tells.
    package var metrics = Metrics()
    /// A pass of a shape that was not there before was recorded, and its kernels compiled.
    package var isRecorded = false
}

package struct EvaluationReport: Sendable {
    /// The objective's loss: of plain training the mean of −log p(target)·weight, in nats.
    package var objective = LossReport()
    package var countedTokens = 0
    /// Targets that were the model's first choice.
    package var correct = 0
    /// Examples with a target, and those whose every target was the model's first choice.
    package var examples = 0
    package var correctExamples = 0

    package init() {}

    package var lossSum: Double { objective.sum }
    package var loss: Double { objective.mean }
    package var metrics: Metrics { objective.metrics }

    package mutating func add(_ other: EvaluationReport) {
        objective.add(other.objective)
        countedTokens += other.countedTokens
        correct += other.correct
        examples += other.examples
        correctExamples += other.correctExamples
    }
}

/// The loss or the gradients stopped being numbers.
package struct DivergenceError: Error, Sendable, CustomStringConvertible {
    package let description: String
}

/// Not thread-safe: one thread trains.
package final class Trainer {
    package let model: Transformer
    package let adapter: Adapter
    package let objective: any Objective
    package var replays: Bool {
        get { workspace.keepsRecordings }
        set { workspace.keepsRecordings = newValue }
    }
    /// Blocks of which only the input is kept for the backward: as many as there are, at most.
    package let recomputedBlocks: Int
    /// NEFTune's α: noise on the embeddings; 0: none.
    package let noise: Double

    let optimizer: ParameterUpdate
    private let device: Device
    let state: BufferSlice
    let result: BufferSlice
    let workspace: Workspace
    var hostState = StepState()
    private var optimizerGraph: CommandGraph?
    private let optimizerScratch: Arena
    private var clearGraph: CommandGraph?

    package init(
        _ model: Transformer, _ adapter: Adapter, optimizer: OptimizerConfig = OptimizerConfig(),
        seed: UInt64 = 0, recomputedBlocks: Int = 0, objective: any Objective = CausalLM(),
        noise: Double = 0
    ) throws {
        guard (0...1e4).contains(noise) else {
            throw ConfigError(
                "the noise on embeddings is \(noise); it must be 0 to 10000 (NEFTune has 5 to 15)")
        }
        self.noise = noise
        try objective.check(adapter.head)
        self.objective = objective
        self.recomputedBlocks = recomputedBlocks
        self.model = model
        self.adapter = adapter
        device = model.device
        self.optimizer = try ParameterUpdate(optimizer, adapter)
        state = try device.makeStepState()
        result = try device.makeStepResult()
        workspace = Workspace(model)
        let measure = Arena(planningFor: device.capabilities)
        try self.optimizer.record(
            CommandEncoder(planningFor: device.capabilities, scratch: measure), state: state, result: result)
        optimizerScratch = try Arena(device, measure.plan)
        hostState.seed = seed
    }

    /// Steps taken by the optimizer.
    package var step: Int { optimizer.step }

    // MARK: Steps

    /// One optimizer step on the sum of the micro-batches' gradients.
    package func step(_ microBatches: [[Example]], learningRate: Double) throws -> StepReport {
        let start = ContinuousClock.now
        let recorded = workspace.recordedPasses
        let isFirst = optimizerGraph == nil
        let examples = microBatches.joined()
        let counted = examples.reduce(0) { $0 + objective.count($1) }
        try zeroGradients()
        var report = LossReport()
        for examples in microBatches { report.add(try pass(examples, counted: counted)) }
        let norm = try apply(learningRate: learningRate)
        return StepReport(
            loss: report.mean, gradientNorm: norm, tokens: examples.reduce(0) { $0 + $1.tokens.count },
            countedTokens: examples.reduce(0) { $0 + $1.countedTokens },
            seconds: (ContinuousClock.now - start) / .seconds(1), metrics: report.metrics,
            isRecorded: isFirst || workspace.recordedPasses > recorded)
    }

    package func zeroGradients() throws(VulkanError) {
        if let clearGraph { return try clearGraph.run() }
        let encoder = try CommandEncoder(device)
        try encoder.fill(adapter.gradients.slice)
        let graph = try encoder.finish()
        clearGraph = graph
        try graph.run()
    }

    /// Adds the gradients of Σ loss / `counted` to those that are there; returns Σ loss over this batch's targets, or pairs.
    package func forwardBackward(_ examples: [Example], counted: Int) throws -> Double {
        try pass(examples, counted: counted).sum
    }

    private func pass(_ examples: [Example], counted: Int) throws -> LossReport {
        try objective.check(examples, adapter.head)
        let batch = TokenBatch(examples)
        guard batch.countedCount > 0 else { return LossReport() }
        hostState.pass &+= 1
        hostState.lossScale = 1 / Float(counted)
        try device.upload([hostState], into: state)
        let pass = try workspace.prepare(batch, for: .training, record)
        try adapter.refresh()
        try pass.graph.run()
        let report = try objective.report(
            FinishedPass(
                examples: examples, outputs: pass.outputs, outputsOfHead: adapter.head?.outputs ?? 0,
                result: result, device: device))
        guard report.sum.isFinite else {
            throw DivergenceError(
                description: "the loss became \(report.sum) at step \(step + 1); "
                    + "try a smaller learning rate, a warm-up, or clipping the gradient norm at 1")
        }
        return report
    }

    /// Updates the adapter by its gradients and returns their global norm (before clipping).
    package func apply(learningRate: Double) throws -> Double {
        optimizer.prepare(&hostState, learningRate: learningRate)
        try device.upload([hostState], into: state)
        if optimizerGraph == nil {
            let encoder = try CommandEncoder(device, scratch: optimizerScratch)
            try optimizer.record(encoder, state: state, result: result)
            optimizerGraph = try encoder.finish()
        }
        try optimizerGraph?.run()
        let report = try readResult()
        if report.skipped {
            optimizer.undo()
            throw DivergenceError(
                description:
                    "the gradient norm became \(report.gradientNorm) at step \(step + 1); the step was not "
                    + "applied. Try a smaller learning rate, a warm-up, or clipping the gradient norm at 1")
        }
        return Double(report.gradientNorm)
    }

    /// Goes back to the parameters that the last applied step started from: the newest known to give a finite loss.
    package func restoreLastGoodParameters() throws(VulkanError) { try optimizer.restoreLastGoodParameters() }

    private func readResult() throws(VulkanError) -> StepResult {
        try device.download(result, as: StepResult.self)[0]
    }

    // MARK: Recorded steps

    /// What a step of this shape takes, found without touching the device.
    package func plan(_ shape: BatchShape) throws(VulkanError) -> PassPlan {
        try workspace.plan(shape, for: .training, record)
    }

    /// Makes room for a shape at once, so that memory does not grow in the middle of a run.
    package func reserve(_ shape: BatchShape) throws(VulkanError) {
        try workspace.reserve(shape, for: .training, record)
    }

    /// Device time of every kernel of a forward and backward on a batch, and of the optimizer.
    package func profile(_ examples: [Example]) throws -> [KernelTiming] {
        let batch = TokenBatch(examples)
        try reserve(batch.shape)
        let (buffers, arena) = try workspace.open(batch.shape)
        try buffers.upload(batch.padded(to: batch.shape), device)
        let encoder = try CommandEncoder(device, timed: true, scratch: arena)
        _ = try record(encoder, arena, buffers)
        try optimizer.record(encoder, state: state, result: result)
        let graph = try encoder.finish()
        try adapter.refresh()
        try graph.run()
        adapter.parametersChanged()
        try zeroGradients()
        return try graph.timings()
    }

    private func record(
        _ encoder: CommandEncoder, _ arena: Arena, _ buffers: TokenBuffers
    ) throws(VulkanError) -> [Tensor] {
        let pass = Pass(
            encoder: encoder, arena: arena, batch: buffers, state: state, result: result, adapter: adapter,
            isTraining: true, recomputedBlocks: recomputedBlocks, noise: Float(noise))
        let (x, saved) = try model.forward(pass)
        let (dx, outputs) = try objective.record(x, model.head, pass)
        try model.backward(dx, saved, pass)
        for output in outputs { arena.give(output) }
        precondition(arena.isEmpty, "a step kept activations")
        return outputs
    }
}
