import ArgumentParser
import Checkpoints
import LoRAVK
import Tokenizer

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Generate text, with or without an adapter.",
        discussion: """
            A prompt is put into the model's chat template where it has one; --raw continues it as it is. Without \
            --prompt, each line of the standard input is one.
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
    var maxTokens = 200

    @Option(help: "0: always the most likely token; higher: more variety.")
    var temperature = 0.0

    @Option(help: "Choose among the most likely tokens only (0: all).")
    var topK = 0

    @Option(help: "Choose among the tokens that make up this probability.")
    var topP = 1.0

    @Option(help: "Above 1: tokens that are already there become less likely.")
    var repetitionPenalty = 1.0

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
        for warning in tokenizer.generationWarnings { Terminal.warn(warning) }
        let renderer = raw ? nil : try ChatRenderer(tokenizer)
        var prompts = prompt
        if prompts.isEmpty { while let line = readLine() { if !line.isEmpty { prompts.append(line) } } }
        for text in prompts where !Interrupt.isRequested {
            try answer(text, model, adapter, tokenizer, renderer, sampling)
        }
        model.device.savePipelines()
        if let signal = Interrupt.signal { throw CommandExit(code: 128 + signal) }
    }

    private func answer(
        _ text: String, _ model: Transformer, _ adapter: Adapter?, _ tokenizer: Tokenizer,
        _ renderer: ChatRenderer?, _ sampling: SamplerConfig
    ) throws {
        let tokens = try promptTokens(text, tokenizer, renderer)
        let limit = model.spec.contextLength
        let generator = try Generator(
            model, adapter, capacity: min(limit, tokens.count + min(maxTokens, limit)))
        var decoder = tokenizer.streamDecoder(skipSpecialTokens: true)
        var stop = Set(model.spec.tokens.eos.map { Int32($0) })
        stop.formUnion(tokenizer.specialIDs.stops)
        if raw { Terminal.generated(text) }
        try generator.generate(prompt: tokens, maxTokens: maxTokens, stopTokens: stop, sampling: sampling) {
            token in
            Terminal.generated(decoder.append(token))
            return !Interrupt.isRequested
        }
        Terminal.generated(decoder.finish(), terminator: "\n")
        if !Interrupt.isRequested { report(generator.times) }
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
