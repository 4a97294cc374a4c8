// Options of the adapter and of the training, in two parts each: what a sweep varies, and what holds for all of its runs.

import ArgumentParser
import LoRAVK

struct LoRAOptions: ParsableArguments {
    @Option(help: "Rank R of the adapter. Default: \(Defaults.rank).")
    var rank: Int?

    @Option(
        help: ArgumentHelp(
            "The method, with its options: \(Registries.methods.descriptions.joined(separator: ", ")). Default: \(Defaults.method).",
            valueName: "name[:option=number,…]"))
    var method: String?

    @Option(
        name: [.customLong("init"), .long],
        help: ArgumentHelp(
            """
            How A and B start: \(Registries.initializations.descriptions.joined(separator: ", ")). Default: kaiming, or what \
            the method brings with it.
            """, valueName: "name[:option=number,…]"))
    var initialization: String?

    @OptionGroup var layers: LayerOptions

    func config(seed: UInt64) throws -> LoRAConfig {
        try layers.config(
            method: method ?? Defaults.method, initialization: initialization, rank: rank ?? Defaults.rank,
            seed: seed)
    }

    /// Beside an adapter that is trained on, its own choices hold: options that would have no effect are refused.
    func refuseBesideAdapter() throws {
        let given: [(name: String, isGiven: Bool)] = [
            ("--rank", rank != nil), ("--method", method != nil), ("--init", initialization != nil),
            ("--alpha", layers.alpha != nil), ("--targets", !layers.targets.isEmpty),
            ("--rslora", layers.rslora), ("--modules-to-save", !layers.modulesToSave.isEmpty),
        ]
        let names = given.filter(\.isGiven).map(\.name)
        guard names.isEmpty else {
            throw ConfigError(
                "\(names.joined(separator: ", ")) cannot be given beside --adapter, whose rank, alpha, layers and method "
                    + "hold; leave \(names.count == 1 ? "it" : "them") away, or begin a new adapter")
        }
    }
}

/// What a sweep does not vary of its adapters.
struct LayerOptions: ParsableArguments {
    @Option(
        help:
            "Alpha: the update is scaled by alpha/rank (alpha/√rank with --rslora). Default: twice the rank.")
    var alpha: Double?

    @Option(
        help: """
            Layers to adapt: all-linear, or names separated by commas (q_proj,v_proj), also with * \
            (layers.1*.mlp.up_proj); may be given several times. Default: \(LayerOptions.allLinear).
            """)
    var targets: [String] = []

    @Option(
        name: .customLong("module-lr"),
        help: ArgumentHelp(
            "Multiplies the learning rate of layers, named as in --targets: q_proj=0.5,v_proj=2; 0 freezes.",
            valueName: "layer=number,…"))
    var moduleRates: [String] = []

    @Option(
        help: ArgumentHelp(
            "Train copies of the embedding or the output whole, as PEFT's modules_to_save: embed_tokens,lm_head.",
            valueName: "modules"))
    var modulesToSave: [String] = []

    @Flag(help: "Rank-stabilised scaling alpha/√rank (rsLoRA).")
    var rslora = false

    @Option(
        help: "Probability of zeroing an input of the adapter while training. Default: 0, or the adapter's.")
    var dropout: Double?

    static let allLinear = "all-linear"

    func config(
        method: String, initialization: String?, rank: Int, seed: UInt64
    ) throws -> LoRAConfig {
        var config = LoRAConfig()
        config.rank = rank
        if let alpha { config.alpha = alpha }
        config.method = try Registries.methods.named(method)
        config.initialization = try initialization.map(Registries.initializations.named)
        config.learningRates = try learningRates
        config.modulesToSave = modulesToSave.flatMap { $0.split(separator: ",").map(String.init) }
        config.usesRsLoRA = rslora
        config.dropout = dropout ?? Defaults.dropout
        config.seed = seed
        if !targets.isEmpty, targets != [Self.allLinear] {
            let names = targets.flatMap { $0.split(separator: ",").map(String.init) }
            guard !names.isEmpty else {
                throw ConfigError("--targets names no layer; 'all-linear' means all")
            }
            guard !names.contains(Self.allLinear) else {
                throw ConfigError("--targets names layers beside 'all-linear', which means all")
            }
            config.targets = .names(names)
        }
        return config
    }

    var learningRates: [(target: String, multiplier: Double)] {
        get throws { try moduleRates.flatMap(Self.multipliers) }
    }

    private static func multipliers(_ text: String) throws -> [(target: String, multiplier: Double)] {
        try text.split(separator: ",").map { setting in
            let sides = setting.split(separator: "=", maxSplits: 1)
            guard sides.count == 2, let multiplier = Double(sides[1]) else {
                throw ConfigError("--module-lr: '\(setting)' is not of the form layer=number")
            }
            return (String(sides[0]), multiplier)
        }
    }
}

struct TrainingOptions: ParsableArguments {
    @Option(name: [.customLong("lr"), .long], help: "The largest learning rate.")
    var learningRate = Defaults.learningRate

    @Option(help: "Seed of the adapter, the order of examples and dropout.")
    var seed: UInt64 = 0

