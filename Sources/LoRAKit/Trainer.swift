import LoRAVK

/// Trains an adapter. Belongs to one thread at a time.
public final class Trainer {
    private let core: LoRAVK.Trainer
    private let evaluator: Evaluator
    public let model: Model
    public let adapter: Adapter

    public struct Options: Sendable {
        /// A registered optimizer with its options: `adamw`, `lion:beta1=0.95`.
        public var optimizer = Defaults.optimizer.name
        public var weightDecay = Defaults.weightDecay
        /// Gradients are scaled down to this norm; nil: never.
        public var maxGradientNorm: Double? = Defaults.maxGradientNorm
        /// Of the order of examples, and of dropout.
        public var seed: UInt64 = 0

        public init() {}
    }

    /// What a step reports.
    public struct Step: Sendable {
        /// Before the update.
        public let loss: Double
        /// Of all gradients together, before it was cut.
        public let gradientNorm: Double
    }

    public init(_ model: Model, _ adapter: Adapter, _ options: Options = Options()) throws {
        var config = OptimizerConfig()
        config.optimizer = try Registries.optimizers.named(options.optimizer)
        (config.weightDecay, config.maxGradientNorm) = (options.weightDecay, options.maxGradientNorm)
        try config.validate()
        core = try LoRAVK.Trainer(model.core, adapter.core, optimizer: config, seed: options.seed)
        evaluator = Evaluator(sharing: core)
        (self.model, self.adapter) = (model, adapter)
    }

    /// One step on the mean of −log p over the learned tokens of some examples. A loss that is no number any more is thrown.
    public func step(_ examples: [Example], learningRate: Double) throws -> Step {
        let report = try core.step(passes(examples.map(\.core)), learningRate: learningRate)
        return Step(loss: report.loss, gradientNorm: report.gradientNorm)
    }

    /// One step on a program's own objective. It takes one more forward pass than a plain step: the first finds the
    /// log-probabilities, the second weighs their gradients by the derivative.
    public func step(_ examples: [Example], _ objective: some Objective, learningRate: Double) throws -> Step
    {
        let logProbabilities = try self.logProbabilities(examples)
        let (loss, derivative) = try objective.evaluate(logProbabilities, of: examples)
        let count = Double(logProbabilities.reduce(0) { $0 + $1.count })
        guard derivative.map(\.count) == logProbabilities.map(\.count) else {
            throw ConfigError(
                "the objective's derivative has \(derivative.map(\.count)) numbers for the examples; it must have \(logProbabilities.map(\.count))"
            )
        }
        var weighted: [LoRAVK.Example] = []
        for (example, derivative) in zip(examples, derivative) {
            var (core, next) = (example.core, derivative.makeIterator())
            // The step's loss is the mean of −log p·weight.
            core.weights = example.isLearned.map { $0 ? Float(-(next.next() ?? 0) * count) : 0 }
            weighted.append(core)
        }
        let report = try core.step(passes(weighted), learningRate: learningRate)
        return Step(loss: loss, gradientNorm: report.gradientNorm)
    }

    /// log p of each learned token, an array an example, with the adapter as it is now.
    public func logProbabilities(_ examples: [Example]) throws -> [[Double]] {
        var losses = try evaluator.tokenLosses(examples.map(\.core))[...]
        return examples.map { example in
            let own = losses.prefix(example.tokens.count)
            losses = losses.dropFirst(example.tokens.count)
            return zip(own, example.isLearned).filter(\.1).map { -Double($0.0) }
        }
    }

    /// The mean of −log p over the learned tokens of some examples.
    public func loss(_ examples: [Example]) throws -> Double {
        let all = try logProbabilities(examples).joined()
        return all.isEmpty ? .nan : -all.reduce(0, +) / Double(all.count)
    }

    private func passes(_ examples: [LoRAVK.Example]) -> [[LoRAVK.Example]] {
        TokenBatch.passes(examples, tokens: Evaluator.tokensPerPass)
    }
}
