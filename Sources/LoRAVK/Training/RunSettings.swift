// Everything that decides the numbers of a run, as words that are saved beside its state: a run goes on only as itself. How many
// blocks are computed again, when is saved and what is validated changes no bit and is left out.

import Checkpoints
import Kernels
import VulkanCompute

struct RunSettings {
    private var values = JSON.Object()

    var text: String { JSON.object(values).text(.compact) }

    init(_ trainer: Trainer, _ data: Dataset, _ config: RunConfig) {
        let (model, adapter, schedule) = (trainer.model, trainer.adapter, config.schedule)
        var types = Set(model.linears.map(\.weight.layout.type.rawValue))
        types.formUnion([model.embedding, model.head].map(\.layout.type.rawValue))
        values["model"] = .string(model.identity)
        values["types of weights"] = .string(types.sorted().joined(separator: ", "))
        values["kernels"] = .string(model.device.capabilities.arithmetic)
        values["method"] = .string(adapter.method.description)
        values["initialization"] = .string(adapter.start)
        values["rank"] = .integer(adapter.config.rank)
        values["alpha"] = .double(adapter.config.alpha)
        values["dropout"] = .double(adapter.config.dropout)
        values["rslora"] = .bool(adapter.config.usesRsLoRA)
        values["adapted layers and their rates"] = .string(adapter.identity)
        values["data"] = .string(data.identity)
        values["batch size"] = .integer(config.batchSize)
        values["accumulation"] = .integer(config.accumulation)
        // Larger passes than there are change nothing.
        let largest = data.examples.map(\.tokens.count).sorted(by: >).prefix(config.batchSize).reduce(0, +)
        values["tokens of a pass"] =
            config.tokensPerPass < largest ? .integer(config.tokensPerPass) : .string("all")
        values["steps"] = .integer(config.steps)
        values["schedule"] = .string("\(schedule.shape.rawValue) over \(schedule.steps) steps")
        values["learning rate"] = .double(schedule.learningRate)
        values["warm-up steps"] = .integer(schedule.warmupSteps)
        values["seed"] = .string("\(config.seed)")
        values["seed of dropout"] = .string("\(trainer.hostState.seed)")
        values["shuffled"] = .bool(config.shuffles)
        let optimizer = trainer.optimizer.config
        values["weight decay"] = .double(optimizer.weightDecay)
        values["beta1"] = .double(optimizer.beta1)
        values["beta2"] = .double(optimizer.beta2)
        values["epsilon"] = .double(optimizer.epsilon)
        values["largest gradient norm"] = optimizer.maxGradientNorm.map { .double($0) } ?? .string("none")
    }

    /// Where the settings of a saved run are others: a phrase for each, with both values.
    func differences(from saved: JSON.Object) -> [String] {
        values.members.compactMap { member in
            let (here, there) = (Self.word(member.value), saved[member.key].map(Self.word) ?? "missing")
            return here == there ? nil : "\(member.key) \(there.shortened) there, \(here.shortened) here"
        }
    }

    private static func word(_ value: JSON) -> String {
        switch value {
        case .string(let text): text
        case .double(let number): Int(exactly: number).map { "\($0)" } ?? "\(number)"
        default: value.text(.compact)
        }
    }
}

/// FNV-1a: tells what is not the same, without keeping it.
private struct Fingerprint {
    private var hash: UInt64 = 0xcbf2_9ce4_8422_2325

    var text: String { String(hash, radix: 16) }

    mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }

    mutating func add(_ numbers: [some BitwiseCopyable]) { numbers.withUnsafeBytes { add($0) } }

    /// With its length, so that one text's end is not another's beginning.
    mutating func add(_ text: String) {
        add([text.utf8.count])
        add(text.utf8)
    }
}

extension Dataset {
    fileprivate var identity: String {
        var print = Fingerprint()
        for example in examples {
            print.add([example.tokens.count])
            print.add(example.tokens)
            print.add(example.labels)
        }
        return "\(examples.count) examples, \(tokens) tokens, \(print.text)"
    }
}

extension Transformer {
    /// Names, types and shapes of all tensors and the first row of each: reading all of a model takes too long.
    fileprivate var identity: String {
        var print = Fingerprint()
        for tensor in checkpoint.tensors {
            print.add(tensor.name)
            print.add(tensor.type.name)
            print.add(tensor.shape)
            if tensor.rows > 0 { print.add(tensor.rowBytes(0)) }
        }
        return "\(checkpoint.tensors.count) tensors, \(print.text)"
    }
}

extension Adapter {
    fileprivate var identity: String {
        var print = Fingerprint()
        for layer in layers {
            print.add(layer.name)
            print.add([layer.rank, layer.module.frozenRank])
            print.add([layer.module.scaling] + layer.parameters.map(\.learningRate))
        }
        for (_, matrix) in shared.sorted(by: { $0.key.description < $1.key.description }) {
            print.add(matrix.values)
        }
        return "\(layers.count) layers, \(print.text)"
    }
}
