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
            logarithms (1e-5...1e-2:7). --axis makes any other option of `train` an axis. A grid file is a JSON object of axes: \
            {"lr": "1e-5...1e-2:7", "init": ["kaiming", "init-b"], "alpha": [8, 16], "seed": [1, 2, 3]}; options overrule it. Points are \
            for what is no full grid: each is run with every value of the axes that it does not name.

              lora-vk sweep --model MODEL.gguf --data chats/ --out sweep --init kaiming,init-b --lr 1e-5...1e-2:7 --seed 1..3
              lora-vk sweep --model MODEL.gguf --data chats/ --out sweep --point method=lora --point method=dora,lr=1e-3 --prune halving

            OUT gets report.html, its figures as SVG, results.csv, curves.csv and sweep.sqlite, after every run; best/, the adapter of the \
            lowest loss with the options that made it; and runs/, a log a run for `lora-vk report`. The same command again goes on \
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

    @Option(
        help: ArgumentHelp(
            """
            One more axis: any option of `train` below Adapter, Objective and Training, with its values (alpha=8,16). Values that \
            hold commas are parted by semicolons. May be given several times.
            """, valueName: "name=value,…"))
    var axis: [String] = []

    @Option(
        help: ArgumentHelp(
            """
            A point in place of a whole grid: method=dora,lr=1e-3. It is run with every value of the axes that it does not name. \
            May be given several times.
            """, valueName: "name=value,…"))
    var point: [String] = []

    @Option(
        help:
            "A JSON file with an array of points, objects of options; lists in one make it a grid of its own."
    )
    var points: String?

    @Option(
        help: ArgumentHelp(
            "Leave out the runs that have all of these settings. May be given several times.",
            valueName: "name=value,…"))
    var exclude: [String] = []

    @Option(
        help: ArgumentHelp(
            """
            End runs that promise little early: halving:factor=3,rungs=2 lets the best third go on after a ninth of the steps, and \
            again after a third.
            """, valueName: "name[:option=number,…]"))
    var prune: String?

    @Option(
        help: ArgumentHelp(
            "Only the second of four parts of the runs: 2/4. `lora-vk merge-sweeps` joins their folders.",
            valueName: "part/parts"))
    var part: SweepPart?

    @OptionGroup(title: "Adapter") var layers: LayerOptions
    @OptionGroup(title: "Objective") var objective: ObjectiveOptions
    @OptionGroup(title: "Training") var training: RunOptions
    @OptionGroup(title: "Memory") var memory: MemoryOptions
    @OptionGroup var chat: ChatOptions
    @OptionGroup(title: "Data") var formatOptions: FormatOptions

    func run() throws {
        Interrupt.install()
        _ = try formatOptions.textFormat()
        let grid = try makeGrid()
        let runs = try part.map { part in try part.of(grid.runs) } ?? grid.runs
        let pruning = try prune.map(Registries.prunings.named)
        guard pruning == nil || part == nil else {
            throw ConfigError("--prune compares all runs, and --part leaves some to others; leave one away")
        }
        let plan = SweepPlan(
            words: LoRAVKCommand.words, axes: grid.axisNames, formatOptions: formatOptions, data: data,
            evalEvery: evalEvery)
        try plan.validate(runs)
        let (checkpoint, tokenizer) = try modelOptions.openFiles(template: chat.chatTemplate)
        let begun = try SweepStore.begun(in: out) ?? "\(TemplateDate.now())"
        let sets = try plan.datasets(runs, checkpoint.spec, tokenizer, date: TemplateDate(begun))
        for data in sets.values.flatMap(\.all) {
            for warning in data.warnings { Terminal.warn("\(data.path): \(warning)") }
        }
        let store = try SweepStore(out, settings: settings(plan), begun: begun)
        let model = try modelOptions.load(checkpoint, modelOptions.openTunedDevice(checkpoint))
        for example in sets.values.flatMap(\.all).flatMap(\.examples) { try model.check(example) }

        let sweep = Sweeps.Sweep(model, store: store, pruning: pruning) { point, folder in
            try plan.recipe(point, folder, sets, checkpoint, modelOptions.weights, memory, model.device)
        }
        var observer = Sweeps.Sweep.Observer()
        observer.shouldStop = { Interrupt.isRequested }
        observer.onProgress = report
        observer.onWarning = Terminal.warn
        observer.onResult = { result in
            Terminal.endStatus()
            Terminal.error("\(name(result.point))  \(describe(result))")
            try store.publishReport()
        }
        let outcome = try sweep.run(runs, observer)
        Terminal.endStatus()
        let last = try store.publishReport()
        model.device.savePipelines()
        switch outcome {
        case .finished:
            for best in last.best {
                Terminal.print(
                    "\(best.series): best lr \(Terminal.number(best.learningRate)), loss \(Terminal.number(best.loss))"
                )
            }
            Terminal.error(
                "wrote \(out)/report.html"
                    + (FileSystem.exists(store.best) ? "; the best run's adapter is \(store.best)" : ""))
        case .othersGoOn: Terminal.error("other processes compute the last runs of \(out)")
        case .stopped:
            Terminal.error("stopped; the same command goes on with the runs that are not done")
            throw CommandExit(code: 128 + (Interrupt.signal ?? 2))
        }
    }

    private func makeGrid() throws -> SweepGrid {
        var wanted = SweepGrid(SweepRunOptions.names.names.filter { $0 != "help" })
        if let grid { try wanted.read(axes: grid) }
        for (name, text) in [
            ("method", method), ("init", initialization), ("rank", rank), ("lr", learningRate),
            ("seed", seed),
        ] {
            if let text { try wanted.set(name, text) }
        }
        for text in axis { try wanted.setAxis(text) }
        for text in point { try wanted.addPoint(text) }
        if let points { try wanted.read(points: points) }
        for text in exclude { try wanted.exclude(text) }
        return wanted
    }

    /// What holds for every run and changes its result.
    private func settings(_ plan: SweepPlan) throws -> JSON.Object {
        var settings: JSON.Object = [
            "model": .string(modelOptions.model), "weights": .string("\(modelOptions.weights)"),
            "data": .string(data), "eval-every": .integer(evalEvery),
            "prune": prune.map(JSON.string) ?? .null,
        ]
        for member in try plan.base().settings(but: plan.axes).members { settings[member.key] = member.value }
        settings["max-length"] = .integer(formatOptions.length.maxLength)
        settings["learn-prompts"] = .bool(formatOptions.learnPrompts)
        settings["no-end"] = .bool(formatOptions.noEnd)
        for (name, text) in [
            ("chat-template", chat.chatTemplate), ("format", formatOptions.format),
            ("prompt", formatOptions.prompt), ("completion", formatOptions.completion),
        ] { settings[name] = text.map(JSON.string) ?? .null }
        return settings
    }

    private func name(_ point: SweepPoint) -> String {
        "\(point.series), lr \(Terminal.number(point.learningRate)), seed \(point.seed)"
    }

    private func describe(_ result: SweepResult) -> String {
        let loss = "loss \(Terminal.number(result.lastLoss ?? .nan))"
        if let step = result.divergedAt { return "diverged at step \(step)" }
        if let step = result.prunedAt { return "\(loss), pruned at step \(step)" }
        return loss + (result.tokenAccuracy.map { ", tokens right \(Terminal.number($0))" } ?? "")
    }

    /// What changes comes first: a narrow terminal cuts the rest.
    private func report(_ progress: SweepProgress) {
        guard Terminal.isInteractive || progress.step.step == 1 else { return }
        Terminal.status(
            "run \(progress.run)/\(progress.runs)" + (progress.rung.map { " of rung \($0)" } ?? "")
                + "  step \(progress.step.step)/\(progress.step.steps)"
                + "  loss \(Terminal.number(progress.step.report.loss))  \(Terminal.duration(progress.secondsLeft)) left"
                + "  \(name(progress.point))")
    }
}
