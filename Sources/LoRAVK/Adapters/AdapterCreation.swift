// Adapters for a model: new ones by their initialisation, and saved ones from a PEFT folder.

import Checkpoints
import Kernels
import VulkanCompute

extension Adapter {
    /// A new adapter for `model`, whose output it does not change yet.
    package static func create(for model: Transformer, _ config: LoRAConfig) throws -> Adapter {
        try config.validate()
        let names = try config.modules(of: model.linears.map(\.name))
        var peft = PEFTConfig(
            rank: config.rank, alpha: config.alpha, targetModules: .names(config.targetNames(names)),
            baseModel: model.source)
        peft.dropout = config.dropout
        peft.usesRsLoRA = config.usesRsLoRA
        // PEFT knows this key for new adapters only; the words for what it has, true for what it has not.
        peft.initialisation = config.initialization == .gaussian ? .string("gaussian") : .bool(true)
        let shapes = model.linears.filter { names.contains($0.name) }.map { linear in
            AdapterModuleShape(
                name: linear.name, rank: config.rank, scaling: config.scaling, inFeatures: linear.inFeatures,
                outFeatures: linear.outFeatures)
        }
        let adapter = try Adapter(peft, modules: shapes, device: model.device)
        var random = RandomNumbers(seed: config.seed)
        for layer in adapter.layers {
            let values = config.initialization.values(
                rank: layer.rank, inFeatures: layer.inFeatures, outFeatures: layer.outFeatures, using: &random
            )
            try adapter.set(layer, config.initialization.startsFromA ? .loraA : .loraB, to: values)
        }
        return adapter
    }

    /// An adapter that PEFT or `save` wrote, checked against the model.
    package static func load(_ folder: String, for model: Transformer) throws -> Adapter {
        let files = try AdapterFiles(folder)
        guard files.saved.isEmpty, !files.config.usesDoRA else {
            let what = files.config.usesDoRA ? "DoRA magnitudes" : "whole modules (modules_to_save)"
            throw FileError(folder, "the adapter holds \(what), which cannot be loaded yet")
        }
        try files.check(against: model.checkpoint)
        let shapes = files.modules.map { module in
            AdapterModuleShape(
                name: module.name, rank: module.rank, scaling: module.scaling,
                inFeatures: module.loraA.columns, outFeatures: module.loraB.rows)
        }
        let adapter = try Adapter(files.config, modules: shapes, device: model.device)
        for (layer, module) in zip(adapter.layers, files.modules) {
            for (part, stored) in [(Part.loraA, module.loraA), (.loraB, module.loraB)] {
                let values = try stored.floats(rows: 0..<stored.rows)
                guard values.allSatisfy(\.isFinite) else {
                    throw FileError(
                        stored.path, "'\(stored.name)' holds values that are not finite",
                        remedy: "the training that wrote it diverged: use an earlier adapter")
                }
                try adapter.set(layer, part, to: values)
            }
        }
        return adapter
    }

    /// Writes PEFT's two files, whole or not at all; never values that are not numbers.
    package func save(to folder: String) throws {
        var tensors: [TensorSource] = []
        for layer in layers {
            let (a, b) = (try values(layer, .loraA), try values(layer, .loraB))
            guard a.allSatisfy(\.isFinite), b.allSatisfy(\.isFinite) else {
                throw DivergenceError(
                    description:
                        "the adapter of \(layer.name) holds values that are not finite, and was not saved; "
                        + "try a smaller learning rate")
            }
            tensors.append(
                TensorSource(AdapterFiles.key(layer.name, .loraA), shape: [layer.rank, layer.inFeatures], a))
            tensors.append(
                TensorSource(AdapterFiles.key(layer.name, .loraB), shape: [layer.outFeatures, layer.rank], b))
        }
        try AdapterFiles.write(config, tensors, to: folder)
    }
}

extension LoRAConfig {
    /// PEFT's `target_modules`: last names where they say it all, whole names where only some blocks are adapted.
    fileprivate func targetNames(_ modules: [String]) -> [String] {
        guard case .names(let names) = targets,
            names.contains(where: { $0.contains("*") || $0.contains(".") })
        else {
            return Set(modules.compactMap { $0.split(separator: ".").last.map(String.init) }).sorted()
        }
        return modules
    }
}
