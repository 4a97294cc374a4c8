// A prompt and its completion, which is learned: two texts, or two lists of messages.

import Checkpoints
import Tokenizer

struct CompletionFormat: ExampleFormat {
    let name = "completion"
    let summary = "a prompt and its completion, which is learned"
    let keys = "'prompt' and 'completion'"

    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool {
        row.has("completion") || (row.has("prompt") && !row.has("chosen") && !row.has("rejected"))
    }

    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example {
        try reader.answer("completion", in: row, &notes)
    }
}

extension ExampleReader {
    /// `prompt` and the answer in `key`: texts, or lists of messages.
    func answer(_ key: String, in row: JSONFields, _ notes: inout DataNotes) throws -> Example {
        if row.hasArray("prompt") {
            return try chatAnswer(to: row.array("prompt"), row.array(key), in: row, &notes)
        }
        return try completed(row.string("prompt"), row.string(key))
    }

    /// As a line with `messages`, of which those of the prompt are not learned.
    func chatAnswer(
        to prompt: [JSON], _ answer: [JSON], in row: JSONFields, _ notes: inout DataNotes
    ) throws -> Example {
        let asked = prompt.map { message -> JSON in
            guard case .object(var message) = message else { return message }
            message["train"] = .bool(false)
            return .object(message)
        }
        var line = row.object
        line["messages"] = .array(asked + answer)
        let fields = row.replaced(by: line)
        return try chatExample(try Chat(fields), fields, &notes)
    }
}
