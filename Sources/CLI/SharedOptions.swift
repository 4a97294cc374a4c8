// Options that several commands share, and what they open.

import ArgumentParser
import Checkpoints
import LoRAVK
import Tokenizer
import VulkanCompute

struct ModelOptions: ParsableArguments {
    @Option(
        help: "The model: a GGUF file or a Hugging Face folder (config.json, safetensors, tokenizer.json).")
    var model: String

    @Option(help: "The Vulkan device: its index or a part of its name, as `lora-vk devices` lists them.")
    var device: String?

    @Option(
        help: """
            How the frozen weights lie in device memory: auto (as in the file where the kernels read it, else f16), f32, \
            f16 or bf16. Arithmetic is f32 always.
            """)
    var weights: WeightStorage = .auto

    func open() throws -> (Transformer, Tokenizer) {
        let checkpoint = try Checkpoint.open(path: model)
        let tokenizer = try Tokenizer.load(checkpoint.tokenizerSource())
        guard tokenizer.vocabularySize <= checkpoint.config.vocabSize else {
            throw FileError(
                model,
                "has a tokenizer of \(tokenizer.vocabularySize) tokens and embeddings for "
                    + "\(checkpoint.config.vocabSize)", remedy: "use the tokenizer that belongs to the model")
        }
        let device = try Device.open(device)
        let model = try Transformer.load(checkpoint, device: device, weights: weights) { loaded, total in
            if Terminal.isInteractive { Terminal.status("loading weights \(loaded)/\(total)") }
        }
        if Terminal.isInteractive { Terminal.status("") }
        return (model, tokenizer)
    }
}

extension WeightStorage: ExpressibleByArgument {}
extension Schedule.Shape: ExpressibleByArgument {}

/// Blocks that the backward computes again instead of the forward keeping what it needs.
struct RecomputedBlocks: ExpressibleByArgument {
    let count: Int

    init?(argument: String) {
        switch argument {
        case "none": count = 0
        case "all": count = .max
        default:
            guard let number = Int(argument), number >= 0 else { return nil }
            count = number
        }
    }
}

struct MemoryOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            How many blocks compute their activations again in the backward instead of keeping them: none, all or a \
            number. Saves memory, costs up to a third more time, changes no bit of the result.
            """, valueName: "blocks"))
    var recompute: RecomputedBlocks?
}

struct FormatOptions: ParsableArguments {
    @Option(help: "Longest example in tokens; longer ones are cut.")
    var maxLength = 512

    @Option(
        help: ArgumentHelp(
            "Makes the prompt from any fields of a line: 'Review: {text}\\nSentiment:'. Needs --completion.",
            valueName: "template"))
    var prompt: String?

    @Option(
        help: ArgumentHelp(
            "Makes the completion: ' {answer}', or ' {label:negative|positive}' to pick by a number.",
            valueName: "template"))
    var completion: String?

    @Flag(help: "Learn the tokens of prompts too, not only completions and the assistant's turns.")
    var learnPrompts = false

    @Flag(help: "Do not append the end-of-text token to texts and completions.")
    var noEnd = false

    /// Examples are cut to what the model's positions allow, too.
    func format(for model: Transformer) throws -> TextFormat {
        var format = try self.format
        format.maxTokens = min(format.maxTokens, model.config.contextLength)
        return format
    }

    var format: TextFormat {
        get throws {
            guard maxLength >= 2 else {
                throw ConfigError("the longest example is \(maxLength) tokens; it must be 2 or more")
            }
            var format = TextFormat()
            // A shell passes backslash and n; people mean a new line.
            format.promptTemplate = prompt?.replacing("\\n", with: "\n")
            format.completionTemplate = completion?.replacing("\\n", with: "\n")
            format.learnsPrompts = learnPrompts
            format.appendsEndOfText = !noEnd
            format.maxTokens = maxLength
            return format
        }
    }
}
