// A PEFT adapter folder: adapter_config.json and adapter_model.safetensors, checked against each other and, when the base
// model is known, against that. The keys of tensors are those of the AdapterFormat.

package struct AdapterFiles: Sendable {
    package let folder: String
    package let config: PEFTConfig
    package private(set) var modules: [AdapterModule]
    /// All, under the file's names.
    package let tensors: [StoredTensor]
    /// Tensors of `modules_to_save`, under the base model's names: copies of the modules, which take their place.
    package private(set) var saved: [StoredTensor]
    /// Weights of the base model itself, under its names, which PEFT saves with `save_embedding_layers`. An output tied to
    /// the embedding changes with it.
    package private(set) var replaced: [StoredTensor]
    /// The head of a classifier (ScoreHead), which no base model has.
    package let score: StoredTensor?
    /// What belongs to no layer.
    package let shared: [Shared: StoredTensor]
    package let metadata: [String: String]

    package static let configName = "adapter_config.json"
    package static let weightsName = "adapter_model.safetensors"
    private static let prefix = "base_model.model."

    /// The key of one matrix in the file.
    package static func key(_ module: String, _ part: Part) -> String { prefix + module + part.suffix }

    /// The key of a tensor that is saved whole.
    package static func key(saved name: String) -> String { prefix + name }

    /// Writes both files. At every instant the folder holds the old adapter or the new one: weights without a config
    /// that describes them are no adapter. Other entries of the folder stay.
    package static func write(
        _ config: PEFTConfig, _ tensors: [TensorSource],
        metadata: [String: String] = SafetensorsWriter.pytorch, to folder: String
    ) throws(FileError) {
        try FileSystem.makeFolder(folder)
        func files(_ folder: String) throws(FileError) -> (weights: AtomicFile, config: AtomicFile) {
            let weights = try AtomicFile("\(folder)/\(weightsName)")
            try SafetensorsWriter.write(tensors, metadata: metadata, to: weights)
            let configFile = try AtomicFile("\(folder)/\(configName)")
            try configFile.write(config.text)
            return (weights, configFile)
        }
        let isSameConfig = try FileSystem.contents(ofExisting: "\(folder)/\(configName)").map {
            $0.elementsEqual(config.text.utf8)
        }
        if isSameConfig == false {
            let isReplaced = try AtomicFolder.replaceFiles(in: folder) { (temporary) throws(FileError) in
                let (weights, configFile) = try files(temporary)
                try AtomicFile.commit([weights, configFile])
            }
            if isReplaced { return }
        }
        let (weights, configFile) = try files(folder)
        // The config comes last: without one there is no adapter.
        try AtomicFile.commit(isSameConfig == true ? [weights] : [weights, configFile])
    }

    package init(_ folder: String, limits: LoadLimits = .standard) throws(FileError) {
        let weightsPath = "\(folder)/\(AdapterFiles.weightsName)"
        if !FileSystem.exists(weightsPath), FileSystem.exists("\(folder)/adapter_model.bin") {
            throw FileError(
                folder, "holds its weights as adapter_model.bin, which can run code when opened",
                remedy: "save the adapter with PEFT as safetensors")
        }
        let config = try PEFTConfig.read("\(folder)/\(AdapterFiles.configName)", limits: limits)
        let file = try SafetensorsFile(weightsPath, limits: limits)
        try self.init(folder, config, tensors: file.tensors, file.metadata)
    }

    /// Of tensors under PEFT's keys.
    package init(
        _ folder: String, _ config: PEFTConfig, tensors all: [StoredTensor],
        _ metadata: [String: String] = [:]
    ) throws(FileError) {
        let weightsPath = all.first?.path ?? "\(folder)/\(AdapterFiles.weightsName)"
        let format = config.kind.format
        var parts: [String: [Part: StoredTensor]] = [:]
        var names: [String] = []
        var (saved, replaced): ([StoredTensor], [StoredTensor]) = ([], [])
        var shared: [Shared: StoredTensor] = [:]
        for tensor in all {
            if let whole = format.shared.first(where: { $0.key == tensor.name }), tensor.type.isReadable {
                shared[whole] = tensor
                continue
            }
            switch try AdapterFiles.place(of: tensor, config) {
            case .part(let part, let module):
                if parts[module] == nil { names.append(module) }
                parts[module, default: [:]][part] = tensor
            case .saved(let name): saved.append(tensor.renamed(name))
            case .replaced(let name): replaced.append(tensor.renamed(name))
            }
        }
        var score: StoredTensor?
        if config.taskType == ScoreHead.taskType,
            let index = saved.firstIndex(where: { $0.name == ScoreHead.tensorName })
        {
            score = saved.remove(at: index)
        }
        var modules: [AdapterModule] = []
        for name in names {
            let tensors = AdapterTensors(
                module: name, parts: parts[name] ?? [:], shared: shared, path: weightsPath)
            modules.append(try AdapterModule(tensors, config))
        }
        self.init(folder, config, modules, saved, replaced, score, shared, tensors: all, metadata)
        try checkTargets()
    }

    init(
        _ folder: String, _ config: PEFTConfig, _ modules: [AdapterModule], _ saved: [StoredTensor] = [],
        _ replaced: [StoredTensor] = [], _ score: StoredTensor? = nil,
        _ shared: [Shared: StoredTensor] = [:], tensors: [StoredTensor], _ metadata: [String: String] = [:]
    ) {
        (self.folder, self.config, self.modules) = (folder, config, modules)
        (self.saved, self.replaced, self.score, self.shared) = (saved, replaced, score, shared)
        (self.tensors, self.metadata) = (tensors, metadata)
    }

    /// What the head's outputs are; nil: there is no head.
    package var head: ScoreHead? {
        get throws(FileError) {
            guard let score else { return nil }
            return try ScoreHead(metadata, outputs: score.rows, path: "\(folder)/\(Self.weightsName)")
        }
    }

    /// Refuses a classifier where only a language model's weights are wanted.
    package func requireNoHead(_ what: String) throws(FileError) {
        guard score == nil else {
            throw FileError(
                folder, "has the head of a classifier, which \(what)",
                remedy: "use the adapter as it is: lora-vk classify, or PEFT")
        }
    }

    private enum Place {
        case part(Part, of: String)
        case saved(String), replaced(String)
    }

    /// PEFT's names of embeddings and outputs, which it saves beside an adapter of theirs, or when it is asked to.
    private static let embeddings: Set = ["embed_tokens", "lm_head", "wte"]

    /// What a key names.
    private static func place(of tensor: StoredTensor, _ config: PEFTConfig) throws(FileError) -> Place {
        let key = tensor.name
        func wrong(_ message: String) -> FileError {
            FileError(tensor.path, "the tensor '\(key.shortened)' \(message)", tensor: key)
        }
        guard tensor.type.isReadable else {
            throw wrong("has the type \(tensor.type.name), expected F32, F16 or BF16")
        }
        guard key.hasPrefix(prefix) else { throw wrong("does not begin with '\(prefix)', as PEFT's do") }
        let rest = String(key.dropFirst(prefix.count))
        for part in Part.all where rest.hasSuffix(part.suffix) {
            return .part(part, of: String(rest.dropLast(part.suffix.count)))
        }
        if config.modulesToSave.contains(where: rest.isInside) { return .saved(rest) }
        let name = rest.replacing(".base_layer.weight", with: ".weight")
        let path = name.split(separator: ".")
        guard path.last == "weight", let module = path.dropLast().last, embeddings.contains(String(module))
        else { throw wrong("is neither of an adapter nor of a module in 'modules_to_save'") }
        return .replaced(name)
    }

    private func wrongConfig(_ message: String) -> FileError {
        FileError("\(folder)/\(AdapterFiles.configName)", message)
    }

    /// Every tensor is of something that the config names.
    private func checkTargets() throws(FileError) {
        func wrong(_ message: String) -> FileError { wrongConfig(message) }
        guard !modules.isEmpty || !saved.isEmpty || !replaced.isEmpty || score != nil else {
            throw FileError("\(folder)/\(AdapterFiles.weightsName)", "holds no adapter's tensors")
        }
        for name in config.modulesToSave where !saved.contains(where: { $0.name.isInside(name) }) {
            if config.taskType == ScoreHead.taskType, ScoreHead.modules.contains(name) { continue }
            throw wrong("'modules_to_save' names '\(name.shortened)', of which there is no tensor")
        }
        guard case .names(let targets) = config.targetModules else { return }
        for module in modules where !targets.contains(where: module.name.isModule) {
            throw wrong(
                "'target_modules' does not name '\(module.name.shortened)', of which there are tensors")
        }
    }

    /// What the config names and the model has is there: nothing it asks for is silently without effect. Names of what
    /// the model does not have mean nothing, as in PEFT.
    private func checkTargets(of layers: [String]) throws(FileError) {
        guard case .names(let targets) = config.targetModules, config.layersToTransform.isEmpty else {
            return
        }
        for target in targets where !modules.contains(where: { $0.name.isModule(named: target) }) {
            for layer in layers where layer.isModule(named: target) {
                let isSaved = config.modulesToSave.contains { (layer + ".weight").isInside($0) }
                let isLeftOut = try config.excludes(layer, folder)
                guard isSaved || isLeftOut else {
                    throw wrongConfig(
                        "'target_modules' names '\(target.shortened)', of which there are no tensors")
                }
            }
        }
    }

    /// The config with the `fan_in_fan_out` of the base model's layers. PEFT, too, corrects a wrong one, with a warning.
    package func config(for base: Checkpoint) -> PEFTConfig {
        var config = config
        config.fanInFanOut = base.spec.fanInFanOut(of: modules.map(\.name))
        return config
    }

    /// One sentence for each thing in the config that the base model contradicts.
    package func warnings(for base: Checkpoint) -> [String] {
        if config.fanInFanOut == self.config(for: base).fanInFanOut { return [] }
        let order = config.fanInFanOut ? "(out, in)" : "(in, out)"
        return [
            "\(AdapterFiles.configName): 'fan_in_fan_out' is \(config.fanInFanOut), but the base model has the matrices "
                + "as \(order); it was ignored"
        ]
    }

    /// An adapter of another model is an error that says so, never an adapter without effect.
    func check(against base: Checkpoint) throws(FileError) {
        let path = "\(folder)/\(AdapterFiles.weightsName)"
        var shapes = Dictionary(
            first: base.tensors.map { ($0.name, $0.shape) })
        let embedding = base.spec.embedding.name.huggingFace
        // A tied output has the embedding's shape.
        shapes[base.spec.headName + ".weight"] = shapes[embedding + ".weight"]
        let layers = base.spec.linears.map(\.name.huggingFace) + [base.spec.headName, embedding]
        try checkTargets(of: layers)
        func wrong(_ message: String) -> FileError {
            FileError(path, message, remedy: "the adapter belongs to another model than \(base.path)")
        }
        for module in modules {
            guard let shape = shapes[module.name + ".weight"], layers.contains(module.name),
                (module.name == embedding) == module.isOfEmbedding
            else {
                throw wrong("the base model has no linear layer '\(module.name.shortened)'")
            }
            guard module.fits(shape) else {
                throw wrong(
                    "'\(module.name)' is made for \(module.loraA.columns) inputs and \(module.loraB.rows) outputs, "
                        + "the base model's has \(shape[1]) and \(shape[0])"
                )
            }
        }
        if let score {
            let width = base.spec.width
            guard score.shape.count == 2, score.columns == width, (1...ScoreHead.mostOutputs) ~= score.rows
            else {
                throw wrong(
                    "the head '\(score.name)' has the shape \(score.shape), expected 1 to \(ScoreHead.mostOutputs) rows of \(width)"
                )
            }
        }
        for tensor in saved + replaced {
            guard let shape = shapes[tensor.name] else {
                throw wrong("the base model has no '\(tensor.name.shortened)', which the adapter holds whole")
            }
            guard shape == tensor.shape else {
                throw wrong("'\(tensor.name)' has the shape \(tensor.shape), the base model's is \(shape)")
            }
        }
    }

    func renamed(_ name: (String) -> String) -> AdapterFiles {
        var files = self
        for index in modules.indices { files.modules[index].name = name(modules[index].name) }
        func renamed(_ tensor: StoredTensor) -> StoredTensor {
            let parts = tensor.name.split(separator: ".")
            return tensor.renamed(name(parts.dropLast().joined(separator: ".")) + ".\(parts.last ?? "")")
        }
        (files.saved, files.replaced) = (saved.map(renamed), replaced.map(renamed))
        return files
    }

    /// Whether all of it are updates of the layers in a model's blocks.
    package func isOfLayers(_ spec: ModelSpec) -> Bool {
        let others = [spec.headName, spec.embedding.name.huggingFace]
        return saved.isEmpty && replaced.isEmpty && !modules.contains { others.contains($0.name) }
    }

    /// Whether it can train, or be put on a model that is loaded: updates of layers, and copies of embedding and output.
    package func isTrainable(_ spec: ModelSpec) -> Bool {
        let ends = [spec.headName, spec.embedding.name.huggingFace]
        let areEnds = saved.allSatisfy { tensor in ends.contains { tensor.name == $0 + ".weight" } }
        return replaced.isEmpty && areEnds && !modules.contains { ends.contains($0.name) }
            && (saved.isEmpty || !config.ensuresWeightTying || !spec.head.isTied)
    }

    /// Only the updates of the layers in a model's blocks.
    package func ofLayers(_ spec: ModelSpec) -> AdapterFiles {
        var files = self
        (files.saved, files.replaced) = ([], [])
        files.modules.removeAll { [spec.headName, spec.embedding.name.huggingFace].contains($0.name) }
        return files
    }
}

extension ModelSpec {
    /// The output's name, where it is tied too.
    package var headName: String { head.name?.huggingFace ?? "lm_head" }

    /// PEFT's `fan_in_fan_out` of an adapter of these modules: Hugging Face's files have their matrices as (in, out).
    package func fanInFanOut(of modules: [String]) -> Bool {
        let transposed = Set(linears.filter(\.isTransposed).map(\.name.huggingFace))
        return modules.contains(where: transposed.contains)
    }
}
