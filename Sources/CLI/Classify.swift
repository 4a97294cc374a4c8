import ArgumentParser
import Checkpoints
import LoRAVK
import Tokenizer

struct Classify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What a trained classifier says of texts.",
        discussion: """
            For adapters of --objective classification, multilabel, regression and reward, and those of PEFT with a head \
            (SEQ_CLS). Prints a JSON object a text: the label, the labels that are meant or the value, and a score for each \
            output: probabilities, or of a regression the numbers.

              lora-vk classify --model MODEL --adapter my-adapter "What a film." "I left early."

            Without texts and --data it reads them from standard input, one a line.
            """)

    @OptionGroup var modelOptions: ModelOptions

    @Option(help: "An adapter with a head (a PEFT folder).")
    var adapter: String

    @Option(help: "A file of lines {\"text\": \"…\"}, perhaps with text_pair.")
    var data: String?

    @OptionGroup var length: LengthOptions
    @Argument(help: "Texts.") var texts: [String] = []

    func run() throws {
        guard data == nil || texts.isEmpty else { throw ConfigError("give texts or --data, not both") }
        try length.validateLength()
        Interrupt.install()
        let (model, adapter, tokenizer) = try modelOptions.open(adapter: AdapterMix(adapter))
        guard let adapter, let head = adapter.head else {
            throw ConfigError(
                "the adapter has no head that says scores; train one with --objective classification")
        }
        let evaluator = try Evaluator(model, adapter)
        var waiting: [[Int32]] = []
        func say() throws {
            for scores in try evaluator.scores(waiting) { Terminal.print(head.said(scores).text(.compact)) }
            waiting.removeAll()
        }
        func add(_ texts: [String]) throws {
            waiting.append(
                Array(
                    texts.flatMap { tokenizer.encode($0) }.prefix(
                        min(length.maxLength, model.spec.contextLength))))
            if waiting.count == Self.batch { try say() }
        }
        if let data {
            try Interrupt.watching { try Dataset.eachTexts(of: data) { try add($0) } }
        } else if !texts.isEmpty {
            for text in texts where !Interrupt.isRequested { try add([text]) }
        } else {
            var lines = InputLines()
            while let line = try lines.next() { try add([line]) }
        }
        if let signal = Interrupt.signal { throw CommandExit(code: 128 + signal) }
        try say()
        model.device.savePipelines()
    }

    private static let batch = 64
}
