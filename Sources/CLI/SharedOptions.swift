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

    @Flag(
        help: """
            Hand the device its work in pieces of 8 ms instead of 250, so that a desktop on the same GPU stays fluid. Changes \
            no bit of the result.
            """)
    var displayFriendly = false

    @Option(
        help: """
            How the frozen weights lie in device memory: auto (as in the file where the kernels read it, Q5_0 as \
            Q8_0, which holds it exactly, else f16), f32, f16 or bf16. Arithmetic is f32 but on matrix units, which \
            `lora-vk tune` tells of.
            """)
    var weights: WeightStorage = .auto

    /// With an adapter in place, also where it changes more than layers of the blocks.
    func open(
        template: String? = nil, adapter mix: AdapterMix? = nil
    ) throws -> (model: Transformer, adapter: Adapter?, tokenizer: Tokenizer) {
        let (base, tokenizer) = try openFiles(template: template)
        guard let mix else { return (try load(base, openDevice()), nil, tokenizer) }
        let (checkpoint, rest) = try AdapterFiles.open(mix, adapting: base)
        for warning in rest.warnings(for: base) { Terminal.warn(warning) }
        let model = try load(checkpoint, openDevice())
        let isEmpty = rest.modules.isEmpty && rest.score == nil
        return (model, isEmpty ? nil : try Adapter.load(rest, for: model), tokenizer)
    }

    func openDevice() throws -> Device {
        let device = try Device.open(device)
        device.pace.isDisplayFriendly = displayFriendly
        return device
    }

    func openFiles(template: String? = nil) throws -> (Checkpoint, Tokenizer) {
        let checkpoint = try Checkpoint.open(path: model)
        var tokenizer = try Tokenizer.load(for: checkpoint)
        if let template { tokenizer = try tokenizer.with(templateNamed: template) }
        for warning in tokenizer.warnings { Terminal.warn(warning) }
        return (checkpoint, tokenizer)
    }

    func load(_ checkpoint: Checkpoint, _ device: Device) throws -> Transformer {
        let model = try Transformer.load(checkpoint, device: device, weights: weights) { loaded, total in
            if Terminal.isInteractive { Terminal.status("loading weights \(loaded)/\(total)") }
        }
        if Terminal.isInteractive { Terminal.status("") }
        return model
    }
}

struct ChatOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How chats are written, in place of the model's own way: a Jinja file, or "
                + "\(KnownTemplate.all.map(\.name).joined(separator: ", ")).", valueName: "file or name"))
    var chatTemplate: String?
}

extension WeightStorage: ExpressibleByArgument {}

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

/// Bytes, written as people do: 700MB, 4GB, 3.5GiB.
struct ByteCount: ExpressibleByArgument {
    let count: Int

    init?(argument: String) {
        let units: [(String, Double)] = [
            ("GiB", 0x1p30), ("MiB", 0x1p20), ("GB", 1e9), ("MB", 1e6), ("G", 1e9), ("M", 1e6), ("", 1),
        ]
        guard
            let (unit, factor) = units.first(where: { argument.lowercased().hasSuffix($0.0.lowercased()) }),
            let number = Double(argument.dropLast(unit.count)), number > 0, number * factor < 1e18
        else { return nil }
        count = Int(number * factor)
    }
}

struct MemoryOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Most device memory to use: 700MB, 4GB, 3.5GiB. Batches are split and blocks computed again as this needs. \
            Default: seven eighths of what the device has.
            """, valueName: "bytes"))
    var memory: ByteCount?

    @Option(
        help: ArgumentHelp(
            """
            How many blocks compute their activations again in the backward instead of keeping them: none, all or a \
            number. Saves memory, costs up to a third more time, changes no bit of the result. Default: as --memory needs.
            """, valueName: "blocks"))
    var recompute: RecomputedBlocks?

    /// The layout of steps on a device.
    func layout(
        _ planner: MemoryPlanner, _ examples: [ExampleSize], batchSize: Int, _ capabilities: Capabilities,
        tokensPerPass: Int? = nil
    ) throws -> StepLayout {
        let all = capabilities.availableMemoryByteCount
        return try planner.layout(
            examples, batchSize: batchSize, budget: memory?.count ?? all - all / 8,
            recomputedBlocks: recompute.map { min($0.count, planner.blocks) }, tokensPerPass: tokensPerPass)
    }
}

struct LengthOptions: ParsableArguments {
    @Option(help: "Longest example in tokens; longer ones are cut.")
    var maxLength = Defaults.maxTokens

    func validateLength() throws {
        guard maxLength >= 2 else {
            throw ConfigError("the longest example is \(maxLength) tokens; it must be 2 or more")
        }
    }
}

struct BatchOptions: ParsableArguments {
    @Option(help: "Examples of a batch.")
    var batchSize = Defaults.batchSize
}

struct ObjectiveOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What is minimised, with its options: \(Registries.objectives.descriptions.joined(separator: ", ")).",
            valueName: "name[:option=number,…]"))
    var objective = Defaults.objective

    var named: any Objective { get throws { try Registries.objectives.named(objective) } }
}

struct FormatOptions: ParsableArguments {
    @OptionGroup var length: LengthOptions

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

    @Option(
        help: ArgumentHelp(
            "What the lines are: \(Registries.formats.names.joined(separator: ", ")). Default: each line's keys tell.",
            valueName: "name"))
    var format: String?

    @Flag(help: "Learn the tokens of prompts too, not only completions and the assistant's turns.")
    var learnPrompts = false

    @Flag(help: "Do not append the end-of-text token to texts and completions.")
    var noEnd = false

    /// Examples are cut to what the model's positions allow, too.
    func textFormat(for model: ModelSpec, _ objective: any Objective = CausalLM()) throws -> TextFormat {
        var format = try textFormat(objective)
        format.maxTokens = min(format.maxTokens, model.contextLength)
        return format
    }

    func textFormat(_ objective: any Objective = CausalLM()) throws -> TextFormat {
        try length.validateLength()
        var format = TextFormat()
        format.kind = objective.examples
        format.name = self.format
        // A shell passes backslash and n; people mean a new line.
        format.promptTemplate = prompt?.replacing("\\n", with: "\n")
        format.completionTemplate = completion?.replacing("\\n", with: "\n")
        format.learnsPrompts = learnPrompts
        format.appendsEndOfText = !noEnd
        format.maxTokens = length.maxLength
        try format.validate()
        return format
    }
}
