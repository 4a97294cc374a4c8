// A base model on disk: a Hugging Face folder or one GGUF file, seen alike under Hugging Face's names and row
// order. Opening it checks every tensor against the config, so that what is opened can be used without
// further checks.

import Glibc

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
    /// What the model computes.
    package private(set) var spec: ModelSpec
    /// Tensors of the model, in the order of its layers.
    package private(set) var tensors: [StoredTensor]
    /// Names of tensors in the files that the model does not use.
    package let unusedTensors: [String]
    /// All tensors of the files, under the names and in the row order that they have there.
    package let storedTensors: [StoredTensor]
    /// Of a GGUF file.
    package let metadata: GGUFMetadata?
    /// Other tensors took the place of the files'.
    package private(set) var isChanged = false
    private var fileNames: [String]
    private var positions: [String: Int]

    package static func open(path: String, limits: LoadLimits = .standard) throws(FileError) -> Checkpoint {
        if FileSystem.isFolder(path) { return try Checkpoint(folder: path, limits) }
        guard FileSystem.exists(path) else {
            throw FileError(
                path, "does not exist", remedy: "name a Hugging Face folder or a .gguf file",
                systemErrno: ENOENT)
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
        let fields = try JSONFields(JSON.read(configPath, limits: limits), path: configPath)
        let spec = try ModelSpec(huggingFace: fields)
        let weights = try SafetensorsFolder(folder, limits: limits)
        try self.init(folder, .huggingFace, spec, weights.tensors, metadata: nil)
    }

    private init(gguf path: String, _ limits: LoadLimits) throws(FileError) {
        let file = try GGUFFile(path, limits: limits)
        let spec = try ModelSpec(gguf: file)
        try self.init(path, .gguf, spec, file.tensors, metadata: file.metadata)
    }

    private init(
        _ path: String, _ format: Format, _ spec: ModelSpec, _ stored: [StoredTensor],
        metadata: GGUFMetadata?
    ) throws(FileError) {
        let match = try TensorMatch(stored, spec, format, path)
        (tensors, fileNames, unusedTensors) = (match.tensors, match.fileNames, match.unused)
        positions = Dictionary(
            first: tensors.enumerated().map { ($1.name, $0) })
        (self.path, self.format, self.spec, self.metadata) = (path, format, spec, metadata)
        storedTensors = stored
    }

    /// The same model with other tensors under their names, and with `head` as an output of its own where it was tied.
    package func replacing(_ others: [StoredTensor], head: StoredTensor?) -> Checkpoint {
        var model = self
        model.isChanged = isChanged || !others.isEmpty || head != nil
        for tensor in others { if let position = positions[tensor.name] { model.tensors[position] = tensor } }
        if let head {
            model.spec.head.name = TensorName(spec.headName, gguf: "output")
            model.positions[head.name] = model.tensors.count
            model.fileNames.append(head.name)
            model.tensors.append(head)
        }
        return model
    }

    /// The name in the files of a tensor of `tensors`.
    package func fileName(of name: String) -> String { positions[name].map { fileNames[$0] } ?? name }

    package func tensor(_ name: String) throws(FileError) -> StoredTensor {
        guard let position = positions[name] else {
            throw FileError(path, "the model has no tensor '\(name.shortened)'", tensor: name)
        }
        return tensors[position]
    }

    /// Says where the tokenizer is; throws where a folder has none that can be read.
    package func tokenizerSource() throws(FileError) -> TokenizerSource {
        if let metadata { return .gguf(metadata) }
        return try Checkpoint.tokenizerSource(inFolder: path)
    }

    package static func tokenizerSource(inFolder path: String) throws(FileError) -> TokenizerSource {
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
