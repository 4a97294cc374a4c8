import ArgumentParser
import Checkpoints
import LoRAVK
import Tokenizer
import VulkanCompute

struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Finetune a model with LoRA.",
        discussion: """
            DATA is JSON Lines, one example a line, in one of these forms:
              {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
              {"prompt": "…", "completion": "…"}
              {"text": "…"}
            A JSON array, CSV, TSV and files packed by gzip are read too. Of the first two only completions and the assistant's turns are learned. A folder with train.jsonl and \
            valid.jsonl gives a validation loss too. With --objective dpo and its like, lines are pairs of answers \
            ({"prompt": "…", "chosen": "…", "rejected": "…"}); with --objective classification, texts and their labels \
            ({"text": "…", "label": "…"}). OUT gets a PEFT adapter and metrics.jsonl.

              lora-vk train --model MODEL.gguf --data chats.jsonl --out my-adapter

            A run that was stopped or killed goes on by the same command with --resume, to the same bits. Until it has \
            finished, OUT also holds training_state.safetensors (four times the adapter's size).

            With --config run.json options come from a JSON object of their names, flags as true, lists also as arrays:
              {"model": "MODEL.gguf", "data": "chats.jsonl", "method": "dora", "rank": 16, "targets": ["q_proj", "v_proj"]}
            Options beside it overrule the file.
            """)

    @OptionGroup var modelOptions: ModelOptions

    @Option(help: "Training data: a .jsonl or .txt file, or a folder with train.jsonl.")
    var data: String

    @Option(help: "The folder for the adapter.")
    var out: String

    @Option(
        help:
            "Go on from this adapter (a PEFT folder, or a GGUF file of `lora-vk export`) instead of a new one; its rank, alpha and layers hold."
    )
    var adapter: String?

    @Option(help: "A JSON file with options.")
    var config: String?

    @Flag(help: "Replace an adapter that is already in OUT.")
    var overwrite = false

    @Flag(
        help:
            "Go on where a run in OUT was stopped or killed, to the same bits; without one, begin. Needs the options of that run."
    )
    var resume = false

    func validate() throws {
        guard !resume || !overwrite else {
            throw ValidationError("--resume and --overwrite exclude each other.")
        }
    }

    @OptionGroup(title: "Adapter") var lora: LoRAOptions
    @OptionGroup(title: "Objective") var objectiveOptions: ObjectiveOptions
    @OptionGroup(title: "Training") var training: TrainingOptions
    @OptionGroup(title: "Memory") var memory: MemoryOptions
    @OptionGroup var chat: ChatOptions
    @OptionGroup(title: "Data") var formatOptions: FormatOptions

    func run() throws {
        Interrupt.install()
        // Wrong options are told before a model is loaded.
        let objective = try objectiveOptions.named
        _ = try formatOptions.textFormat(objective)
        if adapter != nil { try lora.refuseBesideAdapter() }
        var loraConfig = try lora.config(seed: training.seed)
        try loraConfig.validate()
        try training.runConfig(examples: 1).validate()
        let optimizer = try training.run.optimizerConfig
        let (checkpoint, tokenizer) = try modelOptions.openFiles(template: chat.chatTemplate)
        var format = try formatOptions.textFormat(for: checkpoint.spec, objective)
        if resume, let date = TrainingRun.savedDate(in: out) { format.date = date }
        format.labels = try self.adapter.flatMap { try AdapterFiles.open($0, for: checkpoint).head?.names }
        let dataset = try Interrupt.watching { try Dataset(data, tokenizer: tokenizer, format: format) }
        loraConfig.head = try objective.head(for: dataset)
        format.labels = loraConfig.head?.names
        let validation = try Interrupt.watching {
            Dataset.has(.valid, in: data)
                ? try Dataset(data, split: .valid, tokenizer: tokenizer, format: format) : nil
        }
        let device = try modelOptions.openTunedDevice(checkpoint)
        func makeAdapter(_ model: Transformer) throws -> Adapter {
            try self.adapter.map {
                try Adapter.load(
                    $0, for: model, dropout: lora.layers.dropout, learningRates: loraConfig.learningRates,
                    head: loraConfig.head, seed: training.seed)
            }
                ?? Adapter.create(for: model, loraConfig, examples: dataset.examples.map(\.first))
        }
        var config = try training.runConfig(examples: dataset.examples.count)
        let planner = try MemoryPlanner(
            checkpoint, weights: modelOptions.weights, capabilities: device.capabilities,
            optimizer: optimizer, objective: objective, makeAdapter: makeAdapter)
        let layout = try memory.layout(
            planner, dataset.sizes, batchSize: config.batchSize, device.capabilities,
            // How much memory is free may have changed; the passes decide the bits.
            tokensPerPass: resume ? TrainingRun.savedTokensPerPass(in: out) : nil)
        config.tokensPerPass = layout.tokensPerPass
        let preparation = PipelinePreparation(device, try planner.pipelines(layout))
        let model = try modelOptions.load(checkpoint, device)
        withExtendedLifetime(preparation) {}
        let adapter = try makeAdapter(model)
        let trainer = try Trainer(
            model, adapter, optimizer: optimizer, seed: training.seed,
            recomputedBlocks: layout.recomputedBlocks, objective: objective, noise: training.neftune)
        let sampler =
            training.sample.isEmpty
            ? nil
            : try RunSampler(training.sample, tokenizer, maxTokens: training.sampleTokens, date: format.date)
        let run = try TrainingRun(
            trainer, data: dataset, validation: validation, sampler: sampler, config: config, folder: out,
            overwrites: overwrite, resumes: resume)
        describe(model, adapter, dataset, config)
        describe(layout, planner.blocks)
        if run.firstStep > 0 { Terminal.error("going on after step \(run.firstStep) of \(config.steps)") }
        let outcome = try run.run(
            shouldStop: { Interrupt.isRequested }, onProgress: report,
            onWarning: Terminal.warn, onReference: reportReference)
        model.device.savePipelines()
        if case .outOfPatience(let step) = outcome {
            Terminal.error("ended after step \(step) of \(config.steps): the validation loss falls no more")
        }
        if training.keepBest, let best = run.bestValidation, outcome.isEnd {
            Terminal.error(
                "the adapter is that of step \(best.step), of the lowest validation loss "
                    + Terminal.number(best.loss))
        }
        switch outcome {
        case .finished, .outOfPatience:
            // A model without a template continues texts.
            let command =
                adapter.head != nil
                ? "classify" : tokenizer.chatTemplate == nil ? "generate --raw" : "chat"
            Terminal.error(
                "saved \(out); try: lora-vk \(command) --model \(Terminal.quoted(modelOptions.model)) --adapter \(Terminal.quoted(out))"
                    + (chat.chatTemplate.map { " --chat-template \(Terminal.quoted($0))" } ?? ""))
        case .stopped(let step):
            sayStopped("stopped", step, config, run)
            throw CommandExit(code: 128 + (Interrupt.signal ?? 2))
        case .timeIsUp(let step): sayStopped("the time is up: stopped", step, config, run)
        }
    }

    private func sayStopped(_ what: String, _ step: Int, _ config: RunConfig, _ run: TrainingRun) {
        Terminal.error(
            "\(what) after step \(step) of \(config.steps) and saved \(out)"
                + (run.isResumable
                    ? "; to go on: the same command with --resume\(overwrite ? " instead of --overwrite" : "")"
                    : ""))
    }

    private func describe(_ model: Transformer, _ adapter: Adapter, _ data: Dataset, _ config: RunConfig) {
        Terminal.error(
            "\(model.device.capabilities.name): \(model.spec.blocks.count) blocks of width \(model.spec.width), "
                + "weights \(Terminal.bytes(model.weightByteCount)); \(adapter.layers.count) adapted layers, "
                + "\(adapter.parameterCount) parameters")
        Terminal.error(
            "\(data.examples.count) examples, \(data.tokens) tokens (\(data.countedTokens) to learn); "
                + "\(config.steps) \(config.steps == 1 ? "step" : "steps") of \(examplesOfStep(data, config))"
        )
    }

    /// The last batch of an epoch may be smaller, as may all where there are fewer examples.
    private func examplesOfStep(_ data: Dataset, _ config: RunConfig) -> String {
        let count = data.examples.count
        let most = min(config.batchSize, count) * config.accumulation
        let isEven = count < config.batchSize || count % config.batchSize == 0
        return "\(isEven ? "" : "up to ")\(most) \(most == 1 ? "example" : "examples")"
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

    private func reportReference(_ done: Int, of all: Int) {
        if Terminal.isInteractive || done == all {
            Terminal.status("\(done)/\(all) examples seen by the reference")
        }
        if done == all { Terminal.endStatus() }
    }

    /// What tells most of a comparison of answers, or of a head.
    private func comparison(_ metrics: Metrics) -> String {
        let told = [
            ("accuracy", metrics["rewards/accuracies"] ?? metrics["accuracy"]),
            ("margin", metrics["rewards/margins"] ?? metrics["margin"]),
        ]
        return told.map { name, value in value.map { "  \(name) \(Terminal.number($0))" } ?? "" }.joined()
    }

    private func report(_ progress: RunProgress) {
        let line =
            "step \(progress.step)/\(progress.steps)  loss \(Terminal.number(progress.report.loss))"
            + comparison(progress.report.metrics)
            + "  lr \(Terminal.number(progress.learningRate, digits: 3))"
            + "  \(Terminal.number(progress.tokensPerSecond, digits: 3)) tokens/s"
            + (progress.step == progress.steps
                ? "" : progress.secondsLeft.map { "  \(Terminal.duration($0)) left" } ?? "")
        let isMilestone = progress.step == 1 || progress.step % 10 == 0 || progress.step == progress.steps
        if Terminal.isInteractive || isMilestone { Terminal.status(line) }
        if let loss = progress.validationLoss {
            Terminal.endStatus()
            Terminal.error(
                "step \(progress.step)  validation loss \(Terminal.number(loss))"
                    + (training.keepBest && progress.isBest ? ", the best so far" : "")
                    + comparison(progress.validation?.metrics ?? Metrics()))
        } else if progress.step == progress.steps || !progress.samples.isEmpty {
            Terminal.endStatus()
        }
        for sample in progress.samples {
            Terminal.error("step \(progress.step)  \(sample.prompt)\n  \(sample.answer)")
        }
    }
}
