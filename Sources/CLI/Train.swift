import ArgumentParser
import Checkpoints
import LoRAVK
import Tokenizer
import VulkanCompute

struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Finetune a model with LoRA.",
        discussion: """
            DATA is JSON Lines, one example a line, in one of these forms:
              {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
              {"prompt": "…", "completion": "…"}
              {"text": "…"}
            Of the first two only completions and the assistant's turns are learned. A folder with train.jsonl and \
            valid.jsonl gives a validation loss too. OUT gets a PEFT adapter and metrics.jsonl.

              lora-vk train --model MODEL.gguf --data chats.jsonl --out my-adapter
            """)

    @OptionGroup var modelOptions: ModelOptions

    @Option(help: "Training data: a .jsonl or .txt file, or a folder with train.jsonl.")
    var data: String

    @Option(help: "The folder for the adapter.")
    var out: String

    @Option(
        help:
            "Go on from this adapter (a PEFT folder) instead of a new one; its rank, alpha and targets hold.")
    var adapter: String?

    @Flag(help: "Replace an adapter that is already in OUT.")
    var overwrite = false

    @OptionGroup(title: "Adapter") var lora: LoRAOptions
    @OptionGroup(title: "Training") var training: TrainingOptions
    @OptionGroup(title: "Memory") var memory: MemoryOptions
    @OptionGroup(title: "Data") var formatOptions: FormatOptions

    func run() throws {
        Interrupt.install()
        // Wrong options are told before a model is loaded.
        _ = try formatOptions.format
        let loraConfig = try lora.config(seed: training.seed)
        try loraConfig.validate()
        try training.runConfig(examples: 1).validate()
        try training.optimizer.validate()
        let (checkpoint, tokenizer) = try modelOptions.openFiles()
        let format = try formatOptions.format(for: checkpoint.config)
        let dataset = try Dataset(data, tokenizer: tokenizer, format: format)
        let validation =
            Dataset.has(.valid, in: data)
            ? try Dataset(data, split: .valid, tokenizer: tokenizer, format: format) : nil
        let device = try modelOptions.openTunedDevice(checkpoint)
        func makeAdapter(_ model: Transformer) throws -> Adapter {
            try self.adapter.map { try Adapter.load($0, for: model) }
                ?? Adapter.create(for: model, loraConfig, examples: dataset.examples)
        }
        var config = try training.runConfig(examples: dataset.examples.count)
        let planner = try MemoryPlanner(
            checkpoint, weights: modelOptions.weights, capabilities: device.capabilities,
            makeAdapter: makeAdapter)
        let layout = try memory.layout(
            planner, dataset.sizes, batchSize: config.batchSize, device.capabilities)
        config.tokensPerPass = layout.tokensPerPass
        let preparation = PipelinePreparation(device, try planner.pipelines(layout))
        let model = try modelOptions.load(checkpoint, device)
        withExtendedLifetime(preparation) {}
        let adapter = try makeAdapter(model)
        let trainer = try Trainer(
            model, adapter, optimizer: training.optimizer, seed: training.seed,
            recomputedBlocks: layout.recomputedBlocks)
        let run = try TrainingRun(
            trainer, data: dataset, validation: validation, config: config, folder: out, overwrites: overwrite
        )
        describe(model, adapter, dataset, config)
        describe(layout, planner.blocks)
        let outcome = try run.run(
            shouldStop: { Interrupt.isRequested }, onProgress: report,
            onWarning: { Terminal.error("lora-vk: warning: \($0)") })
        model.device.savePipelines()
        switch outcome {
        case .finished:
            Terminal.error(
                "saved \(out); try: lora-vk generate --model \(modelOptions.model) --adapter \(out)")
        case .stopped(let step):
            Terminal.error(
                "stopped after step \(step) of \(config.steps) and saved \(out); to go on from it: "
                    + "lora-vk train --model \(modelOptions.model) --data \(data) --adapter \(out) --out \(out)-2"
            )
            throw CommandExit(code: 128 + (Interrupt.signal ?? 2))
        }
    }

    private func describe(_ model: Transformer, _ adapter: Adapter, _ data: Dataset, _ config: RunConfig) {
        Terminal.error(
            "\(model.device.capabilities.name): \(model.config.layers) blocks of width \(model.config.hiddenSize), "
                + "weights \(Terminal.bytes(model.weightByteCount)); \(adapter.layers.count) adapted layers, "
                + "\(adapter.parameterCount) parameters")
        Terminal.error(
            "\(data.examples.count) examples, \(data.tokens) tokens (\(data.countedTokens) to learn); "
                + "\(config.steps) steps of \(config.batchSize * config.accumulation) examples")
        if data.cutExamples > 0 {
            Terminal.error(
                "\(data.cutExamples) examples were cut (--max-length \(formatOptions.length.maxLength), and what the model allows)"
            )
        }
        if data.skippedExamples > 0 {
            Terminal.error("\(data.skippedExamples) examples have nothing to learn and are left out")
        }
    }

    private func describe(_ layout: StepLayout, _ blocks: Int) {
        let again =
            layout.recomputedBlocks == 0
            ? "" : ", \(layout.recomputedBlocks) of \(blocks) blocks computed again in the backward"
        Terminal.error(
            "device memory \(Terminal.bytes(layout.use.total)), of it activations "
                + "\(Terminal.bytes(layout.use.activations)) of passes of up to \(layout.tokensPerPass) tokens\(again)"
        )
    }

    private func report(_ progress: RunProgress) {
        let line =
            "step \(progress.step)/\(progress.steps)  loss \(Terminal.number(progress.report.loss))"
            + "  lr \(Terminal.number(progress.learningRate, digits: 3))"
            + "  \(Terminal.number(progress.tokensPerSecond, digits: 3)) tokens/s"
            + (progress.step == progress.steps ? "" : "  \(Terminal.duration(progress.secondsLeft)) left")
        let isMilestone = progress.step == 1 || progress.step % 10 == 0 || progress.step == progress.steps
        if Terminal.isInteractive || isMilestone { Terminal.status(line) }
        if let loss = progress.validationLoss {
            Terminal.endStatus()
            Terminal.error("step \(progress.step)  validation loss \(Terminal.number(loss))")
        } else if progress.step == progress.steps {
            Terminal.endStatus()
        }
    }
}

