// A whole run: steps over a data set with a schedule, metrics, validation, and an adapter folder at the end. The folder
// holds a complete adapter or none at every instant, and only one run writes to it. Until the run has finished it also holds the
// training's state, from which the same run goes on to the same bits.

import Checkpoints
import Kernels
import Tokenizer
import VulkanCompute

package struct RunConfig: Sendable, Equatable {
    package var batchSize = Defaults.batchSize
    /// Batches whose gradients make one step.
    package var accumulation = Defaults.accumulation
    /// A batch of more tokens is split into passes: the same gradients in less memory.
    package var tokensPerPass = Int.max
    package var steps = 0
    package var schedule = Schedule(
        Defaults.schedule, learningRate: Defaults.learningRate, steps: 0)
    package var seed: UInt64 = 0
    package var shuffles = true
    /// Steps between saves and validations; 0: only at the end.
    package var saveEvery = Defaults.saveEvery
    package var validateEvery = Defaults.validateEvery

    private static let mostExamples = 1 << 16

    /// The steps of a run: as many as are given, or as the passes over the data need, or the usual ones.
    package static func steps(
        _ steps: Int?, epochs: Double?, examples: Int, batchSize: Int, accumulation: Int
    ) throws(ConfigError) -> Int {
        if let steps { return steps }
        let needed = try RunConfig.steps(
            epochs: epochs ?? Defaults.epochs, examples: examples, batchSize: batchSize,
            accumulation: accumulation)
        return epochs == nil ? min(Defaults.mostSteps, needed) : needed
    }

    /// Steps that go so often through so many examples: ⌈epochs·⌈N/B⌉/A⌉, where the last batch of an epoch is what is
    /// left of it. A step takes A batches, of two epochs where one ends inside of it.
    package static func steps(
        epochs: Double, examples: Int, batchSize: Int, accumulation: Int
    ) throws(ConfigError) -> Int {
        // No sum of the two: a batch size may be any number until it is validated.
        let batches = max(0, examples - 1) / max(1, batchSize) + 1
        let steps = epochs * Double(batches) / Double(max(1, accumulation))
        guard epochs > 0, steps < 1e9 else {
            throw ConfigError("the number of epochs is \(epochs); it must be positive, for at most 1e9 steps")
        }
        return max(1, Int(steps.rounded(.up)))
    }

    package init() {}

    package func validate() throws(ConfigError) {
        func require(_ value: Int, _ name: String, in range: ClosedRange<Int>) throws(ConfigError) {
            guard !range.contains(value) else { return }
            let most =
                range.upperBound == .max
                ? "at least \(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
            throw ConfigError("\(name) is \(value); it must be \(most)")
        }
        try require(batchSize, "the batch size", in: 1...Self.mostExamples)
        try require(accumulation, "the gradient accumulation", in: 1...Self.mostExamples)
        try require(steps, "the number of steps", in: 1...Int.max)
        try require(saveEvery, "the number of steps between saves", in: 0...Int.max)
        try require(validateEvery, "the number of steps between validations", in: 0...Int.max)
        try schedule.validate()
    }
}

package struct RunProgress: Sendable {
    package var step: Int
    package var steps: Int
    package var report: StepReport
    package var learningRate: Double
    package var tokensPerSecond: Double
    package var secondsLeft: Double
    package var validation: EvaluationReport?
    package var features: FeatureNorms?

    package var validationLoss: Double? { validation?.loss }
}

package enum RunOutcome: Sendable, Equatable {
    case finished
    /// Stopped by `shouldStop` after this many steps.
    case stopped(step: Int)
}

package final class TrainingRun {
    private let trainer: Trainer
    private var data: Dataset
    private var validation: Dataset?
    private let probe: [Example]
    private let config: RunConfig
    private let output: RunFolder?
    private let reference: Reference?

    /// Takes the output folder (making it where needed); fails before anything is computed where it cannot be used. With
    /// each validation the features on `probe` are measured. `resumes`: goes on where the same run was stopped or killed, or
    /// begins in a folder without an adapter.
    package init(
        _ trainer: Trainer, data: Dataset, validation: Dataset? = nil, probe: [Example] = [],
        config: RunConfig, folder: String?, overwrites: Bool = false, resumes: Bool = false
    ) throws {
        try config.validate()
        guard !overwrites || !resumes else {
            throw ConfigError("a run either goes on (--resume) or replaces what is there (--overwrite)")
        }
        guard folder != nil || !resumes else {
            throw ConfigError("only a run with an output folder can go on from what is there")
        }
        for example in data.examples + (validation?.examples ?? []) + probe {
            try trainer.model.check(example)
        }
        try trainer.objective.check(data.examples + (validation?.examples ?? []))
        reference = try Reference(trainer)
        output = try folder.map { folder in
            try RunFolder(
                folder, trainer, RunSettings(trainer, data, config), steps: config.steps,
                overwrites: overwrites, resumes: resumes)
        }
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
        onWarning: (String) -> Void = { _ in }, onReference: (_ done: Int, _ of: Int) -> Void = { _, _ in }
    ) throws -> RunOutcome {
        if let warning = output?.warning { onWarning(warning) }
        if let warning = config.schedule.warning { onWarning(warning) }
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
        for step in firstStep..<config.steps {
            if shouldStop() {
                saveState(step, onWarning)
                try keepingLastGoodAdapter { try save() }
                return .stopped(step: step)
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
                secondsLeft: speed.secondsPerStep * Double(config.steps - done))
            let isLast = done == config.steps
            if isLast || (config.validateEvery > 0 && done % config.validateEvery == 0) {
                try look(&progress)
            }
            do { try output?.append(progress) } catch { onWarning("\(error)") }
            onProgress(progress)
            if isLast {
                try keepingLastGoodAdapter { try save() }
                do { try output?.removeState() } catch { onWarning("\(error)") }
            } else if config.saveEvery > 0 && done % config.saveEvery == 0 {
                saveState(done, onWarning)
                do { try save() } catch { onWarning("\(error); the run goes on") }
            }
        }
        return .finished
    }

    private func save() throws {
        if let folder { try trainer.adapter.save(to: folder) }
    }

    /// Always before the adapter, which it contains: a folder whose run was killed never has an adapter alone.
    private func saveState(_ done: Int, _ onWarning: (String) -> Void) {
        do { try output?.save(trainer, done: done) } catch {
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
            try save()
            // It would diverge again.
            try? output?.removeState()
            throw DivergenceError(
                description: "\(error.description). The adapter of the last good step is "
                    + (folder.map { "in \($0)" } ?? "kept"))
        }
    }

    private func look(_ progress: inout RunProgress) throws {
        let evaluator = Evaluator(sharing: trainer)
        progress.validation = try validation.map {
            try evaluator.evaluate($0, tokensPerPass: config.tokensPerPass, shouldStop: { false })
        }
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
        for pass in passes where !shouldStop() {
            report.add(try evaluate(pass))
            done += pass.count
            onProgress(done)
        }
        return report
    }
}

/// Speed over the last steps: what is left is told from that.
private struct Speed {
    private var seconds = 0.0
    private var tokens = 0.0
    private var steps = 0.0

    var tokensPerSecond: Double { seconds > 0 ? tokens / seconds : 0 }
    var secondsPerStep: Double { steps > 0 ? seconds / steps : 0 }

    mutating func note(_ report: StepReport) {
        // The first step compiles kernels; its weight fades quickly.
        let memory = 0.9
        seconds = seconds * memory + report.seconds
        tokens = tokens * memory + Double(report.tokens)
        steps = steps * memory + 1
    }
}
