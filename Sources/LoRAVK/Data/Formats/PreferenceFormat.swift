// Two answers to a prompt, of which one is better: `prompt`, `chosen` and `rejected`. They are texts, or
// lists of messages. Where the prompt is missing, or a text beside lists, it is what both answers begin with.

import Checkpoints

struct PreferenceFormat: ExampleFormat {
    let name = "preference"
    let summary = "a prompt with a chosen and a rejected answer"
    let keys = "'chosen' and 'rejected', perhaps with 'prompt'"
    let examples = Example.Kind.pair

    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool {
        row.has("chosen") || row.has("rejected")
    }

    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example {
        if row.hasArray("chosen") || row.hasArray("rejected") { return try chats(row, reader, &notes) }
        var (chosen, rejected) = (try row.string("chosen"), try row.string("rejected"))
        var prompt = try row.optionalString("prompt")
        if prompt == nil {
            // A space before a word belongs to the word's token.
            let shared = String(zip(chosen, rejected).prefix { $0 == $1 }.map(\.0))
            let kept = shared.last == " " ? String(shared.dropLast()) : shared
            prompt = kept
            chosen.removeFirst(kept.count)
            rejected.removeFirst(kept.count)
        }
        return Example(
            chosen: try reader.completed(prompt ?? "", chosen),
            rejected: try reader.completed(prompt ?? "", rejected))
    }

    private func chats(
        _ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes
    ) throws -> Example {
        let (chosen, rejected) = (try row.array("chosen"), try row.array("rejected"))
        var prompt: [JSON] = []
        if row.hasArray("prompt") {
            prompt = try row.array("prompt")
        } else {
            _ = try row.optionalString("prompt")  // the same as the first messages
        }
        // Whole conversations begin with the prompt, or alike.
        var shared = prompt
        var isInside = !prompt.isEmpty && chosen.starts(with: prompt) && rejected.starts(with: prompt)
        if prompt.isEmpty {
            shared = zip(chosen, rejected).prefix { $0 == $1 }.map(\.0)
            isInside = true
            // Equal to the end: the last message is the answer, and told to be equal.
            if shared.count == max(chosen.count, rejected.count), !shared.isEmpty { shared.removeLast() }
        }
        func answer(_ messages: [JSON], _ notes: inout DataNotes) throws -> Example {
            try reader.chatAnswer(
                to: shared, isInside ? Array(messages.dropFirst(shared.count)) : messages, in: row, &notes)
        }
        return Example(chosen: try answer(chosen, &notes), rejected: try answer(rejected, &notes))
    }
}
