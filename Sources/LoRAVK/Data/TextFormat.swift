// How a row of data becomes tokens with labels. Prompts are read, completions are learned: their tokens are targets,
// the prompt's are not.

import Checkpoints
import Tokenizer

package struct TextFormat: Sendable {
    /// What the objective learns from: only formats of such examples are recognised.
    package var kind = Example.Kind.plain
    /// The labels of rows, in the order of a head's outputs; nil: those that the rows have.
    package var labels: [String]?
    /// The format of all rows (`Registries.formats`); nil: each row's keys tell.
    package var name: String?
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
    /// How texts become vectors, where these are compared.
    package var pooling = Pooling.mean
    /// What chat templates take for the date: one moment for all lines of a run.
    package var date = TemplateDate.now()

    package init() {}

    /// Refuses what has no meaning together.
    package func validate() throws {
        guard (promptTemplate == nil) == (completionTemplate == nil) else {
            throw ConfigError("a prompt template needs a completion template, and the other way round")
        }
        guard kind == .plain || (!learnsPrompts && promptTemplate == nil) else {
            throw ConfigError(
                "the objective learns from \(kind.words): templates and learned prompts have no meaning there"
            )
        }
        guard let name else { return }
        let form = try Registries.formats.named(name)
        guard form.examples == kind else {
            throw ConfigError(
                "rows of the format \(name) are \(form.examples.words), and the objective learns from \(kind.words)"
            )
        }
    }
}

/// A piece of an example's text, and whether its tokens are targets.
struct TextPiece: Equatable {
    var text: String
    var isTarget: Bool
}

package struct ExampleReader {
    let format: TextFormat
    let tokenizer: Tokenizer
    let chatRenderer: ChatRenderer?
    /// The format of all rows, where it is given.
    private let form: (any ExampleFormat)?

    init(format: TextFormat, tokenizer: Tokenizer) throws {
        try format.validate()
        self.format = format
        self.tokenizer = tokenizer
        form = try format.name.map(Registries.formats.named)
        chatRenderer = try ChatRenderer(tokenizer, date: format.date)
    }

    /// The example of one row, cut to the longest allowed.
    func example(_ row: JSONFields, _ notes: inout DataNotes) throws -> (Example, isCut: Bool) {
        let form = try self.form ?? recognised(row)
        let whole = try form.example(row, self, &notes)
        if form.readsAllKeys {
            for key in row.unreadKeys { notes.unusedKeys[key, default: 0] += 1 }
        }
        let example = whole.cut(to: format.maxTokens)
        return (example, example.tokens.count < whole.tokens.count)
    }

    private func recognised(_ row: JSONFields) throws -> any ExampleFormat {
        let forms = Registries.formats.all.filter { $0.recognises(row, format) }
        if let form = forms.first(where: { $0.examples == format.kind }) { return form }
        let expected = Registries.formats.all.filter { $0.examples == format.kind && $0.readsAllKeys }
        throw FileError(
            row.path,
            "has the keys \(row.object.keys.prefix(8)), expected "
                + (expected.dropLast().map(\.keys).joined(separator: ", ")
                    + (expected.count > 1 ? ", or " : "") + (expected.last?.keys ?? "")),
            remedy: forms.first.map {
                "rows of the format \($0.name) are \($0.examples.words): choose an objective that learns from them (docs/objectives.md)"
            })
    }

    /// Of a text whose vector is compared: with what the tokenizer adds, cut in front of its end.
    func textTokens(_ text: String) -> [Int32] {
        let (prefix, suffix) = (tokenizer.prefix, tokenizer.suffix)
        let room = max(0, format.maxTokens - prefix.count - suffix.count)
        return prefix + tokenizer.encode(text, addSpecialTokens: false).prefix(room) + suffix
    }

    /// One example of plain text.
    package func example(text: String) throws -> Example {
        try tokenized([TextPiece(text: text, isTarget: true)])
    }

    /// A text, or two behind each other, as a head reads them: with what the tokenizer adds to each, without an end.
    package func sequence(_ texts: [String]) -> [Int32] { texts.flatMap { tokenizer.encode($0) } }

    /// A prompt, and what is learned behind it.
    package func completed(_ prompt: String, _ completion: String) throws -> Example {
        try tokenized([
            TextPiece(text: prompt, isTarget: format.learnsPrompts),
            TextPiece(text: completion, isTarget: true),
        ])
    }

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
    /// At most so many tokens of each of its sequences.
    func cut(to most: Int) -> Example {
        guard texts == nil, sequences.contains(where: { $0.count > most }) else { return self }
        let parts = sequences.map { part($0.prefix(most)) }
        var example = parts[0]
        if var comparison {
            comparison.second = parts[0].tokens.count
            example = Example(tokens: parts.flatMap(\.tokens), labels: parts.flatMap(\.labels))
            example.comparison = comparison
        }
        example.outcome = outcome
        return example
    }

    mutating func append(_ more: [Int32], isTarget: Bool) {
        tokens += more
        labels += isTarget ? more : more.map { _ in TokenBatch.ignored }
    }
}
