import ArgumentParser
import Checkpoints
import LoRAVK

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what a model or an adapter is, after checking it whole. Needs no GPU.")

    @Argument(help: "A GGUF file, a Hugging Face folder, or an adapter (a folder or a GGUF file).")
    var path: String

    @Flag(help: "List every tensor.")
    var tensors = false

    func run() throws {
        if FileSystem.exists("\(path)/\(AdapterFiles.configName)") { return try adapter() }
        if FileSystem.isFile(path), try GGUFAdapter.isAdapter(GGUFFile(path).metadata) {
            return try ggufAdapter()
        }
        try model()
    }

    private func ggufAdapter() throws {
        let adapter = try GGUFAdapter(path)
        let parameters = adapter.modules.reduce(0) { $0 + $1.a.count + $1.b.count }
        let ranks = Set(adapter.modules.compactMap(\.a.shape.first)).sorted().map(String.init)
        Terminal.print("GGUF LoRA adapter for llama.cpp, architecture \(adapter.architecture)")
        Terminal.print(
            "  rank         \(ranks.joined(separator: ", ")), alpha \(Terminal.number(adapter.alpha))")
        Terminal.print("  modules      \(adapter.modules.count), \(parameters) parameters")
        guard tensors else { return }
        for module in adapter.modules {
            Terminal.print("  \(module.name)  A \(module.a.shape)  B \(module.b.shape)")
        }
    }

    private func model() throws {
        let checkpoint = try Checkpoint.open(path: path)
        let spec = checkpoint.spec
        let parameters = checkpoint.tensors.reduce(0) { $0 + $1.count }
        let bytes = checkpoint.tensors.reduce(0) { $0 + $1.byteCount }
        var types: [String: Int] = [:]
        for tensor in checkpoint.tensors { types[tensor.type.name, default: 0] += 1 }
        Terminal.print("\(checkpoint.format.rawValue) model, architecture \(spec.modelType)")
        Terminal.print("  parameters   \(parameters) in \(Terminal.bytes(bytes))")
        Terminal.print(
            "  shape        \(spec.blocks.count) blocks, width \(spec.width), feed-forward \(spec.feedForward)"
        )
        for line in attention(spec) { Terminal.print("  attention    \(line)") }
        Terminal.print(
            "  vocabulary   \(spec.vocabulary)\(spec.head.isTied ? ", output tied to the embedding" : "")")
        Terminal.print("  positions    \(spec.positions)")
        Terminal.print(
            "  types        "
                + types.sorted { $0.value > $1.value }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        )
        guard tensors else { return }
        for tensor in checkpoint.tensors {
            Terminal.print("  \(tensor.name)  \(tensor.shape)  \(tensor.type.name)")
        }
    }

    /// A line for each kind of attention, with the number of its layers where there are several.
    private func attention(_ spec: ModelSpec) -> [String] {
        var kinds: [(text: String, count: Int)] = []
        for attention in spec.attentions {
            var text =
                "\(attention.heads) heads of \(attention.headSize), \(attention.kvHeads) for keys and values"
            if let window = attention.window { text += ", window \(window)" }
            text += attention.rope.map { ", rope base \(Terminal.number($0.base, digits: 8))" } ?? ", no rope"
            if let index = kinds.firstIndex(where: { $0.text == text }) {
                kinds[index].count += 1
            } else {
                kinds.append((text, 1))
            }
        }
        return kinds.map { kinds.count == 1 ? $0.text : "\($0.count) layers: \($0.text)" }
    }

    private func adapter() throws {
        let files = try AdapterFiles(path)
        let parameters = files.modules.reduce(0) { $0 + $1.parameterCount }
        Terminal.print(
            "PEFT \(files.config.kind.name) adapter for \(files.config.baseModel ?? "an unnamed model")")
        Terminal.print("  method       \(try files.method.description)")
        Terminal.print("  rank         \(files.config.rank), alpha \(Terminal.number(files.config.alpha))")
        Terminal.print("  modules      \(files.modules.count), \(parameters) parameters")
        if let head = try files.head {
            Terminal.print("  head         \(head.names.joined(separator: ", "))")
        }
        guard tensors else { return }
        for module in files.modules {
            Terminal.print(
                "  \(module.name)  A \(module.loraA.shape)  B \(module.loraB.shape)  scaling \(Terminal.number(module.scaling))"
            )
        }
    }
}
