// Prompt and completion that templates make from any fields of a row: `--prompt 'Review: {text}' --completion
// ' {label:bad|good}'`.

import Checkpoints

struct TemplateFormat: ExampleFormat {
    let name = "template"
    let summary = "any fields, by --prompt and --completion"
    let keys = "the fields that --prompt and --completion name"
    /// What the templates leave out is left out on purpose.
    let readsAllKeys = false

    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool { format.promptTemplate != nil }

    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example {
        guard let prompt = reader.format.promptTemplate, let completion = reader.format.completionTemplate
        else { throw ConfigError("the data format template needs --prompt and --completion") }
        return try reader.completed(row.filled(prompt), row.filled(completion))
    }
}
