// Everything that decides the numbers of a run, as words that are saved beside its state: a run goes on only as itself. How many
// blocks are computed again, when is saved and what is validated changes no bit and is left out.

import Checkpoints
import Kernels
import VulkanCompute

struct RunSettings {
    private var values: [(name: String, value: String)] = []

    private static let prefix = "lora_vk.run."
    private static let (tokensName, allTokens) = ("tokens of a pass", "all")

    init(_ trainer: Trainer, _ data: Dataset, _ config: RunConfig) throws(FileError) {
        let (model, adapter, schedule) = (trainer.model, trainer.adapter, config.schedule)
        var types = Set(model.linears.map(\.weight.layout.type.rawValue))
        types.formUnion([model.embedding.weight, model.head.weight].map(\.layout.type.rawValue))
        try add("model", model.identity)
        add("types of weights", types.sorted().joined(separator: ", "))
        add("kernels", model.device.capabilities.arithmetic)
        add("method", adapter.method.description)
        add("initialization", adapter.start)
        add("rank", adapter.config.rank)
        add("alpha", adapter.config.alpha)
        add("dropout", adapter.config.dropout)
        add("rslora", adapter.config.usesRsLoRA)
        add("adapted layers and their rates", adapter.identity)
        add("data", data.identity)
        add("batch size", config.batchSize)
        add("accumulation", config.accumulation)
        // Larger passes than there are change nothing.
        let largest = data.examples.map(\.tokens.count).sorted(by: >).prefix(config.batchSize).reduce(0, +)
        add(Self.tokensName, config.tokensPerPass < largest ? "\(config.tokensPerPass)" : Self.allTokens)
        add("steps", config.steps)
        add("schedule", "\(schedule.shape.rawValue) over \(schedule.steps) steps")
        add("learning rate", schedule.learningRate)
        add("warm-up steps", schedule.warmupSteps)
        add("seed", config.seed)
        add("seed of dropout", trainer.hostState.seed)
        add("shuffled", config.shuffles)
        let optimizer = trainer.optimizer.config
        add("weight decay", optimizer.weightDecay)
        add("beta1", optimizer.beta1)
        add("beta2", optimizer.beta2)
        add("epsilon", optimizer.epsilon)
        if let norm = optimizer.maxGradientNorm {
            add("largest gradient norm", norm)
        } else {
            add("largest gradient norm", "none")
        }
    }

    private mutating func add(_ name: String, _ value: some CustomStringConvertible) {
        values.append((name, value.description))
    }

    private mutating func add(_ name: String, _ number: Double) {
        add(name, Int(exactly: number)?.description ?? number.description)
    }

    /// As they are saved.
    var notes: [String: String] {
        Dictionary(values.map { (Self.prefix + $0.name, $0.value) }, uniquingKeysWith: { $1 })
    }

    /// Where the settings of a saved run are others: a phrase for each, with both values.
    func differences(from notes: [String: String]) -> [String] {
        values.compactMap { name, here in
            let there = notes[Self.prefix + name] ?? "missing"
            return here == there ? nil : "\(name) \(there.shortened) there, \(here.shortened) here"
        }
    }

    static func tokensPerPass(in notes: [String: String]) -> Int? {
        notes[prefix + tokensName].flatMap { $0 == allTokens ? .max : Int($0) }
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
    /// What the forward goes by, names, types and shapes of all tensors, and some rows of each: reading all of a model takes too long.
    fileprivate var identity: String {
        get throws(FileError) {
            var print = Fingerprint()
            print.add("\(spec)")
            for tensor in checkpoint.tensors {
                print.add(tensor.name)
                print.add(tensor.type.name)
                print.add(tensor.shape)
                for row in Self.sample(of: tensor.fileRows) {
                    print.add(try tensor.fileBytes(rows: row..<row + 1)[...])
                }
            }
            return "\(checkpoint.tensors.count) tensors, \(print.text)"
        }
    }

    /// Rows from the first to the last, evenly.
    private static func sample(of rows: Int) -> [Int] {
        let most = 8
        return rows <= most ? Array(0..<rows) : (0..<most).map { $0 * (rows - 1) / (most - 1) }
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
