// The runs of a grid one after another, on one model that stays on the device.

import Checkpoints
import LoRAVK
import Reports

package struct SweepProgress: Sendable {
    package var point: SweepPoint
    /// From 1, among the runs that were left when the sweep began.
    package var run: Int
    package var runs: Int
    package var step: RunProgress
    /// Until all runs are done, if no other process helps.
    package var secondsLeft: Double
}

package enum SweepOutcome: Sendable, Equatable {
    case finished
    /// Other processes compute the last runs.
    case othersGoOn
    case stopped
}

/// Not thread-safe.
package final class Sweep {
    /// How a point of the grid is trained.
    package struct Recipe {
        package var adapter: LoRAConfig
        package var run: RunConfig
        package var optimizer: OptimizerConfig
        package var layout: StepLayout

        package init(
            _ adapter: LoRAConfig, _ run: RunConfig, _ optimizer: OptimizerConfig, _ layout: StepLayout
        ) {
            (self.adapter, self.run, self.optimizer) = (adapter, run, optimizer)
            self.layout = layout
            self.run.tokensPerPass = layout.tokensPerPass
        }
    }

    private let model: Transformer
    private let data: Dataset
    private let validation: Dataset?
    private let store: SweepStore
    private let recipe: (SweepPoint) throws -> Recipe

    package init(
        _ model: Transformer, data: Dataset, validation: Dataset?, store: SweepStore,
        recipe: @escaping (SweepPoint) throws -> Recipe
    ) {
        (self.model, self.data, self.validation) = (model, data, validation)
        (self.store, self.recipe) = (store, recipe)
    }

    /// Trains the points that are not done yet and that no other process trains; a run that was cut short begins again.
    package func run(
        _ points: [SweepPoint], shouldStop: () -> Bool = { false },
        onProgress: (SweepProgress) -> Void = { _ in }, onResult: (SweepResult) throws -> Void = { _ in }
    ) throws -> SweepOutcome {
        try store.add(points)
        let left = try points.filter { point in try !store.isDone(point) }
        let start = ContinuousClock.now
        var done = 0
        for (index, point) in left.enumerated() {
            if shouldStop() { return .stopped }
            guard let claim = try store.claim(point) else { continue }
            let result = try train(point, shouldStop) { step in
                let others = left.count - index - 1
                let whole = (ContinuousClock.now - start) / .seconds(1)
                let fraction = Double(step.step) / Double(step.steps)
                onProgress(
                    SweepProgress(
                        point: point, run: index + 1, runs: left.count, step: step,
                        secondsLeft: (step.secondsLeft ?? 0) + whole / (Double(done) + fraction)
                            * Double(others)))
            }
            guard let result else { return .stopped }
            try store.save(result)
            withExtendedLifetime(claim) {}
            done += 1
            try onResult(result)
        }
        return try points.allSatisfy { point in try store.isDone(point) } ? .finished : .othersGoOn
    }

    /// nil where it was stopped. Divergence is a result.
    private func train(
        _ point: SweepPoint, _ shouldStop: () -> Bool, _ onProgress: (RunProgress) -> Void
    ) throws -> SweepResult? {
        let recipe = try recipe(point)
        let adapter = try Adapter.create(for: model, recipe.adapter, examples: data.examples)
        let trainer = try Trainer(
            model, adapter, optimizer: recipe.optimizer, seed: recipe.run.seed,
            recomputedBlocks: recipe.layout.recomputedBlocks)
        let probed = (validation ?? data).examples.prefix(recipe.run.batchSize)
        let run = try TrainingRun(
            trainer, data: data, validation: validation,
            probe: TokenBatch.passes(Array(probed), tokens: recipe.run.tokensPerPass).first ?? [],
            config: recipe.run, folder: nil)
        var result = SweepResult(point)
        (result.parameters, result.memory) = (adapter.parameterCount, recipe.layout.use.total)
        var seconds: [Double] = []
        func diverged(at step: Int) -> SweepResult {
            var diverged = result
            diverged.divergedAt = step
            return diverged
        }
        do {
            var last: EvaluationReport?
            let outcome = try run.run(shouldStop: shouldStop) { progress in
                result.curve.append(SweepResult.Step(progress))
                last = progress.validation
                seconds.append(progress.report.seconds)
                onProgress(progress)
            }
            guard outcome == .finished else { return nil }
            if let last {
                guard last.loss.isFinite else { return diverged(at: recipe.run.steps) }
                result.validationLoss = last.loss
                result.accuracy = Double(last.correct) / Double(max(1, last.countedTokens))
                result.exampleAccuracy = Double(last.correctExamples) / Double(max(1, last.examples))
            }
            result.trainLoss = result.curve.suffix(max(1, result.curve.count / 10)).map(\.loss).mean
            // The first steps record what the later ones replay.
            result.secondsPerStep = seconds.sorted()[seconds.count / 2]
            return result
        } catch is DivergenceError {
            return diverged(at: result.curve.count + 1)
        }
    }
}

extension SweepResult.Step {
    fileprivate init(_ progress: RunProgress) {
        self.init(
            step: progress.step, loss: progress.report.loss, learningRate: progress.learningRate,
            gradientNorm: progress.report.gradientNorm)
        func finite(_ value: Double?) -> Double? { value.flatMap { $0.isFinite ? $0 : nil } }
        validationLoss = finite(progress.validationLoss)
        (zA, zB) = (finite(progress.features?.zA), finite(progress.features?.zB))
    }
}
