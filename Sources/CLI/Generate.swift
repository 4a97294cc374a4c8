import ArgumentParser
import Checkpoints
import LoRAVK
import Tokenizer

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Generate text, with or without an adapter.",
        discussion: """
            A prompt is put into the model's chat template where it has one; --raw continues it as it is. Without \
            --prompt it talks in a terminal: each line is answered, and what was said before is remembered; Ctrl-D or \
            Ctrl-C ends. From a file or a pipe, each line of the standard input is a prompt of its own.
            """)

    @OptionGroup var modelOptions: ModelOptions

    @Option(help: "An adapter (a PEFT folder, or a GGUF file of `lora-vk export`).")
    var adapter: String?

    @OptionGroup var chat: ChatOptions

    @Option(help: "What to answer; may be given several times.")
    var prompt: [String] = []

    @Option(help: "A system message for the chat template.")
    var system: String?

    @Flag(help: "Continue the prompt as it is, without the chat template.")
    var raw = false

    @Option(help: "The most tokens to generate.")
    var maxTokens = Defaults.answerTokens

    @Option(help: "0: always the most likely token; higher: more variety.")
    var temperature = Defaults.temperature

    @Option(help: "Choose among the most likely tokens only (0: all).")
    var topK = Defaults.topK

    @Option(help: "Choose among the tokens that make up this probability.")
    var topP = Defaults.topP

    @Option(help: "Above 1: tokens that are already there become less likely.")
    var repetitionPenalty = Defaults.repetitionPenalty

    @Option(help: "Seed of the choice.")
    var seed: UInt64 = 0

    func run() throws {
        guard maxTokens > 0 else { throw ConfigError("--max-tokens is \(maxTokens); it must be at least 1") }
        var sampling = SamplerConfig()
        sampling.temperature = temperature
        sampling.topK = topK
        sampling.topP = topP
        sampling.repetitionPenalty = repetitionPenalty
        sampling.seed = seed
        try sampling.validate()
        Interrupt.install()
        let (model, adapter, tokenizer) = try modelOptions.open(
            template: chat.chatTemplate, adapter: adapter)
        if adapter?.head != nil {
            throw ConfigError("the adapter is a classifier's, which generates no text; use lora-vk classify")
        }
        for warning in tokenizer.generationWarnings { Terminal.warn(warning) }
        let renderer = raw ? nil : try ChatRenderer(tokenizer)
        var lines = InputLines()
        if !prompt.isEmpty {
            for text in prompt where !Interrupt.isRequested {
                try answer(text, model, adapter, tokenizer, renderer, sampling)
            }
        } else if InputLines.areTyped {
            try talk(&lines, model, adapter, tokenizer, renderer, sampling)
        } else {
            while let text = try lines.next(), !Interrupt.isRequested {
                if !text.isEmpty { try answer(text, model, adapter, tokenizer, renderer, sampling) }
            }
        }
        model.device.savePipelines()
        if let signal = Interrupt.signal { throw CommandExit(code: 128 + signal) }
    }

    /// Answers what is typed. With a chat template it is a conversation, without one each line is continued as it is.
    private func talk(
        _ lines: inout InputLines, _ model: Transformer, _ adapter: Adapter?, _ tokenizer: Tokenizer,
        _ renderer: ChatRenderer?, _ sampling: SamplerConfig
    ) throws {
        Terminal.error("Type a message and press Enter; Ctrl-D ends.")
        var conversation = Conversation(system: system)
        while !Interrupt.isRequested {
            Terminal.ask("> ")
            guard let text = try lines.next() else { break }
            if text.allSatisfy(\.isWhitespace) { continue }
            let tokens =
                try renderer.map {
                    try conversation.ask(text, $0, tokenizer, positions: model.spec.contextLength)
                } ?? tokenizer.encode(text)
            if raw { Terminal.generated(text) }
            conversation.note(answer: try answer(tokens, model, adapter, tokenizer, sampling).text)
        }
        Terminal.ask("\n")
    }

    private func answer(
        _ text: String, _ model: Transformer, _ adapter: Adapter?, _ tokenizer: Tokenizer,
        _ renderer: ChatRenderer?, _ sampling: SamplerConfig
    ) throws {
        if raw { Terminal.generated(text) }
        let tokens = try promptTokens(text, tokenizer, renderer)
        let times = try answer(tokens, model, adapter, tokenizer, sampling).times
        if !Interrupt.isRequested { report(times) }
    }

    /// Prints the answer as it comes.
    private func answer(
        _ tokens: [Int32], _ model: Transformer, _ adapter: Adapter?, _ tokenizer: Tokenizer,
        _ sampling: SamplerConfig
    ) throws -> (text: String, times: GenerationTimes) {
        let limit = model.spec.contextLength
        let generator = try Generator(
            model, adapter, capacity: min(limit, tokens.count + min(maxTokens, limit)))
        var decoder = tokenizer.streamDecoder(skipSpecialTokens: true)
        var stop = Set(model.spec.tokens.eos.map { Int32($0) })
        stop.formUnion(tokenizer.specialIDs.stops)
        var text = ""
        func tell(_ piece: String, terminator: String = "") {
            text += piece
            Terminal.generated(piece, terminator: terminator)
        }
        try generator.generate(prompt: tokens, maxTokens: maxTokens, stopTokens: stop, sampling: sampling) {
            token in
            tell(decoder.append(token))
            return !Interrupt.isRequested
        }
        tell(decoder.finish(), terminator: "\n")
        return (text, generator.times)
    }

    private func report(_ times: GenerationTimes) {
        func rate(_ rate: Double) -> String {
            rate == 0
                ? ""
                : ", \(rate < 100 ? Terminal.number(rate, digits: 3) : "\(Int(rate.rounded()))") tokens/s"
        }
        Terminal.error(
            "prompt: \(times.promptTokens) tokens\(rate(times.promptRate)); "
                + "answer: \(times.answerTokens) tokens\(rate(times.stepRate))")
    }

    /// The prompt in the chat template, or as it is.
    private func promptTokens(
        _ text: String, _ tokenizer: Tokenizer, _ renderer: ChatRenderer?
    ) throws -> [Int32] {
        guard let renderer else { return tokenizer.encode(text) }
        let messages =
            (system.map { [(role: "system", content: $0)] } ?? []) + [(role: "user", content: text)]
        return try Interrupt.watching {
            let chat = try renderer.render(Chat(messages), addGenerationPrompt: true)
            return tokenizer.encode(chat, addSpecialTokens: false)
        }
    }
}
