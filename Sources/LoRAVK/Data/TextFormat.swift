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
    package var maxTokens = Defaults.maxTokens
    /// What chat templates take for the date: one moment for all lines of a run.
    package var date = TemplateDate.now()

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
    let chatRenderer: ChatRenderer?

    init(format: TextFormat, tokenizer: Tokenizer) throws {
        self.format = format
        self.tokenizer = tokenizer
        chatRenderer = try ChatRenderer(tokenizer, date: format.date)
        guard (format.promptTemplate == nil) == (format.completionTemplate == nil) else {
            throw ConfigError("a prompt template needs a completion template, and the other way round")
        }
    }

    private static let expected =
        "'messages', 'conversations', 'prompt' and 'completion', 'instruction' and 'output', 'text', or 'input_ids'"

    /// The example of one line's fields, cut to the longest allowed.
    func example(_ fields: JSONFields, _ notes: inout DataNotes) throws -> (Example, isCut: Bool) {
        var whole: Example
        if let prompt = format.promptTemplate, let completion = format.completionTemplate {
            whole = try tokenized([
                TextPiece(text: try fields.filled(prompt), isTarget: format.learnsPrompts),
                TextPiece(text: try fields.filled(completion), isTarget: true),
            ])
        } else if fields["messages"] != nil || fields["conversations"] != nil {
            whole = try chatExample(try Chat(fields), fields, &notes)
        } else if fields["instruction"] != nil, fields["output"] != nil {
            whole = try chatExample(try alpaca(fields), fields, &notes)
        } else if case .array(let asked)? = fields["prompt"] {
            whole = try chatExample(try Chat(answered(asked, fields)), fields, &notes)
        } else if fields["prompt"] != nil || fields["completion"] != nil {
            whole = try tokenized([
                TextPiece(text: try fields.string("prompt"), isTarget: format.learnsPrompts),
                TextPiece(text: try fields.string("completion"), isTarget: true),
            ])
        } else if fields["text"] != nil {
            whole = try tokenized([TextPiece(text: try fields.string("text"), isTarget: true)])
        } else if fields["input_ids"] != nil {
            whole = try TokenizedLine(fields, vocabularySize: tokenizer.vocabularySize).example
        } else {
            throw FileError(
                fields.path, "has the keys \(fields.object.keys.prefix(8)), expected \(Self.expected)")
        }
        // With templates the line's other fields are left out on purpose.
        if format.promptTemplate == nil {
            for key in fields.unreadKeys { notes.unusedKeys[key, default: 0] += 1 }
        }
        let isCut = whole.tokens.count > format.maxTokens
        if isCut { whole = whole.part(0..<format.maxTokens) }
        return (whole, isCut)
    }

    /// One example of plain text.
    func example(text: String) throws -> Example { try tokenized([TextPiece(text: text, isTarget: true)]) }

    /// Texts get the special tokens that the tokenizer adds, and an end.
    private func tokenized(_ pieces: [TextPiece]) throws -> Example {
        var example = Example(tokens: [])
        for (piece, tokens) in zip(pieces, try tokenizer.encode(pieces: pieces.map(\.text))) {
            example.append(tokens, isTarget: piece.isTarget)
        }
        // A text that itself begins or ends with what the tokenizer adds there has it once.
        let (prefix, suffix) = (tokenizer.prefix, tokenizer.suffix)
        if example.tokens.starts(with: prefix + prefix) {
            example.tokens.removeFirst(prefix.count)
            example.labels.removeFirst(prefix.count)
        }
        if example.tokens.reversed().starts(with: (suffix + suffix).reversed()) {
            example.tokens.removeLast(suffix.count)
            example.labels.removeLast(suffix.count)
        }
        if format.appendsEndOfText, let end = tokenizer.specialIDs.eos, example.tokens.last != end {
            example.tokens.append(end)
            example.labels.append(end)
        }
        return example
    }
}

extension Example {
    mutating func append(_ more: [Int32], isTarget: Bool) {
        tokens += more
        labels += isTarget ? more : more.map { _ in TokenBatch.ignored }
    }
}
