// A whole run: steps over a data set with a schedule, metrics, validation, and an adapter folder at the end. The folder
// holds a complete adapter or none at every instant, and only one run writes to it. Until the run has finished it also holds the
// training's state, from which the same run goes on to the same bits.

import Checkpoints
import Kernels
import Tokenizer
import VulkanCompute

package struct RunProgress: Sendable {
    package var step: Int
    package var steps: Int
    package var report: StepReport
    package var learningRate: Double
    package var tokensPerSecond: Double
    /// nil while only steps were made that compile kernels.
    package var secondsLeft: Double?
    package var validation: EvaluationReport?
    /// The validation loss is the lowest so far.
    package var isBest = false
    package var samples: [Sample] = []
    package var features: FeatureNorms?

    package var validationLoss: Double? { validation?.loss }
}

package enum RunOutcome: Sendable, Equatable {
    case finished
    /// Stopped by `shouldStop` after this many steps.
    case stopped(step: Int)
    /// Its time was over after this many steps.
    case timeIsUp(step: Int)
    /// Finished after this many steps, because the validation loss did not fall any more.
    case outOfPatience(step: Int)

    /// There is nothing to go on with.
    package var isEnd: Bool {
        switch self {
        case .finished, .outOfPatience: true
        case .stopped, .timeIsUp: false
        }
    }
}

