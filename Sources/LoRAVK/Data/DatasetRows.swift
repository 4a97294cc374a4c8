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

    /// What a head reads of each row of a file: `text`, perhaps `text_pair`.
    package static func eachTexts(of path: String, _ body: ([String]) throws -> Void) throws {
        let file = try DataFile(path)
        guard case .text = file.form else {
            return try file.eachRow { fields, _ in
                try Interruption.check(path)
                try body(fields.texts)
            }
        }
        throw FileError(
            path, "is plain text; give lines {\"text\": \"…\"}, or a line a text to the standard input")
    }
}
