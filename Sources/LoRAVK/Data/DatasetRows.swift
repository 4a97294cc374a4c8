// Training data from memory: rows, each a JSON object as a line of a .jsonl file is.

import Checkpoints
import Tokenizer

extension Dataset {
    /// Errors and warnings call row i `name[i]`.
    package init(rows: [String], named name: String, tokenizer: Tokenizer, format: TextFormat) throws {
        let reader = try ExampleReader(format: format, tokenizer: tokenizer)
        var examples: [Example] = []
        var (cut, skipped) = (0, 0)
        var notes = DataNotes()
        for (index, row) in rows.enumerated() {
            let place = "\(name)[\(index)]"
            let fields = try JSONFields(try JSON.parse(Array(row.utf8), path: place), path: place)
            let (example, isCut) = try reader.example(fields, &notes)
            cut += isCut ? 1 : 0
            if example.countedTokens == 0 { skipped += 1 } else { examples.append(example) }
        }
        guard !examples.isEmpty else {
            throw FileError(name, "of \(rows.count) rows none has a token to learn")
        }
        self.init(
            examples: examples, path: name, cut: cut, skipped: skipped, warnings: notes.warnings,
            date: notes.chat.readsDate ? format.date : nil)
    }
}