package final class TrainingRun {
    private let trainer: Trainer
    private var data: Dataset
    private var validation: Dataset?
    private let probe: [Example]
    private let config: RunConfig
    private let output: RunFolder?
    private let sampler: RunSampler?
    private var watch: ValidationWatch
    private var best: BestParameters?
    private let reference: Reference?

    /// Takes the output folder (making it where needed); fails before anything is computed where it cannot be used. With
    /// each validation the features on `probe` are measured, and `sampler` answers its prompts. `resumes`: goes on where the same run was stopped or killed, or
    /// begins in a folder without an adapter.
    package init(
        _ trainer: Trainer, data: Dataset, validation: Dataset? = nil, probe: [Example] = [],
        sampler: RunSampler? = nil, config: RunConfig, folder: String?, overwrites: Bool = false,
        resumes: Bool = false
    ) throws {
        try config.validate()
        guard !config.goesByValidation || validation != nil else {
            throw ConfigError(
                "early stopping and the best adapter go by the validation loss, and there is no validation data; put a "
                    + "valid.jsonl beside train.jsonl, or leave them away")
        }
        guard !overwrites || !resumes else {
            throw ConfigError("a run either goes on (--resume) or replaces what is there (--overwrite)")
        }
        guard folder != nil || !resumes else {
            throw ConfigError("only a run with an output folder can go on from what is there")
        }
        for example in data.examples + (validation?.examples ?? []) + probe {
            try trainer.model.check(example)
        }
        try trainer.objective.check(data.examples + (validation?.examples ?? []), trainer.adapter.head)
        reference = try Reference(trainer)
        output = try folder.map { folder in
            try RunFolder(
                folder, trainer, RunSettings(trainer, data, config), steps: config.steps,
                overwrites: overwrites, resumes: resumes)
        }
        watch = output?.watch ?? ValidationWatch()
        best = try output?.best(watch)
        self.sampler = sampler
        self.trainer = trainer
        self.data = data
        self.validation = validation
        self.probe = probe
        self.config = config
    }

    /// Where the adapter goes; nil: it stays on the device.
    package var folder: String? { output?.path }

    /// Steps that were done before: 0 for a run that begins.
    package var firstStep: Int { output?.firstStep ?? 0 }

    /// Whether a run with `resumes` goes on from what is in the folder now.
    package var isResumable: Bool { output?.holdsState ?? false }

    /// The tokens of a pass with which the run in a folder can go on; nil where there is none.
    package static func savedTokensPerPass(in folder: String) -> Int? {
        RunSettings.tokensPerPass(in: RunFolder.notes(of: folder))
    }

    /// The date that the chat template wrote in that run: data that is read for it again needs the same.
    package static func savedDate(in folder: String) -> TemplateDate? {
        RunSettings.date(in: RunFolder.notes(of: folder))
    }

    /// Trains to the end, or until `shouldStop` says so between two steps; the adapter is saved in either case. What goes
    /// wrong with files on the way (a full disk) is a warning: only the last save of the adapter must succeed.
    /// `onReference`: so many of the examples have been seen by the model that the run begins with, where the objective
    /// needs that.
    package func run(
        shouldStop: () -> Bool = { false }, onProgress: (RunProgress) -> Void = { _ in },
        onSave: (_ step: Int, _ folder: String) -> Void = { _, _ in },
        onWarning: (String) -> Void = { _ in }, onReference: (_ done: Int, _ of: Int) -> Void = { _, _ in }
    ) throws -> RunOutcome {
        if let warning = output?.warning { onWarning(warning) }
        if let warning = config.schedule.warning { onWarning(warning) }
        if config.keepsBest, let step = watch.bestStep, best == nil {
            onWarning(
                "the folder does not hold the adapter of step \(step) any more, whose validation loss is the lowest so "
                    + "far: the run ends with another")
        }
        for data in [data, validation].compactMap(\.self) {
            for warning in data.warnings { onWarning("\(data.path): \(warning)") }
        }
        try reserve()
        try compare(shouldStop, onReference)
        var order = BatchOrder(
            examples: data.examples.count, batchSize: config.batchSize, seed: config.seed,
            shuffles: config.shuffles)
        var speed = Speed()
        order.skip(firstStep * config.accumulation)
        let start = ContinuousClock.now
        func timeIsUp(_ step: Int) -> Bool {
            guard step > firstStep, let most = config.maxSeconds else { return false }
            return (ContinuousClock.now - start) / .seconds(1) >= most
        }
        for step in firstStep..<config.steps {
            let isStopped = shouldStop()
            if isStopped || timeIsUp(step) {
                saveState(step, onWarning)
                try keepingLastGoodAdapter { try save(step, onSave) }
                return isStopped ? .stopped(step: step) : .timeIsUp(step: step)
            }
            let batches = (0..<config.accumulation).flatMap { _ in
                TokenBatch.passes(order.batch().map { data.examples[$0] }, tokens: config.tokensPerPass)
            }
            let rate = config.schedule.rate(step)
            let report = try keepingLastGoodAdapter { try trainer.step(batches, learningRate: rate) }
            speed.note(report)
            let done = step + 1
            var progress = RunProgress(
                step: done, steps: config.steps, report: report, learningRate: rate,
                tokensPerSecond: speed.tokensPerSecond,
                secondsLeft: speed.secondsLeft(steps: config.steps - done))
            if done == config.steps || (config.validateEvery > 0 && done % config.validateEvery == 0) {
                try look(&progress, onWarning)
            }
            if let warning = try output?.retake() { onWarning(warning) }
            let isOver = config.patience > 0 && watch.stale >= config.patience
            let isLast = isOver || done == config.steps
            do { try output?.append(progress) } catch { onWarning("\(error)") }
            onProgress(progress)
            if isLast {
                try takeBest(after: done, onWarning)
                try keepingLastGoodAdapter { try save(done, onSave) }
                do { try output?.removeState() } catch { onWarning("\(error)") }
                if isOver && done < config.steps { return .outOfPatience(step: done) }
            } else if config.saveEvery > 0 && done % config.saveEvery == 0 {
                saveState(done, onWarning)
                do { try save(done, onSave) } catch { onWarning("\(error); the run goes on") }
            }
        }
        return .finished
    }

    private func save(_ done: Int, _ onSave: (Int, String) -> Void) throws {
        guard let folder else { return }
        try trainer.adapter.save(to: folder)
        onSave(done, folder)
    }

    /// The parameters of the best validation, where they are not the last.
    private func takeBest(after done: Int, _ onWarning: (String) -> Void) throws {
        guard let best, best.step != done else { return }
        do { try best.restore(trainer) } catch let error as FileError {
            onWarning("\(error); the run ends with its last adapter and not with its best")
        }
    }

    /// The step of the lowest validation loss so far, and that loss.
    package var bestValidation: (step: Int, loss: Double)? {
        watch.bestStep.map { ($0, watch.bestLoss) }
    }

    /// Always before the adapter, which it contains: a folder whose run was killed never has an adapter alone.
    private func saveState(_ done: Int, _ onWarning: (String) -> Void) {
        do {
            // The checkpoint first: a run that was killed in between makes it again.
            if config.keptCheckpoints > 0, done > 0, done % config.saveEvery == 0 {
                try output?.saveCheckpoint(trainer, done: done, watch, keeping: config.keptCheckpoints)
            }
            try output?.save(trainer, done: done, watch)
        } catch {
            onWarning("\(error); the training's state was not saved")
        }
    }

    /// Room for the largest batch from the start, so that memory runs out before the first step or never.
    private func reserve() throws {
        try trainer.reserve(
            BatchShape(
                largestOf: data.sizes, batchSize: config.batchSize, tokensPerPass: config.tokensPerPass))
    }

    /// Looks at all data with the parameters that the run began with, where the objective needs that.
    private func compare(_ shouldStop: () -> Bool, _ onReference: (Int, Int) -> Void) throws {
        let (first, count) = (data.examples.count, data.examples.count + (validation?.examples.count ?? 0))
        try reference?.evaluate(isThere: firstStep == 0) { evaluator in
            func referring(_ data: Dataset, after before: Int) throws -> Dataset {
                try evaluator.referring(
                    data, tokensPerPass: config.tokensPerPass, shouldStop: shouldStop,
                    onProgress: { onReference(before + $0, count) })
            }
            data = try referring(data, after: 0)
            validation = try validation.map { try referring($0, after: first) }
        }
    }

    private func keepingLastGoodAdapter<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as DivergenceError {
            try trainer.restoreLastGoodParameters()
            try folder.map(trainer.adapter.save)
            // It would diverge again.
            try? output?.removeState()
            throw DivergenceError(
                description: "\(error.description). The adapter of the last good step is "
                    + (folder.map { "in \($0)" } ?? "kept"))
        }
    }

    private func look(_ progress: inout RunProgress, _ onWarning: (String) -> Void) throws {
        let evaluator = Evaluator(sharing: trainer)
        progress.validation = try validation.map {
            try evaluator.evaluate($0, tokensPerPass: config.tokensPerPass, shouldStop: { false })
        }
        if let loss = progress.validationLoss {
            progress.isBest = watch.note(
                loss, step: progress.step, minImprovement: config.minImprovement)
            if progress.isBest, config.keepsBest {
                best = try BestParameters(of: trainer, step: progress.step, output, onWarning)
            }
        }
        if let sampler { progress.samples = try sampler.samples(trainer.model, trainer.adapter) }
        if !probe.isEmpty { progress.features = try evaluator.featureNorms(probe) }
    }
}

extension Evaluator {
    /// Tokens of one pass: enough to keep the device busy, few enough for its memory.
    package static let tokensPerPass = 1024

    /// The loss over a whole data set, in passes of at most so many tokens.
    package func evaluate(
        _ data: Dataset, tokensPerPass: Int = tokensPerPass, shouldStop: () -> Bool,
        onProgress: (Int) -> Void = { _ in }
    ) throws -> EvaluationReport {
        for example in data.examples { try model.check(example) }
        var report = EvaluationReport()
        var done = 0
        let passes = TokenBatch.passes(data.examples, tokens: min(tokensPerPass, Self.tokensPerPass))
        if let objective = objective as? any TextObjective {
            return try evaluate(texts: shouldStop() ? [] : passes, objective)
        }
        for pass in passes where !shouldStop() {
            report.add(try evaluate(pass))
            done += pass.count
            onProgress(done)
        }
        return report
    }
}
