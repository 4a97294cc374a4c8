// A base model on disk: a Hugging Face folder or one GGUF file, seen alike under Hugging Face's names and row
// order. Opening it checks every tensor against the config, so that what is opened can be used without
// further checks.

package struct Checkpoint: Sendable {
    /// Where the vocabulary comes from.
    package enum TokenizerSource: Sendable {
        case huggingFace(TokenizerFiles)
        case gguf(GGUFMetadata)
    }

    /// Paths of what a Hugging Face folder has.
    package struct TokenizerFiles: Sendable {
        package var tokenizer: String
        package var tokenizerConfig: String?
        package var specialTokensMap: String?
        package var generationConfig: String?
        package var modelConfig: String?
        package var chatTemplate: String?

        package init(tokenizer: String) { self.tokenizer = tokenizer }
    }

    package enum Format: String, Sendable {
        case huggingFace = "Hugging Face"
        case gguf = "GGUF"
    }

    package let path: String
    package let format: Format
    package let config: ModelConfig
    /// Tensors of the model, in the order of its layers.
    package let tensors: [StoredTensor]
    /// Names of tensors in the files that the model does not use.
    package let unusedTensors: [String]
    /// All tensors of the files, under the names and in the row order that they have there.
    package let storedTensors: [StoredTensor]
    /// Of a GGUF file.
    package let metadata: GGUFMetadata?
    private let positions: [String: Int]

    package static func open(path: String, limits: LoadLimits = .standard) throws(FileError) -> Checkpoint {
        if FileSystem.isFolder(path) { return try Checkpoint(folder: path, limits) }
        guard FileSystem.exists(path) else {
            throw FileError(path, "does not exist", remedy: "name a Hugging Face folder or a .gguf file")
        }
        return try Checkpoint(gguf: path, limits)
    }

    private init(folder: String, _ limits: LoadLimits) throws(FileError) {
        let configPath = "\(folder)/config.json"
        guard FileSystem.exists(configPath) else {
            let isAdapter = FileSystem.exists("\(folder)/adapter_config.json")
            throw FileError(
                folder, isAdapter ? "holds an adapter, not a model" : "has no config.json",
                remedy: "name the folder of the base model or a .gguf file")
        }
        let config = try ModelConfig.huggingFace(configPath, limits: limits)
        let weights = try SafetensorsFolder(folder, limits: limits)
        try self.init(folder, .huggingFace, config, weights.tensors, metadata: nil)
    }

    private init(gguf path: String, _ limits: LoadLimits) throws(FileError) {
        let file = try GGUFFile(path, limits: limits)
        let config = try ModelConfig(gguf: file)
        try self.init(path, .gguf, config, file.tensors, metadata: file.metadata)
    }

    private init(
        _ path: String, _ format: Format, _ config: ModelConfig, _ stored: [StoredTensor],
        metadata: GGUFMetadata?
    ) throws(FileError) {
        (tensors, unusedTensors) = try matchTensors(stored, config, format, path)
        positions = Dictionary(
            tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        (self.path, self.format, self.config, self.metadata) = (path, format, config, metadata)
        storedTensors = stored
    }

    package func tensor(_ name: String) throws(FileError) -> StoredTensor {
        guard let position = positions[name] else {
            throw FileError(path, "the model has no tensor '\(name.shortened)'", tensor: name)
        }
        return tensors[position]
    }

    package func tensor(_ layer: Int, _ tensor: BlockTensor) throws(FileError) -> StoredTensor {
        try self.tensor(BlockTensor.huggingFaceName(layer, tensor))
    }

    /// Says where the tokenizer is; throws where a folder has none that can be read.
    package func tokenizerSource() throws(FileError) -> TokenizerSource {
        if let metadata { return .gguf(metadata) }
        func file(_ name: String) -> String? {
            FileSystem.exists("\(path)/\(name)") ? "\(path)/\(name)" : nil
        }
        guard let tokenizer = file("tokenizer.json") else {
            throw FileError(
                path, "has no tokenizer.json",
                remedy: "save the model's tokenizer in the fast format, or use a GGUF file")
        }
        var files = TokenizerFiles(tokenizer: tokenizer)
        files.tokenizerConfig = file("tokenizer_config.json")
        files.specialTokensMap = file("special_tokens_map.json")
        files.generationConfig = file("generation_config.json")
        files.modelConfig = file("config.json")
        files.chatTemplate = file("chat_template.jinja")
        return .huggingFace(files)
    }
}

/// The one validation of weights: every tensor of the model is there, in a shape and type that can be used,
/// and nothing is there that the model would need and this program would ignore.
private func matchTensors(
    _ stored: [StoredTensor], _ config: ModelConfig, _ format: Checkpoint.Format, _ path: String
) throws(FileError) -> (tensors: [StoredTensor], unused: [String]) {
    var remaining: [ExactString: StoredTensor] = [:]
    var problems: [String] = []
    for tensor in stored where remaining.updateValue(tensor, forKey: ExactString(tensor.name)) != nil {
        problems.append("'\(tensor.name.shortened)' is there twice")
    }
    var tensors: [StoredTensor] = []
    for expected in config.expectedTensors {
        let (name, order) =
            format == .gguf ? (expected.ggufName, expected.ggufOrder) : (expected.name, .asStored)
        guard let tensor = remaining.removeValue(forKey: ExactString(name)) else {
            problems.append("'\(name)' is missing")
            continue
        }
        if tensor.shape != expected.shape {
            problems.append("'\(name)' has the shape \(tensor.shape), the config says \(expected.shape)")
        } else if !tensor.type.isReadable {
            problems.append("'\(name)' has the type \(tensor.type.name), which is not supported")
        }
        tensors.append(tensor.renamed(expected.name, order: order))
    }
    var unused: [String] = []
    for name in stored.map(\.name) where remaining[ExactString(name)] != nil {
        if isIgnorable(name, config) {
            unused.append(name)
        } else {
            problems.append("'\(name.shortened)' does not belong to a model of this config")
        }
    }
    guard problems.isEmpty else {
        let more = problems.count > 4 ? " and \(problems.count - 4) more" : ""
        throw FileError(path, "does not fit its config: " + problems.prefix(4).joined(separator: ", ") + more)
    }
    return (tensors, unused)
}

/// Tensors that may be there without changing what the model computes: tables derived from the config, a copy
/// of tied embeddings, heads of other tasks.
private func isIgnorable(_ name: String, _ config: ModelConfig) -> Bool {
    if name.hasSuffix(".rotary_emb.inv_freq") || name == "rope_freqs.weight" { return true }
    if name == "lm_head.weight" || name == "output.weight" { return config.tieWordEmbeddings }
    return !["model.", "blk.", "lm_head.", "output", "token_"].contains { name.hasPrefix($0) }
}
