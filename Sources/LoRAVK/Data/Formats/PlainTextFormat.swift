// A text, all of which is learned.

import Checkpoints

struct PlainTextFormat: ExampleFormat {
    let name = "text"
    let summary = "a text, all of which is learned"
    let keys = "'text'"

    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool { row.has("text") }

    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example {
        try reader.example(text: row.string("text"))
    }
}