struct LoRAOptions: ParsableArguments {
    @Option(help: "Rank R of the adapter.")
    var rank = 8

    @Option(
        help:
            "Alpha: the update is scaled by alpha/rank (alpha/√rank with --rslora). Default: twice the rank.")
    var alpha: Double?

    @Option(
        help: """
            Layers to adapt: all-linear, or names separated by commas (q_proj,v_proj), also with * \
            (layers.1*.mlp.up_proj).
            """)
    var targets = "all-linear"

    @Option(
        help: ArgumentHelp(
            "The method, with its options: \(AdapterMethods.all.map(\.description).joined(separator: ", ")).",
            valueName: "name[:option=number,…]"))
    var method = "lora"

    @Option(
        name: [.customLong("init"), .long],
        help: ArgumentHelp(
            "How A and B start: \(LoRAInitialization.all.map(\.description).joined(separator: ", ")).",
            valueName: "name[:option=number,…]"))
    var initialization = "kaiming"

    @Option(
        name: .customLong("module-lr"),
        help: ArgumentHelp(
            "Multiplies the learning rate of layers, named as in --targets: q_proj=0.5,v_proj=2; 0 freezes.",
            valueName: "layer=number,…"))
    var moduleRates: String?

    @Flag(help: "Rank-stabilised scaling alpha/√rank (rsLoRA).")
    var rslora = false

    @Option(help: "Probability of zeroing an input of the adapter while training.")
    var dropout = 0.0

    func config(seed: UInt64) throws -> LoRAConfig {
        var config = LoRAConfig()
        config.rank = rank
        config.alpha = alpha ?? 2 * Double(rank)
        config.method = try AdapterMethods.named(method)
        config.initialization = try LoRAInitialization.named(initialization)
        config.learningRates = try moduleRates.map(Self.multipliers) ?? []
        config.usesRsLoRA = rslora
        config.dropout = dropout
        config.seed = seed
        if targets != "all-linear" {
            let names = targets.split(separator: ",").map(String.init)
            guard !names.isEmpty else {
                throw ConfigError("--targets names no layer; 'all-linear' means all")
            }
            config.targets = .names(names)
        }
        return config
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
    @Option(help: "Optimizer steps. Default: as --epochs says.")
    var steps: Int?

    @Option(help: "Passes over the data. Default: 3, at most 1000 steps.")
    var epochs: Double?

    @OptionGroup var batch: BatchOptions

    @Option(help: "Batches whose gradients make one step.")
    var accumulate = 1

    @Option(name: [.customLong("lr"), .long], help: "The largest learning rate.")
    var learningRate = 5e-4

    @Option(help: "The learning rate after the warm-up: constant, linear or cosine (falling to zero).")
    var schedule: Schedule.Shape = .cosine

    @Option(help: "Steps in which the learning rate rises. Default: a twentieth of all, at most 100.")
    var warmup: Int?

    @Option(help: "AdamW's decoupled weight decay.")
    var weightDecay = 0.0

    @Option(help: "Scale gradients down to this global norm; 0: never.")
    var maxGradNorm = 1.0

    @Option(help: "Seed of the adapter, the order of examples and dropout.")
    var seed: UInt64 = 0

    @Flag(help: "Take the examples in the order of the file.")
    var noShuffle = false

    @Option(help: "Save the adapter every so many steps (0: at the end).")
    var saveEvery = 100

    @Option(help: "Compute the validation loss every so many steps (0: at the end).")
    var validateEvery = 100

    var optimizer: AdamWConfig {
        var config = AdamWConfig()
        config.weightDecay = weightDecay
        config.maxGradientNorm = maxGradNorm == 0 ? nil : maxGradNorm
        return config
    }

    func runConfig(examples: Int) throws -> RunConfig {
        var config = RunConfig()
        config.batchSize = batch.batchSize
        config.accumulation = accumulate
        guard steps == nil || epochs == nil else {
            throw ConfigError("--steps and --epochs exclude each other")
        }
        let perEpoch = Double(examples) / (Double(max(1, batch.batchSize)) * Double(max(1, accumulate)))
        if let epochs {
            guard epochs > 0, epochs.isFinite, epochs * perEpoch < 1e9 else {
                throw ConfigError("--epochs is \(epochs); it must be a positive number")
            }
            config.steps = max(1, Int((epochs * perEpoch).rounded(.up)))
        } else {
            config.steps = steps ?? min(1000, max(1, Int((3 * perEpoch).rounded(.up))))
        }
        config.schedule = Schedule(
            schedule, learningRate: learningRate, warmupSteps: warmup ?? min(100, config.steps / 20),
            steps: config.steps)
        config.seed = seed
        config.shuffles = !noShuffle
        config.saveEvery = saveEvery
        config.validateEvery = validateEvery
        return config
    }
}
