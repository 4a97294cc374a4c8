// Adapters for a model: new ones, and saved ones from a PEFT folder.

import Checkpoints
import Kernels
import VulkanCompute

extension Adapter {
    /// A new adapter for `model`. It does not change the output yet. Some initialisations read `examples`.
    package static func create(
        for model: Transformer, _ wanted: LoRAConfig, examples: [Example] = []
    ) throws -> Adapter {
        var config = wanted
        config.method.normalize(&config)
        try config.validate()
        if config.head != nil, config.start.sight != nil {
            throw ConfigError(
                "the initialization \(config.start.name) looks at how the model tells next tokens, which a classifier does "
                    + "not learn; use another")
        }
        let plan = try AdapterPlan(config, model, examples)
        let modules = plan.modules
        let bases = plan.layers.map { InitialSite.Base(linear: $0.linear, model: model) }
        let constants = try zip(bases, modules).map { try config.method.knownConstants($0, of: $1) }
        var shared = config.method.emptyShared(modules)
        if !model.device.isPlanning { config.method.startShared(&shared, seed: config.seed) }
        let adapter = try Adapter(
            plan.peft(model), method: config.method, modules: modules, constants: constants, shared: shared,
            head: config.head, whole: try model.wholeNames(config.modulesToSave),
            start: config.start.description, for: model)
        if model.device.isPlanning { return adapter }
        for whole in adapter.whole where whole.name != ScoreHead.tensorName {
            try adapter.set(whole.parameter, to: model.wholeValues(whole.name))
        }
        try adapter.startHead(seed: config.seed)
        var random = RandomNumbers(seed: config.seed)
        for (index, layer) in adapter.layers.enumerated() {
            var site = InitialSite(
                rank: plan.layers[index].rank, inFeatures: layer.inFeatures, outFeatures: layer.outFeatures,
                scaling: config.scaling, base: bases[index], constants: constants[index])
            site.seen = plan.layers[index].seen
            let start = try config.method.start(site, config.start, using: &random)
            for (part, values) in start {
                try adapter.set(layer, part, to: layer.withFrozenStart(part, values))
            }
        }
        return adapter
    }

    /// An adapter that PEFT or `save` wrote, or that was exported for llama.cpp, checked against the model. Of layers named
    /// as in `LoRAConfig.learningRates` the rate is multiplied; `dropout`: another than the file's. An adapter without a
    /// head gets `head`, new by `seed`.
    package static func load(
        _ path: String, for model: Transformer, dropout: Double? = nil,
        learningRates: [(target: String, multiplier: Double)] = [], head: ScoreHead? = nil, seed: UInt64 = 0
    ) throws -> Adapter {
        let files = try AdapterFiles.open(path, for: model.checkpoint).matched(to: model.checkpoint)
        try files.checkOfLayers(model.spec)
        var rates = LoRAConfig()
        rates.learningRates = learningRates
        _ = try rates.modules(of: files.modules.map(\.name))
        (rates.head, rates.seed) = (head, seed)
        return try load(files, for: model, dropout: dropout, rates)
    }

    /// A mix of adapters as one, on a model that is loaded already.
    package static func load(_ mix: AdapterMix, for model: Transformer) throws -> Adapter {
        let files = try AdapterFiles.open(mix, for: model.checkpoint).matched(to: model.checkpoint)
        try files.checkOfLayers(model.spec)
        return try load(files, for: model)
    }

    /// Σ wᵢ·ΔWᵢ of adapters of one model, as a new one.
    package static func mixed(
        _ parts: [(adapter: Adapter, weight: Double)], for model: Transformer
    ) throws -> Adapter {
        let files = try parts.map { (files: try $0.adapter.files, weight: $0.weight) }
        return try load(AdapterFiles.mixed(files), for: model)
    }

    /// Of an adapter that is matched to the model and changes only layers of its blocks.
    package static func load(
        _ files: AdapterFiles, for model: Transformer, dropout: Double? = nil,
        _ rates: LoRAConfig = LoRAConfig()
    ) throws -> Adapter {
        let folder = files.folder
        let method = try files.method
        let linears = Dictionary(first: model.linears.map { ($0.name, $0) })
        let layers = try files.modules.map { module in
            guard let linear = linears[module.name] else {
                throw FileError(
                    folder, "'\(module.name)' is no layer of the model that an adapter can change")
            }
            return linear
        }
        let shapes = try zip(files.modules, layers).map { module, linear in
            AdapterModuleShape(
                name: module.name, rank: module.rank, frozenRank: try files.frozenRank(of: module),
                scaling: module.scaling, inFeatures: linear.inFeatures, outFeatures: linear.outFeatures,
                learningRate: rates.learningRate(of: module.name))
        }
        for (module, shape) in zip(files.modules, shapes) {
            for case let part? in method.parameters(of: shape).map(\.part.filePart)
            where module.parts[part] == nil {
                throw FileError(
                    folder, "'\(module.name)' has no \(part.word), which the method \(method.name) needs")
            }
        }
        let constants = try zip(layers, shapes).map {
            try method.knownConstants(InitialSite.Base(linear: $0, model: model), of: $1)
        }
        var config = files.config(for: model.checkpoint)
        if let dropout { config.dropout = dropout }
        var head = try files.head ?? rates.head
        if head?.problem == nil { head?.problem = rates.head?.problem }
        head?.describe(&config)
        let adapter = try Adapter(
            config, method: method, modules: shapes, constants: constants,
            shared: files.sharedMatrices, head: head, whole: files.saved.map(\.name),
            start: "a saved adapter",
            for: model)
        for stored in files.saved {
            if let parameter = adapter.whole(stored.name) {
                try adapter.set(parameter, to: stored.finiteFloats())
            }
        }
        for (layer, module) in zip(adapter.layers, files.modules) {
            for part in layer.parts {
                guard let filePart = part.filePart, let stored = module.parts[filePart] else { continue }
                try adapter.set(layer, part, to: stored.finiteFloats())
            }
        }
        if let score = files.score {
            try adapter.set(adapter.headWeight(), to: score.finiteFloats())
        } else {
            try adapter.startHead(seed: rates.seed)
        }
        return adapter
    }

