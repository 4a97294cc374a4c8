// Training data from memory: rows, each a JSON object as a line of a .jsonl file is.

import Checkpoints
import Tokenizer

extension Dataset {
    /// Errors and warnings call row i `name[i]`.
    package init(rows: [String], named name: String, tokenizer: Tokenizer, format: TextFormat) throws {
        let reader = try ExampleReader(format: format, tokenizer: tokenizer)
        try self.init(name, unit: "row", reader) { body in
            for (index, row) in rows.enumerated() {
                let place = "\(name)[\(index)]"
                let fields = try JSONFields(try JSON.parse(Array(row.utf8), path: place), path: place)
                try body(fields.remembering(), index)
            }
        }
    }
}
