import ArgumentParser
import Checkpoints
import LoRAVK
import Sweeps
import Tokenizer
import VulkanCompute

struct Sweep: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a grid of methods, learning rates and seeds, and compare them in one report.",
        discussion: """
            Axes take lists (1e-4,3e-4), --rank and --seed also ranges (1..3), --lr also rates evenly spaced in their \
            logarithms (1e-5...1e-2:7). A grid file is a JSON object of the same: \
            {"lr": "1e-5...1e-2:7", "init": ["kaiming", "init-b"], "seed": [1, 2, 3]}; options overrule it.

              lora-vk sweep --model MODEL.gguf --data chats/ --out sweep --init kaiming,init-b --lr 1e-5...1e-2:7 --seed 1..3

            OUT gets report.html, its figures as SVG, results.csv, curves.csv and sweep.sqlite, after every run. The same command again goes on \
            with what is not done; started twice at once, both share the runs. A run that diverges is a result.
            """)

    @OptionGroup var modelOptions: ModelOptions

    @Option(help: "Training data as `train` takes it; with valid.jsonl beside it, that loss is compared.")
    var data: String

    @Option(help: "The folder for the results.")
    var out: String

    @Option(help: "A JSON file with the axes of the grid.")
    var grid: String?

    @Option(help: "Methods, as --method of `train`. Default: lora.")
    var method: String?

    @Option(
        name: [.customLong("init"), .long], help: "Initialisations, as --init of `train`. Default: kaiming.")
    var initialization: String?

    @Option(help: "Ranks. Default: 8.")
    var rank: String?

    @Option(name: [.customLong("lr"), .long], help: "Learning rates. Default: 5e-4.")
    var learningRate: String?

    @Option(help: "Seeds of adapter, order of examples and dropout. Default: 0.")
    var seed: String?

    @Option(
        help: """
            Look at validation loss and features (the norms of A·x and B·A·x on a batch of the validation data) every so many \
            steps, as well as at the end. Changes no bit of the training.
            """)
    var evalEvery = 0

    @OptionGroup(title: "Adapter") var layers: LayerOptions
    @OptionGroup(title: "Training") var training: RunOptions
    @OptionGroup(title: "Memory") var memory: MemoryOptions
    @OptionGroup var chat: ChatOptions
    @OptionGroup(title: "Data") var formatOptions: FormatOptions

    func run() throws {
        Interrupt.install()
        _ = try formatOptions.textFormat()
        let points = try points
        for point in points {
            try adapter(point).validate()
            try runConfig(point, examples: 1).validate()
        }
        let optimizer = try training.optimizerConfig
        let (checkpoint, tokenizer) = try modelOptions.openFiles(template: chat.chatTemplate)
        let format = try formatOptions.textFormat(for: checkpoint.spec)
        let dataset = try Interrupt.watching { try Dataset(data, tokenizer: tokenizer, format: format) }
        let validation = try Interrupt.watching {
            Dataset.has(.valid, in: data)
                ? try Dataset(data, split: .valid, tokenizer: tokenizer, format: format) : nil
        }
        for data in [dataset, validation].compactMap(\.self) {
            for warning in data.warnings { Terminal.warn("\(data.path): \(warning)") }
        }
        let store = try SweepStore(
            out, settings: settings(steps: runConfig(points[0], examples: dataset.examples.count).steps))
        let model = try modelOptions.load(checkpoint, modelOptions.openTunedDevice(checkpoint))
        for example in dataset.examples + (validation?.examples ?? []) { try model.check(example) }

        var layouts: [SweepPoint.Series: StepLayout] = [:]
        let sweep = Sweeps.Sweep(model, data: dataset, validation: validation, store: store) { point in
            let adapter = try adapter(point)
            let run = try runConfig(point, examples: dataset.examples.count)
            let layout =
                try layouts[point.series]
                ?? memory.layout(
                    MemoryPlanner(
                        checkpoint, weights: modelOptions.weights, capabilities: model.device.capabilities,
                        optimizer: optimizer
                    ) {
                        try Adapter.create(for: $0, adapter, examples: dataset.examples)
                    }, dataset.sizes, batchSize: run.batchSize, model.device.capabilities)
            layouts[point.series] = layout
            return Sweeps.Sweep.Recipe(adapter, run, optimizer, layout)
        }
        let outcome = try sweep.run(
            points, shouldStop: { Interrupt.isRequested }, onProgress: report,
            onResult: { result in
                Terminal.endStatus()
                Terminal.error("\(name(result.point))  \(describe(result))")
                try publish(store)
            })
        Terminal.endStatus()
        let last = try publish(store)
        model.device.savePipelines()
        switch outcome {
        case .finished:
            for best in last.best {
                Terminal.print(
                    "\(best.series): best lr \(Terminal.number(best.learningRate)), loss \(Terminal.number(best.loss))"
                )
            }
            Terminal.error("wrote \(out)/report.html")
        case .othersGoOn: Terminal.error("other processes compute the last runs of \(out)")
        case .stopped:
            Terminal.error("stopped; the same command goes on with the runs that are not done")
            throw CommandExit(code: 128 + (Interrupt.signal ?? 2))
        }
    }

    private var points: [SweepPoint] {
        get throws {
            var wanted = SweepGrid()
            if let grid { try wanted.set(SweepAxes(file: grid)) }
            var axes = SweepAxes()
            (axes.method, axes.initialization, axes.rank) = (method, initialization, rank)
            (axes.learningRate, axes.seed) = (learningRate, seed)
            try wanted.set(axes)
            return try wanted.points
        }
    }

    /// On this axis kaiming, its default, leaves methods that start in a way of their own to it.
    private func adapter(_ point: SweepPoint) throws -> LoRAConfig {
        let isDefault = point.initialization == LoRAInitialization.kaiming.name
        var config = try layers.config(
            method: point.method, initialization: isDefault ? nil : point.initialization, rank: point.rank,
            seed: point.seed)
        config.method.normalize(&config)
        return config
    }

    private func runConfig(_ point: SweepPoint, examples: Int) throws -> RunConfig {
        var config = try training.config(
            examples: examples, learningRate: point.learningRate, seed: point.seed)
        config.validateEvery = evalEvery
        return config
    }

    /// What holds for every run and changes its result.
    private func settings(steps: Int) -> JSON.Object {
        var settings: JSON.Object = [
            "model": .string(modelOptions.model), "weights": .string("\(modelOptions.weights)"),
            "data": .string(data),
            "steps": .integer(steps), "batch size": .integer(training.batch.batchSize),
            "accumulate": .integer(training.accumulate), "schedule": .string(training.schedule),
            "optimizer": .string(training.optimizer.text), "weight decay": .double(training.weightDecay),
            "max grad norm": .double(training.maxGradNorm),
            "shuffle": .bool(!training.noShuffle), "eval every": .integer(evalEvery),
            "targets": .string(
                layers.targets.isEmpty ? LayerOptions.allLinear : layers.targets.joined(separator: ",")),
            "rslora": .bool(layers.rslora), "dropout": .double(layers.dropout ?? Defaults.dropout),
            "max length": .integer(formatOptions.length.maxLength),
            "learn prompts": .bool(formatOptions.learnPrompts), "end of text": .bool(!formatOptions.noEnd),
        ]
        settings["warmup"] = training.warmup.map(JSON.integer) ?? .null
        settings["alpha"] = layers.alpha.map(JSON.double) ?? .null
        settings["module lr"] =
            layers.moduleRates.isEmpty ? .null : .string(layers.moduleRates.joined(separator: ","))
        settings["chat template"] = chat.chatTemplate.map(JSON.string) ?? .null
        settings["format"] = formatOptions.format.map(JSON.string) ?? .null
        settings["prompt"] = formatOptions.prompt.map(JSON.string) ?? .null
        settings["completion"] = formatOptions.completion.map(JSON.string) ?? .null
        return settings
    }

    @discardableResult
    private func publish(_ store: SweepStore) throws -> SweepReport {
        var report = SweepReport([], settings: [])
        try store.publish { results in
            report = SweepReport(results, settings: try store.settings())
            try report.write(to: out)
        }
        return report
    }

    private func name(_ point: SweepPoint) -> String {
        "\(point.series), lr \(Terminal.number(point.learningRate)), seed \(point.seed)"
    }

    private func describe(_ result: SweepResult) -> String {
        if let step = result.divergedAt { return "diverged at step \(step)" }
        return "loss \(Terminal.number(result.loss ?? .nan))"
            + (result.accuracy.map { ", accuracy \(Terminal.number($0))" } ?? "")
    }

    private func report(_ progress: SweepProgress) {
        guard Terminal.isInteractive || progress.step.step == 1 else { return }
        Terminal.status(
            "run \(progress.run)/\(progress.runs)  \(name(progress.point))  step \(progress.step.step)/\(progress.step.steps)"
                + "  loss \(Terminal.number(progress.step.report.loss))  \(Terminal.duration(progress.secondsLeft)) left"
        )
    }
}
