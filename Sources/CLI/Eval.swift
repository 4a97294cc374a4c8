import ArgumentParser
import Checkpoints
import LoRAVK
import Tokenizer

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct Eval: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Loss, perplexity and accuracy on data.",
        discussion: """
            Counted are the tokens that training would learn. Accuracy is the share of them that is the model's first choice. With \
            --objective, what training tells of it.
            """)

    @OptionGroup var modelOptions: ModelOptions

    @OptionGroup(title: "Adapter") var adapterOptions: AdapterOptions

    @Option(help: "Data as for `train`; of a folder test.jsonl, or else valid.jsonl.")
    var data: String

    @Option(help: "Use only the first so many examples.")
    var limit: Int?

    @Flag(
        help:
            "Print the loss of every example too, by the number of its line, and how many tokens it is the mean of."
    )
    var each = false

    @OptionGroup(title: "Objective") var objectiveOptions: ObjectiveOptions
    @OptionGroup var chat: ChatOptions
    @OptionGroup(title: "Data") var formatOptions: FormatOptions

    func run() throws {
        if let limit, limit < 1 { throw ConfigError("--limit is \(limit); it must be at least 1") }
        let objective = try objectiveOptions.named
        _ = try formatOptions.textFormat(objective)  // wrong options are told before a model is loaded
        Interrupt.install()
        let (model, adapter, tokenizer) = try modelOptions.open(
            template: chat.chatTemplate, adapter: adapterOptions.mix)
        var format = try formatOptions.textFormat(for: model.spec, objective)
        format.labels = adapter?.head?.names
        let split: Dataset.Split =
            Dataset.has(.test, in: data) ? .test : Dataset.has(.valid, in: data) ? .valid : .train
        let all = try Interrupt.watching {
            try Dataset(data, split: split, tokenizer: tokenizer, format: format)
        }
        for warning in all.warnings { Terminal.warn("\(all.path): \(warning)") }
        let evaluator = try Evaluator(model, adapter, objective: objective)
        let dataset = try evaluator.compared(
            limit.map(all.prefix) ?? all, shouldStop: { Interrupt.isRequested })
        let report =
            each
            ? try evaluateEach(dataset, evaluator)
            : try evaluator.evaluate(
                dataset, shouldStop: { Interrupt.isRequested },
                onProgress: { done in
                    if Terminal.isInteractive {
                        Terminal.status("\(done)/\(dataset.examples.count) examples")
                    }
                })
        Terminal.endStatus()
        model.device.savePipelines()
        if let signal = Interrupt.signal { throw CommandExit(code: 128 + signal) }
        Terminal.print("examples    \(dataset.examples.count)")
        Terminal.print("tokens      \(report.countedTokens)")
        Terminal.print("loss        \(Terminal.number(report.loss, digits: 6))")
        guard report.metrics.values.isEmpty else {
            for (name, value) in report.metrics.values {
                Terminal.print("\(name)  \(Terminal.number(value, digits: 6))")
            }
            return
        }
        let accuracy = Double(report.correct) / Double(max(1, report.countedTokens))
        Terminal.print("perplexity  \(Terminal.number(exp(report.loss), digits: 6))")
        Terminal.print("accuracy    \(Terminal.number(100 * accuracy)) %")
    }

    private func evaluateEach(_ data: Dataset, _ evaluator: Evaluator) throws -> EvaluationReport {
        var report = EvaluationReport()
        for (place, example) in zip(data.places, data.examples) where !Interrupt.isRequested {
            let one = try evaluator.evaluate(Dataset(examples: [example]), shouldStop: { false })
            Terminal.print(
                "\(data.unit) \(place.number)  loss \(Terminal.number(one.loss, digits: 8))  tokens \(one.countedTokens)"
                    + (place.isCut ? "  cut" : ""))
            report.add(one)
        }
        return report
    }
}
