import ArgumentParser
import Checkpoints
import LoRAVK

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what a model or an adapter is, after checking it whole. Needs no GPU.")

    @Argument(help: "A GGUF file, a Hugging Face folder, or an adapter folder.")
    var path: String

    @Flag(help: "List every tensor.")
    var tensors = false

    func run() throws {
        if FileSystem.exists("\(path)/\(AdapterFiles.configName)") { try adapter() } else { try model() }
    }

    private func model() throws {
        let checkpoint = try Checkpoint.open(path: path)
        let config = checkpoint.config
        let parameters = checkpoint.tensors.reduce(0) { $0 + $1.count }
        let bytes = checkpoint.tensors.reduce(0) { $0 + $1.byteCount }
        var types: [String: Int] = [:]
        for tensor in checkpoint.tensors { types[tensor.type.name, default: 0] += 1 }
        Terminal.print("\(checkpoint.format.rawValue) model, architecture \(config.modelType)")
        Terminal.print("  parameters   \(parameters) in \(Terminal.bytes(bytes))")
        Terminal.print(
            "  shape        \(config.layers) blocks, width \(config.hiddenSize), feed-forward \(config.intermediateSize)"
        )
        Terminal.print(
            "  attention    \(config.heads) heads of \(config.headDim), \(config.kvHeads) for keys and values"
        )
        Terminal.print(
            "  vocabulary   \(config.vocabSize)\(config.tieWordEmbeddings ? ", output tied to the embedding" : "")"
        )
        Terminal.print(
            "  positions    \(config.maxPositions), rope base \(Terminal.number(config.ropeTheta, digits: 8))"
        )
        Terminal.print(
            "  types        "
                + types.sorted { $0.value > $1.value }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        )
        guard tensors else { return }
        for tensor in checkpoint.tensors {
            Terminal.print("  \(tensor.name)  \(tensor.shape)  \(tensor.type.name)")
        }
    }

    private func adapter() throws {
        let files = try AdapterFiles(path)
        for warning in files.config.warnings { Terminal.error("warning: \(warning)") }
        let parameters = files.modules.reduce(0) { $0 + $1.parameterCount }
        Terminal.print(
            "PEFT \(files.config.kind.name) adapter for \(files.config.baseModel ?? "an unnamed model")")
        Terminal.print("  method       \(try files.method.description)")
        Terminal.print("  rank         \(files.config.rank), alpha \(Terminal.number(files.config.alpha))")
        Terminal.print("  modules      \(files.modules.count), \(parameters) parameters")
        guard tensors else { return }
        for module in files.modules {
            Terminal.print(
                "  \(module.name)  A \(module.loraA.shape)  B \(module.loraB.shape)  scaling \(Terminal.number(module.scaling))"
            )
        }
    }
}
