// The runs of a grid one after another, on one model that stays on the device. Each is a run of `train` with a folder of its own,
// so one that was stopped, or that waits for the others of its rung, goes on to the same bits.

import Checkpoints
import Glibc
import LoRAVK
import Reports

package struct SweepProgress: Sendable {
    package var point: SweepPoint
    /// From 1, among the runs that were left when the sweep began, or when its rung did.
    package var run: Int
    package var runs: Int
    /// Of the pruning, from 1; nil: the runs train to their end.
    package var rung: Int?
    package var step: RunProgress
    /// Until all of these are done, if no other process helps.
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
        package var objective: any Objective
        package var layout: StepLayout
        package var data: Dataset
        package var validation: Dataset?
        /// What `train --config` makes the same run of.
        package var options: JSON.Object

        package init(
            _ adapter: LoRAConfig, _ run: RunConfig, _ optimizer: OptimizerConfig,
            _ objective: any Objective, _ layout: StepLayout, data: Dataset, validation: Dataset?,
            options: JSON.Object
        ) {
            (self.adapter, self.run, self.optimizer, self.objective) = (adapter, run, optimizer, objective)
            (self.layout, self.data, self.validation, self.options) = (layout, data, validation, options)
            self.run.tokensPerPass = layout.tokensPerPass
            // A sweep keeps the best of its runs as they end.
            self.run.saveEvery = 0
        }
    }

    private let model: Transformer
    private let store: SweepStore
    private let pruning: Halving?
    private let recipe: (SweepPoint, _ folder: String) throws -> Recipe

    /// How long to wait for runs of other processes before looking again, in microseconds.
    private static let patience: UInt32 = 250_000

    package init(
        _ model: Transformer, store: SweepStore, pruning: Halving? = nil,
        recipe: @escaping (SweepPoint, _ folder: String) throws -> Recipe
    ) {
        (self.model, self.store, self.pruning, self.recipe) = (model, store, pruning, recipe)
    }

    package struct Observer {
        package var shouldStop: () -> Bool = { false }
        package var onProgress: (SweepProgress) -> Void = { _ in }
        package var onResult: (SweepResult) throws -> Void = { _ in }
        package var onWarning: (String) -> Void = { _ in }

        package init() {}
    }

    /// Trains the points that are not done yet and that no other process trains.
    package func run(_ points: [SweepPoint], _ observer: Observer = Observer()) throws -> SweepOutcome {
        try store.add(points)
        var left = points
        for rung in 0..<(pruning?.rungs ?? 0) {
            // Who goes on is decided when all are there, so it does not depend on who computed what.
            while true {
                let outcome = try train(left, to: rung, observer)
                if outcome == .stopped { return .stopped }
                if outcome == .finished { break }
                usleep(Self.patience)
                if observer.shouldStop() { return .stopped }
            }
            left = try survivors(left, of: points, rung, observer)
        }
        return try train(left, to: nil, observer)
    }

    /// To a rung, or to the end.
    private func train(_ points: [SweepPoint], to rung: Int?, _ observer: Observer) throws -> SweepOutcome {
        func isThere(_ point: SweepPoint) throws -> Bool {
            if let rung { try store.loss(of: point, rung: rung) != nil } else { try store.isDone(point) }
        }
        let left = try points.filter { point in try !isThere(point) }
        let start = ContinuousClock.now
        var done = 0
        for (index, point) in left.enumerated() {
            if observer.shouldStop() { return .stopped }
            guard let claim = try store.claim(point) else { continue }
            if try isThere(point) { continue }
            let isWhole = try train(point, to: rung, observer) { step, fraction in
                let whole = (ContinuousClock.now - start) / .seconds(1)
                let rest = Double(left.count - index) - fraction
                observer.onProgress(
                    SweepProgress(
                        point: point, run: index + 1, runs: left.count, rung: rung.map { $0 + 1 },
                        step: step, secondsLeft: whole / (Double(done) + fraction) * rest))
            }
            withExtendedLifetime(claim) {}
            guard isWhole else { return .stopped }
            done += 1
        }
        return try points.allSatisfy(isThere) ? .finished : .othersGoOn
    }

    /// Those that go on; the others' runs end here.
    private func survivors(
        _ points: [SweepPoint], of all: [SweepPoint], _ rung: Int, _ observer: Observer
    ) throws -> [SweepPoint] {
        guard let pruning else { return points }
        let configurations = Configuration.all(points)
        let losses = try configurations.map { configuration -> Double? in
            let losses = try configuration.points.map { point in try store.loss(of: point, rung: rung) ?? nil
            }
            return losses.contains { $0?.isFinite != true } ? nil : losses.compactMap(\.self).mean
        }
        let chosen = Set(pruning.choose(losses, rung: rung, of: Configuration.all(all).count))
        for (index, configuration) in configurations.enumerated() where !chosen.contains(index) {
            for point in configuration.points {
                guard let claim = try store.claim(point) else { continue }
                try prune(point, rung, observer)
                withExtendedLifetime(claim) {}
            }
        }
        let rest = Set(chosen.flatMap { configurations[$0].points })
        return points.filter(rest.contains)
    }

    private func prune(_ point: SweepPoint, _ rung: Int, _ observer: Observer) throws {
        let folder = store.folder(of: point)
        var result = SweepResult(point)
        result.validationLoss = try store.loss(of: point, rung: rung) ?? nil
        result.read(try RunLog(folder))
        result.prunedAt = result.curve.last?.step ?? 0
        try store.save(result)
        try Self.clear(folder)
        try observer.onResult(result)
    }

    /// All that has the same options but the seed.
    private struct Configuration {
        var points: [SweepPoint]

        static func all(_ points: [SweepPoint]) -> [Configuration] {
            struct Key: Hashable {
                var series: SweepPoint.Series
                var rate: Double
            }
            var (found, places): ([Configuration], [Key: Int]) = ([], [:])
            for point in points {
                let key = Key(series: point.series, rate: point.learningRate)
                if let place = places[key] {
                    found[place].points.append(point)
                } else {
                    places[key] = found.count
                    found.append(Configuration(points: [point]))
                }
            }
            return found
        }
    }

    // MARK: One run

    /// Trains a run to a rung or to its end, and enters what it found. False where it was stopped; it goes on from there.
    private func train(
        _ point: SweepPoint, to rung: Int?, _ observer: Observer,
        _ onProgress: (RunProgress, _ fraction: Double) -> Void
    ) throws -> Bool {
        let folder = store.folder(of: point)
        let recipe = try recipe(point, folder)
        try FileSystem.makeFolder("\(store.folder)/\(SweepStore.runsName)")
        try FileSystem.makeFolder(folder)
        try AtomicFile.write(
            JSON.object(recipe.options).text(.python) + "\n", to: "\(folder)/\(RunLog.optionsName)")
        let adapter = try Adapter.create(
            for: model, recipe.adapter, examples: recipe.data.examples.map(\.first))
        let trainer = try Trainer(
            model, adapter, optimizer: recipe.optimizer, seed: recipe.run.seed,
            recomputedBlocks: recipe.layout.recomputedBlocks, objective: recipe.objective)
        let resumes = FileSystem.exists("\(folder)/\(TrainingState.fileName)")
        let run = try TrainingRun(
            trainer, data: recipe.data, validation: recipe.validation, probe: probe(recipe),
            config: recipe.run, folder: folder, overwrites: !resumes, resumes: resumes)
        let goal = rung.flatMap { pruning?.step($0, of: recipe.run.steps) } ?? recipe.run.steps
        var (done, isStopped) = (run.firstStep, false)
        var result = SweepResult(point)
        (result.parameters, result.memory) = (adapter.parameterCount, recipe.layout.use.total)
        do {
            if done < goal {
                let outcome = try run.run(
                    shouldStop: {
                        isStopped = observer.shouldStop()
                        return isStopped || done >= goal
                    },
                    onProgress: { progress in
                        done = progress.step
                        if let report = progress.validation { result.note(report) }
                        let first = run.firstStep
                        onProgress(progress, Double(done - first) / Double(max(1, goal - first)))
                    }, onWarning: observer.onWarning)
                if isStopped, !outcome.isEnd { return false }
                if rung != nil, !outcome.isEnd, run.isResumable == false {
                    throw FileError(
                        folder, "does not hold the state of its run, which others wait for",
                        remedy: "make room for it and give the same command again")
                }
            }
            result.read(try RunLog(folder))
            if let rung {
                try store.note(try rungLoss(trainer, recipe, result), of: point, rung: rung)
                guard goal >= recipe.run.steps else { return true }
            }
            if let loss = result.validationLoss, !loss.isFinite { diverge(&result, at: recipe.run.steps) }
        } catch is DivergenceError {
            result.read(try RunLog(folder))
            diverge(&result, at: result.curve.count + 1)
        }
        try store.save(result) { best in
            try adapter.save(to: best)
            try AtomicFile.write(
                JSON.object(recipe.options).text(.python) + "\n", to: "\(best)/\(RunLog.optionsName)")
            try AtomicFile.write(
                JSON.object(result.summary).text(.python) + "\n", to: "\(best)/\(SweepStore.resultName)")
        }
        try Self.clear(folder)
        try observer.onResult(result)
        return true
    }

    /// Divergence is a result.
    private func diverge(_ result: inout SweepResult, at step: Int) {
        result.divergedAt = step
        (result.trainLoss, result.validationLoss) = (nil, nil)
        (result.tokenAccuracy, result.exampleAccuracy) = (nil, nil)
    }

    /// The validation loss where there is validation data.
    private func rungLoss(_ trainer: Trainer, _ recipe: Recipe, _ result: SweepResult) throws -> Double? {
        guard let validation = recipe.validation else { return result.trainLoss }
        let loss = try Evaluator(sharing: trainer).evaluate(
            validation, tokensPerPass: recipe.run.tokensPerPass, shouldStop: { false }
        ).loss
        return loss.isFinite ? loss : nil
    }

    /// A batch on which the features are measured.
    private func probe(_ recipe: Recipe) -> [Example] {
        let examples = (recipe.validation ?? recipe.data).examples.prefix(recipe.run.batchSize)
        return TokenBatch.passes(Array(examples), tokens: recipe.run.tokensPerPass).first ?? []
    }

    /// Of a run that is done its log stays.
    private static func clear(_ folder: String) throws {
        for name in [AdapterFiles.configName, AdapterFiles.weightsName, TrainingState.fileName]
        where FileSystem.exists("\(folder)/\(name)") {
            try FileSystem.remove("\(folder)/\(name)")
        }
    }
}

extension SweepResult {
    /// What is said of the best beside its adapter.
    fileprivate var summary: JSON.Object {
        var object: JSON.Object = ["run": .string(point.folderName), "steps": .integer(curve.count)]
        for (name, value) in [
            ("validation_loss", validationLoss), ("train_loss", trainLoss),
            ("token_accuracy", tokenAccuracy), ("example_accuracy", exampleAccuracy),
        ] {
            if let value { object[name] = .double(value) }
        }
        return object
    }
}
