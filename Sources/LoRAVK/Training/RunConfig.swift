// How a whole run goes: its batches, its length, when it is saved and looked at, and when it ends before its last step.

package struct RunConfig: Sendable {
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
    /// Folders `checkpoint-STEP` that stay, one made at each save in between; 0: none are made.
    package var keptCheckpoints = 0
    /// The run ends with the adapter of the lowest validation loss.
    package var keepsBest = false
    /// The run ends after so many validations in a row whose loss was not lower than the best before by more than
    /// `minImprovement`; 0: it does not.
    package var patience = 0
    package var minImprovement = 0.0
    /// It stops at the end of the step in which so much time has passed since it began, or went on; nil: it does not.
    package var maxSeconds: Double?

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
        try require(keptCheckpoints, "the number of checkpoints to keep", in: 0...Int.max)
        try require(patience, "the patience", in: 0...Int.max)
        guard keptCheckpoints == 0 || saveEvery > 0 else {
            throw ConfigError(
                "checkpoints are made at every save, and the steps between saves are 0; give a number")
        }
        guard patience == 0 || validateEvery > 0 else {
            throw ConfigError(
                "the patience counts validations, and the steps between validations are 0; give a number")
        }
        guard minImprovement >= 0, minImprovement.isFinite else {
            throw ConfigError("the least improvement is \(minImprovement); it must be at least 0")
        }
        if let maxSeconds, !(maxSeconds > 0) {
            throw ConfigError("the time of the run is \(maxSeconds) seconds; it must be positive")
        }
        try schedule.validate()
    }

    /// Whether the validation loss decides something.
    var goesByValidation: Bool { keepsBest || patience > 0 }
}
