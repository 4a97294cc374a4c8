// A chat: `messages` of `role` and `content`, or ShareGPT's `conversations` of `from` and `value`.

import Checkpoints
import Tokenizer

struct ChatFormat: ExampleFormat {
    let name = "chat"
    let summary = "messages with roles, of which the assistant's are learned"
    let keys = "'messages', 'conversations'"

    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool {
        row.has("messages") || row.has("conversations")
    }

    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example {
        try reader.chatExample(try Chat(row), row, &notes)
    }
}
