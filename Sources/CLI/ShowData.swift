import ArgumentParser
import Checkpoints
import LoRAVK
import Reports
import Tokenizer

struct ShowData: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Show what a model will see of training data. Needs no GPU.",
        discussion: """
            Counts, a histogram of lengths, the usual mistakes, and the first examples as the model reads them: what is \
            learned is green in a terminal, and between ⟦ and ⟧ elsewhere.

              lora-vk data --model MODEL.gguf --data chats.jsonl
              lora-vk data --model MODEL.gguf --data chats.jsonl --html data.html
            """)

    @Option(help: "The model, for its tokenizer and chat template: a GGUF file or a Hugging Face folder.")
    var model: String

    @Option(help: "The data, as `train` takes it.")
    var data: String

    @Option(help: "How many examples to show.")
    var examples = 3

    @Option(help: ArgumentHelp("Also write a page of it.", valueName: "file"))
    var html: String?

    @OptionGroup var batch: BatchOptions
    @OptionGroup var chat: ChatOptions
    @OptionGroup(title: "Objective") var objectiveOptions: ObjectiveOptions
    @OptionGroup(title: "Data") var formatOptions: FormatOptions

    func validate() throws {
        guard examples >= 0 else { throw ValidationError("--examples is a number from 0 on.") }
        guard batch.batchSize >= 1 else { throw ValidationError("--batch-size is a number from 1 on.") }
    }

    func run() throws {
        Interrupt.install()
        let checkpoint = try Checkpoint.open(path: model)
        var tokenizer = try Tokenizer.load(for: checkpoint)
        if let template = chat.chatTemplate { tokenizer = try tokenizer.with(templateNamed: template) }
        for warning in tokenizer.warnings { Terminal.warn(warning) }
        let format = try formatOptions.textFormat(for: checkpoint, objectiveOptions.named)
        let training = try Interrupt.watching { try Dataset(data, tokenizer: tokenizer, format: format) }
        var parts = [part(training, DataSummary(training, tokenizer: tokenizer, batchSize: batch.batchSize))]
        if Dataset.has(.valid, in: data) {
            let valid = try Interrupt.watching {
                try Dataset(data, split: .valid, tokenizer: tokenizer, format: format)
            }
            parts.append(
                part(
                    valid,
                    DataSummary(
                        valid, tokenizer: tokenizer, batchSize: batch.batchSize, training: training)))
        }
        let shown = zip(training.examples, training.places).prefix(examples).flatMap { example, place in
            self.shown(example, "\(training.unit) \(place.number)\(place.isCut ? ", cut" : "")", tokenizer)
        }
        for part in parts { print(part) }
        for example in shown { print(example) }
        guard let html else { return }
        try AtomicFile.write(DataPage(parts, examples: shown).html, to: html)
        Terminal.error("wrote \(html)")
    }

    /// The example's sequences that are its own: of a judged answer the other is another's.
    private func shown(_ example: Example, _ place: String, _ tokenizer: Tokenizer) -> [DataPage.Shown] {
        let names =
            switch example.kind {
            case .plain: [""]
            case .texts: [", first", ", second", ", third"]
            case .pair, .ranked: [", chosen", ", rejected"]
            case .labelled: [", label \(example.outcome?.label ?? 0)"]
            case .multilabelled, .scored:
                [
                    ", "
                        + (example.outcome?.values.map { Terminal.number(Double($0)) } ?? []).joined(
                            separator: ", ")
                ]
            case .judged: [example.comparison?.isDesired == true ? ", wanted" : ", not wanted"]
            }
        return zip(names, example.sequences).map { name, sequence in
            let learned = example.part(sequence).countedTokens
            return DataPage.Shown(
                title: "\(place)\(name): \(sequence.count) tokens, \(learned) to learn",
                pieces: example.pieces(sequence, tokenizer))
        }
    }

    private func part(_ data: Dataset, _ summary: DataSummary) -> DataPage.Part {
        let share = Terminal.number(
            100 * Double(summary.learnedTokens) / Double(max(1, summary.tokens)), digits: 3)
        var facts = [
            ("examples", "\(summary.examples)"),
            ("tokens", "\(summary.tokens), of them to learn \(summary.learnedTokens) (\(share) %)"),
            (
                "lengths",
                "\(summary.lengths.first ?? 0) to \(summary.lengths.last ?? 0) tokens, half of them up to "
                    + "\(summary.quantile(0.5)), nine of ten up to \(summary.quantile(0.9))"
            ),
        ]
        if data.cutExamples > 0 { facts.append(("cut", "\(data.cutExamples)")) }
        if data.skippedExamples > 0 { facts.append(("left out", "\(data.skippedExamples)")) }
        return DataPage.Part(
            name: data.path, facts: facts, histogram: summary.histogram,
            warnings: data.warnings + summary.warnings)
    }

    private func print(_ part: DataPage.Part) {
        Terminal.print(part.name)
        for (key, value) in part.facts { Terminal.print("  \(key.padded(to: 12)) \(value)") }
        let most = max(1, part.histogram.map(\.count).max() ?? 1)
        for (range, count) in part.histogram {
            let bar = String(repeating: "█", count: (40 * count + most - 1) / most)
            Terminal.print("  \("\(range.lowerBound)–\(range.upperBound)".padded(to: 12)) \(bar) \(count)")
        }
        for warning in part.warnings { Terminal.warn("\(part.name): \(warning)") }
    }

    private func print(_ example: DataPage.Shown) {
        Terminal.print("\n\(example.title)")
        let marks = Terminal.showsColours ? ("\u{1B}[32m", "\u{1B}[0m") : ("⟦", "⟧")
        for piece in example.pieces {
            Terminal.generated(piece.text, marks: piece.isLearned ? marks : ("", ""))
        }
        Terminal.print("")
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }
}
