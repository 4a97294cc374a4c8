// How a model makes vectors of texts: what a folder of sentence-transformers says of it (modules.json and what it names), and otherwise
// what fits the model: the mean of an encoder's tokens, the last token of a model that sees what is before it.

import Checkpoints
import Tokenizer

package struct EmbeddingSettings: Sendable, Equatable {
    package var pooling: Pooling
    /// Vectors have length 1.
    package var isNormalized = false
    /// Longer texts are cut.
    package var maxTokens: Int

    package init(_ checkpoint: Checkpoint) throws(FileError) {
        pooling = checkpoint.spec.isEncoder ? .mean : .last
        maxTokens = checkpoint.spec.contextLength
        let folder = checkpoint.path
        guard checkpoint.format == .huggingFace, FileSystem.exists("\(folder)/modules.json") else { return }
        try read(folder)
    }

    private mutating func read(_ folder: String) throws(FileError) {
        let path = "\(folder)/modules.json"
        guard case .array(let modules) = try JSON.read(path) else {
            throw FileError(path, "is not a list of modules")
        }
        for module in modules {
            let module = try JSONFields(module, path: path)
            let type = try module.string("type")
            switch type.split(separator: ".").last {
            case "Transformer":
                let path = "\(folder)/sentence_bert_config.json"
                guard FileSystem.exists(path) else { continue }
                let config = try JSONFields(JSON.read(path), path: path)
                guard try config.optionalBool("do_lower_case") != true else {
                    throw config.wrong(
                        "do_lower_case", expected: "false: the tokenizer says whether case counts")
                }
                let most = try config.optionalInteger("max_seq_length", in: 2...Int.max)
                maxTokens = min(maxTokens, most ?? maxTokens)
            case "Pooling":
                let path = "\(folder)/\(try module.string("path"))/config.json"
                pooling = try Pooling(JSONFields(JSON.read(path), path: path))
            case "Normalize": isNormalized = true
            default:
                throw module.wrong(
                    "type", expected: "Transformer, Pooling or Normalize: other modules are not supported")
            }
        }
    }

    /// A text's tokens with those that the model expects around them, cut in front of the latter where there are too many.
    package func tokens(_ text: String, _ tokenizer: Tokenizer) -> (ids: [Int32], isCut: Bool) {
        let own = tokenizer.encode(text, addSpecialTokens: false)
        let room = max(0, maxTokens - tokenizer.prefix.count - tokenizer.suffix.count)
        return (tokenizer.prefix + own.prefix(room) + tokenizer.suffix, own.count > room)
    }
}

extension TextFormat {
    /// Examples are cut to what the model's positions allow; texts whose vectors are compared become what `embed` makes of them.
    package mutating func fit(_ checkpoint: Checkpoint) throws(FileError) {
        maxTokens = min(maxTokens, checkpoint.spec.contextLength)
        guard kind == .texts else { return }
        let settings = try EmbeddingSettings(checkpoint)
        (pooling, maxTokens) = (settings.pooling, min(maxTokens, settings.maxTokens))
    }
}

extension Pooling {
    /// Of sentence-transformers' `1_Pooling/config.json`: a flag for each way, or its name.
    fileprivate init(_ config: JSONFields) throws(FileError) {
        let names: KeyValuePairs<String, Pooling> = ["cls": .cls, "mean": .mean, "lasttoken": .last]
        let flags: KeyValuePairs<String, Pooling> = [
            "pooling_mode_cls_token": .cls, "pooling_mode_mean_tokens": .mean,
            "pooling_mode_lasttoken": .last,
        ]
        if let name = try config.optionalString("pooling_mode") {
            guard let known = names.first(where: { $0.key == name }) else {
                throw config.wrong("pooling_mode", expected: "cls, mean or lasttoken")
            }
            self = known.value
            return
        }
        var chosen: [Pooling] = []
        for member in config.object.members
        where member.key.hasPrefix("pooling_mode_") && member.value == .bool(true) {
            guard let known = flags.first(where: { $0.key == member.key }) else {
                throw config.wrong(
                    member.key, expected: "false: only cls, mean and the last token are supported")
            }
            chosen.append(known.value)
        }
        guard chosen.count == 1 else {
            throw FileError(
                config.path, "names \(chosen.count) ways of pooling",
                remedy: "only one is supported at a time")
        }
        self = chosen[0]
    }
}