    private func startHead(seed: UInt64) throws(VulkanError) {
        guard let head, !device.isPlanning else { return }
        let weight = headWeight()
        try set(weight, to: head.start(width: weight.shape.columns, seed: seed))
    }

    /// Writes PEFT's two files, both or neither. Refuses values that are not finite.
    package func save(to folder: String) throws {
        for (key, parameter) in namedParameters where try !values(parameter).allSatisfy(\.isFinite) {
            throw DivergenceError(
                description:
                    "the adapter's '\(key)' holds values that are not finite, and was not saved; "
                    + "try a smaller learning rate")
        }
        try AdapterFiles.write(config, fileTensors, metadata: metadata, to: folder)
    }

    private var fileTensors: [TensorSource] {
        get throws {
            let saved = try whole.map {
                TensorSource($0.key, shape: $0.parameter.shape.savedShape, try values($0.parameter))
            }
            return try layers.flatMap { try method.fileTensors(of: $0, in: self) } + saved + savedShared
        }
    }

    /// As `save` would write it.
    package var files: AdapterFiles {
        get throws {
            let tensors = try fileTensors.map { (source) throws(FileError) in
                try StoredTensor(source, computedFrom: "the adapter")
            }
            return try AdapterFiles("the adapter", config, tensors: tensors, metadata)
        }
    }

    private var savedShared: [TensorSource] {
        shared.compactMap { part, matrix in
            part.sharedPart.map {
                TensorSource($0.key, shape: [matrix.rows, matrix.columns], matrix.values)
            }
        }
    }

    /// What PEFT's config cannot say and continued training needs. PEFT ignores it.
    private var metadata: [String: String] {
        var metadata = SafetensorsWriter.pytorch
        let isInConfig = method.recognized(in: config)?.description == method.description
        if method.savesItself, !isInConfig {
            metadata[AdapterFiles.methodKey] = method.description
        }
        if let frozen = layers.first?.module.frozenRank, frozen > 0 {
            metadata[AdapterFiles.frozenRankKey] = String(frozen)
        }
        if let head { metadata.merge(head.metadata) { $1 } }
        return metadata
    }
}

extension AdapterFiles {
    fileprivate static let methodKey = "lora_vk.method"
    fileprivate static let frozenRankKey = "lora_vk.frozen_rank"

    /// The method that trained the adapter, by the file's metadata or else by its config.
    package var method: any AdapterMethod {
        get throws(ConfigError) {
            if let name = metadata[Self.methodKey] { return try Registries.methods.named(name) }
            for method in Registries.methods.all {
                if let method = method.recognized(in: config) { return method }
            }
            throw ConfigError("\(folder): no adapter method knows this kind of adapter")
        }
    }

    fileprivate func checkOfLayers(_ spec: ModelSpec) throws(FileError) {
        guard !isTrainable(spec) else { return }
        throw FileError(
            folder,
            "the adapter changes the embedding or output by updates, or holds other modules whole than those, which can be "
                + "neither trained nor put on a model that is loaded already",
            remedy: "merge it into the model (lora-vk merge); lora-vk generate and eval take it as it is")
    }

    fileprivate var sharedMatrices: SharedMatrices {
        get throws(FileError) {
            var matrices: SharedMatrices = [:]
            for (part, stored) in shared {
                matrices[.shared(part)] = SharedMatrix(
                    rows: stored.rows, columns: stored.columns, values: try stored.finiteFloats())
            }
            return matrices
        }
    }

    /// How many of a module's last ranks are frozen.
    fileprivate func frozenRank(of module: AdapterModule) throws(FileError) -> Int {
        guard let text = metadata[Self.frozenRankKey] else { return 0 }
        guard let frozen = Int(text), (0..<module.rank).contains(frozen) else {
            throw FileError(
                module.loraA.tensor.path,
                "'\(Self.frozenRankKey)' is '\(text.shortened)', '\(module.name)' has \(module.rank) ranks")
        }
        return frozen
    }
}

extension LoRALayer {
    /// The first values with the frozen ranks that subtract B·A again: [A; A] and [B, −B].
    fileprivate func withFrozenStart(_ part: Adapter.Part, _ values: [Float]) -> [Float] {
        if module.frozenRank == 0 { return values }
        switch part {
        case .loraA: return values + values
        case .loraB:
            let rank = module.frozenRank
            return (0..<outFeatures).flatMap { row in
                let start = values[row * rank..<(row + 1) * rank]
                return start + start.map { -$0 }
            }
        default: return values
        }
    }
}

extension AdapterMethod {
    /// A device that only plans has no weights to compute them from.
    fileprivate func knownConstants(
        _ base: InitialSite.Base, of module: AdapterModuleShape
    ) throws -> [String: [Float]] {
        base.model.device.isPlanning ? [:] : try constants(base, of: module)
    }
}

extension StoredTensor {
    fileprivate func finiteFloats() throws(FileError) -> [Float] {
        let values = try floats()
        guard values.allSatisfy(\.isFinite) else {
            throw FileError(
                path, "'\(name)' holds values that are not finite",
                remedy: "the training that wrote it diverged: use an earlier adapter")
        }
        return values
    }
}