    @OptionGroup var run: RunOptions

    @Option(
        help:
            "Noise on the embeddings while training: α of NEFTune (5 to 15 are usual; Jain et al. 2023). 0: none."
    )
    var neftune = 0.0

    @Option(help: "Save the adapter every so many steps (0: at the end).")
    var saveEvery = Defaults.saveEvery

    @Option(help: "Compute the validation loss every so many steps (0: at the end).")
    var validateEvery = Defaults.validateEvery

    @Option(
        help: "At each save make a folder checkpoint-STEP in OUT too, and keep so many of the last.")
    var keepCheckpoints = 0

    @Flag(help: "End with the adapter of the lowest validation loss.")
    var keepBest = false

    @Option(help: "End after so many validations in a row without a lower loss (0: never).")
    var patience = 0

    @Option(help: "For --patience, what a loss must be lower than the best by.")
    var minImprovement = 0.0

    @Option(
        help: "Stop at the end of a step once so much time has passed: 90s, 30m, 1h30m. --resume goes on.")
    var maxTime: RunTime?

    @Option(help: "A prompt to answer at each validation; may be given several times.")
    var sample: [String] = []

    @Option(help: "Tokens of an answer to --sample, at most.")
    var sampleTokens = Defaults.sampleTokens

    func runConfig(examples: Int) throws -> RunConfig {
        var config = try run.config(examples: examples, learningRate: learningRate, seed: seed)
        config.saveEvery = saveEvery
        config.validateEvery = validateEvery
        config.keptCheckpoints = keepCheckpoints
        config.keepsBest = keepBest
        (config.patience, config.minImprovement) = (patience, minImprovement)
        config.maxSeconds = maxTime?.seconds
        return config
    }
}

/// `90s`, `30m`, `1h30m`; a number alone is seconds.
struct RunTime: ExpressibleByArgument {
    let seconds: Double

    init?(argument: String) {
        let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86400]
        var (sum, number) = (0.0, "")
        for character in argument {
            if let unit = units[character], let count = Double(number) {
                (sum, number) = (sum + count * unit, "")
            } else {
                number.append(character)
            }
        }
        if !number.isEmpty {
            guard sum == 0, let count = Double(number) else { return nil }
            sum = count
        }
        guard sum > 0, sum.isFinite else { return nil }
        seconds = sum
    }
}

struct OptimizerOption: ParsableArguments {
    @Option(
        name: .customLong("optimizer"),
        help: ArgumentHelp(
            "The optimizer, with its options: \(Registries.optimizers.descriptions.joined(separator: ", ")).",
            valueName: "name[:option=number,…]"))
    var text = Defaults.optimizer.name

    var optimizer: any Optimizer { get throws { try Registries.optimizers.named(text) } }
}

/// What a sweep does not vary of its training.
struct RunOptions: ParsableArguments {
    @Option(help: "Optimizer steps. Default: as --epochs says.")
    var steps: Int?

    @Option(
        help: "Passes over the data. Default: \(Int(Defaults.epochs)), at most \(Defaults.mostSteps) steps.")
    var epochs: Double?

    @OptionGroup var batch: BatchOptions

    @Option(help: "Batches whose gradients make one step.")
    var accumulate = Defaults.accumulation

    @Option(
        help: ArgumentHelp(
            "The learning rate after the warm-up, with its options: \(Registries.schedules.descriptions.joined(separator: ", ")).",
            valueName: "name[:option=number,…]"))
    var schedule = Defaults.schedule.name

    @Option(help: "Steps in which the learning rate rises. Default: a twentieth of all, at most 100.")
    var warmup: Int?

    @OptionGroup var optimizer: OptimizerOption

    @Option(
        help: "Decoupled weight decay: a step takes so much, times the learning rate, off every parameter.")
    var weightDecay = Defaults.weightDecay

    @Option(help: "Scale gradients down to this global norm; 0: never.")
    var maxGradNorm = Defaults.maxGradientNorm

    @Flag(help: "Take the examples in the order of the file.")
    var noShuffle = false

    var optimizerConfig: OptimizerConfig {
        get throws {
            var config = OptimizerConfig()
            config.optimizer = try optimizer.optimizer
            config.weightDecay = weightDecay
            config.maxGradientNorm = maxGradNorm == 0 ? nil : maxGradNorm
            try config.validate()
            return config
        }
    }

    func config(examples: Int, learningRate: Double, seed: UInt64) throws -> RunConfig {
        var config = RunConfig()
        config.batchSize = batch.batchSize
        config.accumulation = accumulate
        guard steps == nil || epochs == nil else {
            throw ConfigError("--steps and --epochs exclude each other")
        }
        config.steps = try RunConfig.steps(
            steps, epochs: epochs, examples: examples, batchSize: batch.batchSize, accumulation: accumulate)
        config.schedule = Schedule(
            try Registries.schedules.named(schedule), learningRate: learningRate,
            warmupSteps: warmup ?? Defaults.warmup(steps: config.steps),
            steps: config.steps)
        config.seed = seed
        config.shuffles = !noShuffle
        return config
    }
}
