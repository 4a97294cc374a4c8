// Everything that decides the numbers of a run, as words that are saved beside its state: a run goes on only as itself. How many
// blocks are computed again, when is saved and what is validated changes no bit and is left out.

import Checkpoints
import Kernels
import Tokenizer
import VulkanCompute

struct RunSettings {
    private let values: [(name: String, value: String)]

    private static let prefix = "lora_vk.run."
    private static let (tokensName, allTokens) = ("tokens of a pass", "all")
    private static let dateName = "date of the chat template"

    init(_ trainer: Trainer, _ data: Dataset, _ config: RunConfig) throws {
        var settings = try trainer.model.settings
        settings += trainer.adapter.settings
        settings.add("data", data.identity)
        if let date = data.date { settings.add(Self.dateName, date) }
        settings.add("objective", trainer.objective.description)
        if trainer.objective.needsReference { settings.add("reference", try trainer.adapter.values) }
        settings.add("batch size", config.batchSize)
        settings.add("accumulation", config.accumulation)
        // Larger passes than there are change nothing.
        let largest = data.examples.map(\.tokens.count).sorted(by: >).prefix(config.batchSize).reduce(0, +)
        settings.add(
            Self.tokensName, config.tokensPerPass < largest ? "\(config.tokensPerPass)" : Self.allTokens)
        settings.add("steps", config.steps)
        settings += config.schedule.settings
        settings.add("seed", config.seed)
        settings.add("seed of dropout", trainer.hostState.seed)
        settings.add("shuffled", config.shuffles)
        if trainer.noise > 0 { settings.add("noise on embeddings", trainer.noise) }
        settings += trainer.optimizer.config.settings
        values = settings.values
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

    static func date(in notes: [String: String]) -> TemplateDate? {
        notes[prefix + dateName].flatMap(TemplateDate.init)
    }
}

extension Dataset {
    fileprivate var identity: String {
        var print = Fingerprint()
        for example in examples {
            print.add([example.tokens.count])
            print.add(example.tokens)
            print.add(example.labels)
            if let weights = example.weights { print.add(weights) }
            if let comparison = example.comparison {
                print.add([comparison.second, comparison.isDesired ?? true ? 1 : 0])
            }
            if let outcome = example.outcome {
                print.add([outcome.label])
                print.add(outcome.values)
            }
        }
        return "\(examples.count) examples, \(tokens) tokens, \(print.text)"
    }
}

extension Transformer {
    fileprivate var settings: Settings {
        get throws(FileError) {
            var types = Set(linears.map(\.weight.layout.type.rawValue))
            types.formUnion([embedding.weight, head.weight].map(\.layout.type.rawValue))
            var settings = Settings()
            settings.add("model", try identity)
            settings.add("types of weights", types.sorted().joined(separator: ", "))
            settings.add("kernels", device.capabilities.arithmetic)
            return settings
        }
    }

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
                    print.add(try tensor.fileBytes(rows: row..<row + 1))
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
    /// A fingerprint of what a run begins with.
    fileprivate var values: String {
        get throws {
            var print = Fingerprint()
            print.add(try device.values(parameters))
            return print.text
        }
    }

    fileprivate var settings: Settings {
        var settings = Settings()
        settings.add("method", method.description)
        settings.add("initialization", start)
        settings.add("rank", config.rank)
        settings.add("alpha", config.alpha)
        settings.add("dropout", config.dropout)
        settings.add("rslora", config.usesRsLoRA)
        settings.add("adapted layers and their rates", identity)
        if !whole.isEmpty { settings.add("trained whole", whole.map(\.name).joined(separator: ", ")) }
        if let head { settings.add("labels", head.names.joined(separator: ", ")) }
        return settings
    }

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
