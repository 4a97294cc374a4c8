// How a line of data becomes tokens with labels. Prompts are read, completions are learned: their tokens are targets,
// the prompt's are not.

import Checkpoints
import Tokenizer

package struct TextFormat: Sendable {
    /// Templates that make prompt and completion from any fields of a line: `Review: {text}`; `{label:bad|good}` picks
    /// by a number.
    package var promptTemplate: String?
    package var completionTemplate: String?
    /// The prompt's tokens are targets too.
    package var learnsPrompts = false
    /// The end-of-text token follows a completion or text, so that the model learns to stop.
    package var appendsEndOfText = true
    /// Longer examples are cut.
    package var maxTokens = 512

    package init() {}
}

/// A piece of an example's text, and whether its tokens are targets.
struct TextPiece: Equatable {
    var text: String
    var isTarget: Bool
}

struct ExampleReader {
    let format: TextFormat
    let tokenizer: Tokenizer
    let chatTemplate: ChatTemplate?

    init(format: TextFormat, tokenizer: Tokenizer) throws {
        self.format = format
        self.tokenizer = tokenizer
        chatTemplate = try tokenizer.chatTemplate.map { try ChatTemplate($0) }
        guard (format.promptTemplate == nil) == (format.completionTemplate == nil) else {
            throw ConfigError("a prompt template needs a completion template, and the other way round")
        }
    }

    private static let expected =
        "'text', 'prompt' and 'completion', 'messages', or 'input_ids' (with 'labels')"

    /// The example of one line's fields, cut to the longest allowed.
    func example(_ fields: JSONFields) throws -> (Example, isCut: Bool) {
        var whole: Example
        if let prompt = format.promptTemplate, let completion = format.completionTemplate {
            whole = tokenized([
                TextPiece(text: try fill(prompt, fields), isTarget: format.learnsPrompts),
                TextPiece(text: try fill(completion, fields), isTarget: true),
            ])
        } else if fields["messages"] != nil {
            whole = tokenized(try chatPieces(fields), isChat: true)
        } else if fields["prompt"] != nil || fields["completion"] != nil {
            whole = tokenized([
                TextPiece(text: try fields.string("prompt"), isTarget: format.learnsPrompts),
                TextPiece(text: try fields.string("completion"), isTarget: true),
            ])
        } else if fields["text"] != nil {
            whole = tokenized([TextPiece(text: try fields.string("text"), isTarget: true)])
        } else if fields["input_ids"] != nil {
            whole = try pretokenized(fields)
        } else {
            throw FileError(
                fields.path, "has the keys \(fields.object.keys.prefix(8)), expected \(Self.expected)")
        }
        let isCut = whole.tokens.count > format.maxTokens
        if isCut {
            whole = Example(
                tokens: Array(whole.tokens.prefix(format.maxTokens)),
                labels: Array(whole.labels.prefix(format.maxTokens)))
        }
        return (whole, isCut)
    }

    /// One example of plain text.
    func example(text: String) -> Example { tokenized([TextPiece(text: text, isTarget: true)]) }

    /// The template of a chat writes the special tokens itself; other texts get those that the tokenizer adds, and an end.
    private func tokenized(_ pieces: [TextPiece], isChat: Bool = false) -> Example {
        var example = Example(tokens: [])
        let tokensOfPieces = tokenizer.encode(pieces: pieces.map(\.text), addSpecialTokens: !isChat)
        for (piece, tokens) in zip(pieces, tokensOfPieces) {
            example.tokens += tokens
            example.labels += piece.isTarget ? tokens : tokens.map { _ in TokenBatch.ignored }
        }
        if !isChat, format.appendsEndOfText, let end = tokenizer.specialIDs.eos, example.tokens.last != end {
            example.tokens.append(end)
            example.labels.append(end)
        }
        return example
    }

