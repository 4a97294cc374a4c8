// What an initialisation finds out about all layers before the first starts: from the training data, where it looks at it.

import Checkpoints
import Kernels
import VulkanCompute

/// The layers of a new adapter, each with its rank and, where the initialisation looked at data, what it saw.
struct AdapterPlan {
    struct Layer {
        let linear: Linear
        var rank: Int
        var seen: SingularTriplets?
    }

    let config: LoRAConfig
    private(set) var layers: [Layer]

    /// `config` must be normalized and valid. On a device that only plans nothing is looked at.
    init(_ config: LoRAConfig, _ model: Transformer, _ examples: [Example]) throws {
        let names = try config.modules(of: model.linears.map(\.name))
        self.config = config
        layers = model.linears.filter { names.contains($0.name) }.map { Layer(linear: $0, rank: config.rank) }
        guard let sight = config.start.sight, !model.device.isPlanning else { return }
        let samples = try Self.samples(examples, Int(config.start.option("samples")), config)
        let iterations = Int(config.start.option("iterations"))
        var random = RandomNumbers(seed: config.seed)
        func subspaces(_ ranks: Int) -> DataSubspaces {
            DataSubspaces(
                model: model, linears: layers.map(\.linear), examples: samples, ranks: ranks,
                iterations: iterations)
        }
        switch sight {
        case .inputs:
            let limit = Int(config.start.option("rho") * Double(config.rank))
            let found = try subspaces(limit).inputs(
                centred: config.start.option("centre") != 0, using: &random)
            let explained = found.map { found in found.triplets.s.map { Double($0) / found.squares } }
            let ranks = redistributedRanks(
                explained: explained, budget: config.rank * layers.count, limit: limit)
            for index in layers.indices {
                layers[index].rank = ranks[index]
                layers[index].seen = found[index].triplets
            }
            layers.removeAll { $0.rank == 0 }
        case .gradients(let perRank):
            let found = try subspaces(perRank * config.rank).gradients(using: &random)
            for index in layers.indices { layers[index].seen = found[index] }
        }
    }

    /// Spread over all examples, in their order.
    private static func samples(
        _ examples: [Example], _ count: Int, _ config: LoRAConfig
    ) throws(ConfigError) -> [Example] {
        guard !examples.isEmpty else {
            throw ConfigError(
                "the initialization \(config.start.name) looks at training data, and there is none")
        }
        if examples.count <= count { return examples }
        return (0..<count).map { examples[$0 * examples.count / count] }
    }

    var modules: [AdapterModuleShape] {
        layers.map { layer in
            let frozen = config.start.startsInWeight ? layer.rank : 0
            return AdapterModuleShape(
                name: layer.linear.name, rank: layer.rank + frozen, frozenRank: frozen,
                scaling: config.scaling, inFeatures: layer.linear.inFeatures,
                outFeatures: layer.linear.outFeatures,
                learningRate: config.learningRate(of: layer.linear.name))
        }
    }

    /// The file PEFT would write for it. Frozen ranks count as ranks, at the same scaling; so do ranks that differ.
    func peft(_ model: Transformer) throws -> PEFTConfig {
        let times = config.start.startsInWeight ? 2 : 1
        func alpha(_ rank: Int) -> Double {
            let ratio = Double(rank * times) / Double(config.rank)
            return config.alpha * (config.usesRsLoRA ? ratio.squareRoot() : ratio)
        }
        let names = layers.map(\.linear.name)
        let isWhole = try config.modules(of: model.linears.map(\.name)).count == names.count
        var peft = PEFTConfig(
            rank: config.rank * times, alpha: alpha(config.rank),
            targetModules: .names(isWhole ? config.targetNames(names) : names), baseModel: model.source)
        peft.dropout = config.dropout
        peft.fanInFanOut = model.checkpoint.spec.fanInFanOut(of: names)
        peft.usesRsLoRA = config.usesRsLoRA
        // PEFT knows this key for new adapters only; the words for what it has, true for what it has not.
        peft.initialisation = config.start.peftName.map { .string($0) } ?? .bool(true)
        for layer in layers where layer.rank != config.rank {
            let pattern = try ModulePattern(layer.linear.name, path: model.source)
            peft.rankPattern.append(.init(pattern, layer.rank * times))
            peft.alphaPattern.append(.init(pattern, alpha(layer.rank)))
        }
        config.method.describe(&peft, config)
        peft.modulesToSave = try model.wholeNames(config.modulesToSave).compactMap {
            $0.split(separator: ".").dropLast().last.map(String.init)
        }
        config.head?.describe(&peft)
        return peft
    }
}

extension LoRAConfig {
    /// PEFT's `target_modules`: last names where they say it all, whole names where only some blocks are adapted.
    fileprivate func targetNames(_ modules: [String]) -> [String] {
        // By their last names PEFT would adapt the layers of images too.
        if modules.contains(where: { $0.hasPrefix("model.language_model.") }) { return modules }
        guard case .names(let names) = targets,
            names.contains(where: { $0.contains("*") || $0.contains(".") })
        else {
            return Set(modules.compactMap { $0.split(separator: ".").last.map(String.init) }).sorted()
        }
        return modules
    }
}
