// What holds where nothing is said: the same in the program, in loravk.h and in Python. This is the only table of it.

package enum Defaults {
    // The adapter. Which layers: all linear ones. How it starts: as its method says.
    package static let method = "lora"
    package static let rank = 8
    /// α = 2R, so that the update is scaled by 2 whatever the rank is.
    package static func alpha(rank: Int) -> Double { 2 * Double(rank) }
    package static let dropout = 0.0

    package static let objective = "causal"

    // The optimizer. The largest rate is one for all methods.
    package static let optimizer: any Optimizer = AdamW()
    package static let learningRate = 5e-4
    package static let (beta1, beta2, epsilon) = (0.9, 0.999, 1e-8)
    package static let weightDecay = 0.0
    package static let maxGradientNorm = 1.0

    // A run.
    package static let batchSize = 8
    package static let accumulation = 1
    package static let epochs = 3.0
    package static let mostSteps = 1000
    package static let schedule: any ScheduleShape = CosineDecay()
    /// A twentieth of all steps.
    package static func warmup(steps: Int) -> Int { min(100, steps / 20) }
    package static let saveEvery = 100
    package static let validateEvery = 100
    /// Of an answer to a prompt that is tried during a run.
    package static let sampleTokens = 60
    /// Tokens of an example.
    package static let maxTokens = 512

    // Generation. Temperature 0: the most likely token.
    package static let answerTokens = 200
    package static let temperature = 0.0
    package static let topK = 0
    package static let topP = 1.0
    package static let repetitionPenalty = 1.0
    /// Of a session, where the model has as many positions.
    package static let sessionTokens = 4096

    // Export.
    package static let maxShardBytes = 5_000_000_000
}