    private func pretokenized(_ fields: JSONFields) throws -> Example {
        func integers(_ key: String, _ lowest: Int) throws -> [Int32] {
            try fields.array(key).map { value in
                guard case .integer(let id) = value, (lowest..<tokenizer.vocabularySize).contains(id) else {
                    throw FileError(
                        fields.path,
                        "'\(key)' holds \(value.summary), expected token ids below \(tokenizer.vocabularySize)"
                    )
                }
                return Int32(id)
            }
        }
        let tokens = try integers("input_ids", 0)
        guard fields["labels"] != nil else { return Example(tokens: tokens) }
        let labels = try integers("labels", Int(TokenBatch.ignored))
        guard labels.count == tokens.count else {
            throw FileError(
                fields.path, "has \(tokens.count) input_ids and \(labels.count) labels, expected as many")
        }
        return Example(tokens: tokens, labels: labels)
    }

    // MARK: Chat

    /// The conversation as the model's template writes it, every assistant turn a target of its own.
    private func chatPieces(_ fields: JSONFields) throws -> [TextPiece] {
        guard let chatTemplate else {
            throw FileError(
                fields.path, "has 'messages', but the model has no chat template",
                remedy: "use 'prompt' and 'completion', or a model made for chat")
        }
        let messages = try fields.array("messages").map { message -> ChatMessage in
            let message = try JSONFields(message, path: fields.path)
            return ChatMessage(role: try message.string("role"), content: try message.string("content"))
        }
        guard messages.contains(where: { $0.role == "assistant" }) else {
            throw FileError(fields.path, "has no message of the assistant, so there is nothing to learn")
        }
        func render(_ count: Int, prompt: Bool) throws -> String {
            try chatTemplate.render(
                messages: Array(messages.prefix(count)), addGenerationPrompt: prompt,
                bosToken: tokenizer.specialIDs.bos.flatMap(tokenizer.token) ?? "",
                eosToken: tokenizer.specialIDs.eos.flatMap(tokenizer.token) ?? "")
        }
        var pieces: [TextPiece] = []
        var written = ""
        /// Adds what `text` has beyond what is written.
        func extend(to text: String, isTarget: Bool) throws {
            guard text.utf8.starts(with: written.utf8) else {
                throw FileError(
                    fields.path,
                    "cannot be split into turns: the model's chat template rewrites earlier messages",
                    remedy: "use 'prompt' and 'completion' instead")
            }
            let rest = String(decoding: text.utf8.dropFirst(written.utf8.count), as: UTF8.self)
            if !rest.isEmpty { pieces.append(TextPiece(text: rest, isTarget: isTarget)) }
            written = text
        }
        for (index, message) in messages.enumerated() where message.role == "assistant" {
            try extend(to: try render(index, prompt: true), isTarget: format.learnsPrompts)
            try extend(to: try render(index + 1, prompt: false), isTarget: true)
        }
        return pieces
    }

    // MARK: Templates

    /// `{name}` becomes the field, `{name:a|b}` the alternative that the field's number counts to, `{{` a brace.
    private func fill(_ template: String, _ fields: JSONFields) throws -> String {
        var result = ""
        var rest = template[...]
        while let brace = rest.firstIndex(of: "{") {
            result += rest[..<brace]
            rest = rest[rest.index(after: brace)...]
            if rest.first == "{" {
                result += "{"
                rest.removeFirst()
                continue
            }
            guard let end = rest.firstIndex(of: "}") else {
                throw ConfigError("the template '\(template)' has a '{' without '}'; write '{{' for a brace")
            }
            result += try value(String(rest[..<end]), fields)
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }

    private func value(_ slot: String, _ fields: JSONFields) throws -> String {
        let parts = slot.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard let value = fields[name] else {
            throw FileError(fields.path, "has no field '\(name)', which the template names")
        }
        if parts.count == 2 {
            let choices = parts[1].split(separator: "|", omittingEmptySubsequences: false)
            guard case .integer(let index) = value, choices.indices.contains(index) else {
                throw FileError(
                    fields.path,
                    "'\(name)' is \(value.summary), expected 0 to \(choices.count - 1), which the template names"
                )
            }
            return String(choices[index])
        }
        switch value {
        case .string(let text): return text
        case .integer(let number): return String(number)
        case .double(let number): return String(number)
        default: throw FileError(fields.path, "'\(name)' is \(value.summary), expected a text or a number")
        }
    }
}
