import LoRAVK

extension Trainer {
    /// How `fit` trains.
    public struct Schedule: Sendable {
        public var steps: Int
        public var batchSize = Defaults.batchSize
        /// The largest learning rate.
        public var learningRate = Defaults.learningRate
        /// A registered schedule with its options: `cosine`, `wsd`.
        public var shape = Defaults.schedule.name
        /// Steps in which the rate rises; nil: a twentieth of all, at most 100.
        public var warmupSteps: Int?
        public var seed: UInt64 = 0

        public init(steps: Int) { self.steps = steps }
    }

    /// Trains to the end, or until `onStep` says false between two steps. `objective`: the mean of −log p, where none is given.
    public func fit(
        _ examples: [Example], _ schedule: Schedule, objective: (any Objective)? = nil,
        onStep: (_ number: Int, Step) throws -> Bool = { _, _ in true }
    ) throws {
        let rates = LoRAVK.Schedule(
            try Registries.schedules.named(schedule.shape), learningRate: schedule.learningRate,
            warmupSteps: schedule.warmupSteps ?? Defaults.warmup(steps: schedule.steps), steps: schedule.steps
        )
        var config = RunConfig()
        (config.steps, config.batchSize, config.schedule) = (schedule.steps, schedule.batchSize, rates)
        try config.validate()
        guard !examples.isEmpty else { throw ConfigError("there is no example to learn from; give some") }
        var order = BatchOrder(
            examples: examples.count, batchSize: schedule.batchSize, seed: schedule.seed, shuffles: true)
        for number in 0..<schedule.steps {
            let batch = order.batch().map { examples[$0] }
            let rate = rates.rate(number)
            let report =
                try objective.map { try step(batch, $0, learningRate: rate) }
                ?? step(batch, learningRate: rate)
            guard try onStep(number + 1, report) else { return }
        }
    }
}
