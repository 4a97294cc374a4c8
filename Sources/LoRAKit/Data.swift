import LoRAVK
import Tokenizer

/// Tokens of a text, and which of them are learned.
public struct Example: Sendable {
    var core: LoRAVK.Example

    /// The prompt is read, the completion is learned.
    public init(prompt: [Int32], completion: [Int32]) {
        core = LoRAVK.Example(
            tokens: prompt + completion,
            labels: [Int32](repeating: -1, count: prompt.count) + completion)
    }

    init(_ core: LoRAVK.Example) { self.core = core }

    public var tokens: [Int32] { core.tokens }
    /// Of each token; the first is never learned, since nothing stands before it.
    public var isLearned: [Bool] { core.labels.indices.map { $0 > 0 && core.labels[$0] >= 0 } }
}

extension Model {
    /// Examples of a file or folder, as `lora-vk train` reads them: chats, prompts with completions, texts. `split`: which file of a folder.
    public func examples(_ path: String, split: DataSplit = .train, maxTokens: Int? = nil) throws -> [Example]
    {
        var format = TextFormat()
        format.maxTokens = min(maxTokens ?? format.maxTokens, core.spec.contextLength)
        let split: Dataset.Split = split == .train ? .train : .valid
        return try Dataset(path, split: split, tokenizer: tokenizer, format: format).examples.map(
            Example.init)
    }
}

/// Files of a data folder.
public enum DataSplit: Sendable { case train, valid }
