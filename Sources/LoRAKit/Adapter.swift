import LoRAVK

/// Trained beside a model's frozen weights. Belongs to one thread at a time.
public final class Adapter {
    let core: LoRAVK.Adapter

    /// What a new adapter is, in PEFT's words.
    public struct Options: Sendable {
        /// R of the matrices A (R, in) and B (out, R).
        public var rank = Defaults.rank
        /// The update is scaled by alpha/rank; nil: twice the rank.
        public var alpha: Double?
        /// The share of an adapter's inputs that a step leaves out.
        public var dropout = Defaults.dropout
        /// The last parts of layers' names, as `q_proj`; nil: every linear layer of the blocks.
        public var targets: [String]?
        /// A registered method with its options: `dora`, `lora+:ratio=8`.
        public var method = Defaults.method
        /// How A and B begin; nil: as the method likes.
        public var initialization: String?
        /// Of what is drawn by chance at the beginning.
        public var seed: UInt64 = 0

        public init() {}
    }

    /// A new adapter, which changes nothing yet. `examples`: what some initialisations look at.
    public init(for model: Model, _ options: Options = Options(), examples: [Example] = []) throws {
        var config = LoRAConfig()
        config.rank = options.rank
        if let alpha = options.alpha { config.alpha = alpha }
        config.dropout = options.dropout
        config.targets = options.targets.map { .names($0) } ?? .allLinear
        config.method = try Registries.methods.named(options.method)
        config.initialization = try options.initialization.map(Registries.initializations.named)
        config.seed = options.seed
        core = try LoRAVK.Adapter.create(for: model.core, config, examples: examples.map(\.core))
    }

    /// An adapter that `save` or PEFT wrote.
    public init(_ folder: String, for model: Model) throws {
        core = try LoRAVK.Adapter.load(folder, for: model.core)
    }

    /// Writes a folder that PEFT loads.
    public func save(to folder: String) throws { try core.save(to: folder) }

    /// Numbers that train.
    public var parameterCount: Int { core.parameterCount }
}
