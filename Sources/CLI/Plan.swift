import ArgumentParser
import Checkpoints
import Kernels
import LoRAVK
import VulkanCompute

struct Plan: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell what training would take of a device's memory, to the byte, without allocating it.",
        discussion: """
            A shape is sequences x tokens (4x128); the default is --batch-size x --max-length, the most that `train` can meet \
            with these options, every token learned. Without --recompute each shape is shown keeping everything and computing \
            all blocks again; with --memory as `train` would lay it out. Where there is no Vulkan device the least limits \
            that Vulkan allows are planned for.
            """)

    @OptionGroup var modelOptions: ModelOptions
    @Argument(help: "Shapes.") var shapes: [Shape] = []
    @OptionGroup(title: "Adapter") var lora: LoRAOptions
    @OptionGroup var batch: BatchOptions
    @OptionGroup var optimizer: OptimizerOption
    @OptionGroup(title: "Memory") var memory: MemoryOptions
    @OptionGroup var length: LengthOptions

    /// Sequences x tokens.
    struct Shape: ExpressibleByArgument {
        let sequences: Int
        let tokens: Int

        init?(argument: String) {
            let parts = argument.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
            guard parts.count == 2, let sequences = parts[0], let tokens = parts[1],
                (1...1 << 20).contains(sequences), (2...1 << 20).contains(tokens)
            else { return nil }
            (self.sequences, self.tokens) = (sequences, tokens)
        }

        init(_ sequences: Int, _ tokens: Int) { (self.sequences, self.tokens) = (sequences, tokens) }

        var examples: [ExampleSize] {
            [ExampleSize](repeating: ExampleSize(tokens: tokens, counted: tokens - 1), count: sequences)
        }
    }

    func run() throws {
        let config = try lora.config(seed: 0)
        try config.validate()
        try length.validateLength()
        let checkpoint = try Checkpoint.open(path: modelOptions.model)
        let capabilities = try self.capabilities()
        var optimizer = OptimizerConfig()
        optimizer.optimizer = try self.optimizer.optimizer
        let planner = try MemoryPlanner(
            checkpoint, weights: modelOptions.weights, capabilities: capabilities, optimizer: optimizer
        ) { model in try Adapter.create(for: model, config) }
        let wanted = shapes.isEmpty ? [Shape(batch.batchSize, length.maxLength)] : shapes
        Terminal.print("\(capabilities.name), bytes of device memory for training")
        print("shape", "again", "in passes of", columns.map(\.name) + ["total"])
        for shape in wanted {
            guard shape.tokens <= checkpoint.spec.contextLength else {
                throw ConfigError(
                    "a shape has \(shape.tokens) tokens a sequence, and the model has "
                        + "\(checkpoint.spec.contextLength) positions")
            }
            for layout in try layouts(shape, planner, capabilities) {
                let name = "\(shape.sequences)x\(shape.tokens)"
                let numbers = columns.map { "\(layout.use[keyPath: $0.part])" } + ["\(layout.use.total)"]
                print(name, "\(layout.recomputedBlocks)", "\(layout.tokensPerPass)", numbers)
            }
        }
    }

    private var columns: [(name: String, part: KeyPath<MemoryUse, Int>)] {
        [
            ("weights", \.weights), ("adapter", \.adapter), ("optimizer", \.optimizer),
            ("activations", \.activations), ("tokens", \.tokens), ("unused", \.unused),
        ]
    }

    private func layouts(
        _ shape: Shape, _ planner: MemoryPlanner, _ capabilities: Capabilities
    ) throws -> [StepLayout] {
        if memory.memory != nil {
            return [try memory.layout(planner, shape.examples, batchSize: shape.sequences, capabilities)]
        }
        let levels = memory.recompute.map { [min($0.count, planner.blocks)] } ?? [0, planner.blocks]
        return try levels.map { count in
            try planner.layout(shape.examples, batchSize: shape.sequences, recomputedBlocks: count)
        }
    }

    /// Of the device that `train` would use, or of any where there is none.
    private func capabilities() throws -> Capabilities {
        let isNoneThere = (try? Device.all().isEmpty) ?? true
        if isNoneThere, modelOptions.device == nil { return .least }
        return try Device.open(modelOptions.device).capabilities
    }

    private func print(_ shape: String, _ again: String, _ pass: String, _ numbers: [String]) {
        func left(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        func right(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        Terminal.print(
            left(shape, 10) + right(again, 5) + right(pass, 14) + numbers.map { right($0, 13) }.joined())
    }
}
