// How answers are made: what `generate` and `chat` share.

import ArgumentParser
import Checkpoints
import LoRAVK

struct AnswerSettings: ParsableArguments {
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

    @Option(
        help: ArgumentHelp(
            "A text that ends an answer and is not printed; may be given several times.", valueName: "string")
    )
    var stop: [String] = []

    func options() throws -> AnswerOptions {
        guard maxTokens > 0 else { throw ConfigError("--max-tokens is \(maxTokens); it must be at least 1") }
        var options = AnswerOptions()
        options.maxTokens = maxTokens
        options.stopTexts = stop
        options.sampling.temperature = temperature
        options.sampling.topK = topK
        options.sampling.topP = topP
        options.sampling.repetitionPenalty = repetitionPenalty
        options.sampling.seed = seed
        try options.validate()
        return options
    }
}

/// An adapter, or several.
struct AdapterOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            An adapter (a PEFT folder, or a GGUF file of `lora-vk export`), or several with their weights, which are summed: \
            style=0.7,facts=0.3.
            """, valueName: "path[=weight],…"))
    var adapter: AdapterMix?

    @Option(help: ArgumentHelp("Multiplies what the adapter changes.", valueName: "factor"))
    var adapterScale = 1.0

    var mix: AdapterMix? { adapter?.scaled(by: adapterScale) }
}

extension AdapterMix: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
    public var defaultValueDescription: String { text }
}
