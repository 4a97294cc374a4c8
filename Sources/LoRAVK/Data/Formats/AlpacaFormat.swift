// Alpaca: an instruction, what it is about, and the answer.

import Checkpoints
import Tokenizer

struct AlpacaFormat: ExampleFormat {
    let name = "alpaca"
    let summary =
        "an instruction, perhaps with an input and a system message, and the output, which is learned"
    let keys = "'instruction' and 'output'"

    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool {
        row.has("instruction") && row.has("output")
    }

    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example {
        let input = try row.optionalString("input") ?? ""
        let instruction = try row.string("instruction") + (input.isEmpty ? "" : "\n\n\(input)")
        var messages = [(role: "user", content: instruction)]
        if let system = try row.optionalString("system"), !system.isEmpty {
            messages.insert((role: "system", content: system), at: 0)
        }
        let chat = Chat(messages + [(role: "assistant", content: try row.string("output"))])
        return try reader.chatExample(chat, row, &notes)
    }
}
