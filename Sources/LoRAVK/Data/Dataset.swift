// Training data from disk: JSON Lines or plain text, one file, or a folder with train, valid and test files.

import Checkpoints
import Tokenizer

package struct Dataset: Sendable {
    package enum Split: String, Sendable, CaseIterable { case train, valid, test }

    package let path: String
    package let examples: [Example]
    /// Examples that were longer than allowed, and lines without a target (empty, or cut away).
    package let cutExamples: Int
    package let skippedExamples: Int
    /// What of the lines did not get into the examples, a sentence each.
    package let warnings: [String]
    /// The date that the chat template wrote; nil where it wrote none.
    package let date: TemplateDate?

    package var tokens: Int { examples.reduce(0) { $0 + $1.tokens.count } }
    package var countedTokens: Int { examples.reduce(0) { $0 + $1.countedTokens } }

    package init(
        examples: [Example], path: String = "memory", cut: Int = 0, skipped: Int = 0, warnings: [String] = [],
        date: TemplateDate? = nil
    ) {
        self.examples = examples
        self.path = path
        (cutExamples, skippedExamples) = (cut, skipped)
        self.warnings = warnings
        self.date = date
    }

    /// Reads a file, or in a folder that of `split`. A bad line is an error with its number.
    package init(_ path: String, split: Split = .train, tokenizer: Tokenizer, format: TextFormat) throws {
        let file = try Self.file(path, split)
        let mapped = try InputFile(file)
        let reader = try ExampleReader(format: format, tokenizer: tokenizer)
        var examples: [Example] = []
        var (cut, skipped) = (0, 0)
        var notes = DataNotes()
        if file.hasSuffix(".txt") {
            let example = reader.example(text: try Self.text(mapped))
            examples = Self.pieces(example, of: format.maxTokens)
        } else {
            try Self.eachLine(mapped) { line, number in
                let place = "\(file):\(number)"
                let fields = try JSONFields(try JSON.parse(line, path: place), path: place)
                let (example, isCut) = try reader.example(fields, &notes)
                cut += isCut ? 1 : 0
                if example.countedTokens == 0 { skipped += 1 } else { examples.append(example) }
            }
        }
        guard !examples.isEmpty else {
            throw FileError(
                file,
                "has no example with a token to learn"
                    + (skipped > 0
                        ? " (\(skipped) were empty, or longer than \(format.maxTokens) tokens)" : ""))
        }
        self.path = file
        self.examples = examples
        (cutExamples, skippedExamples) = (cut, skipped)
        warnings = notes.warnings
        date = notes.chat.readsDate ? format.date : nil
    }

    /// Whether a folder has a file for the split.
    package static func has(_ split: Split, in path: String) -> Bool {
        FileSystem.isFolder(path) && candidates(path, split).contains(where: FileSystem.exists)
    }

    private static func candidates(_ folder: String, _ split: Split) -> [String] {
        ["\(folder)/\(split.rawValue).jsonl", "\(folder)/\(split.rawValue).txt"]
    }

    private static func file(_ path: String, _ split: Split) throws -> String {
        guard FileSystem.exists(path) else {
            throw FileError(
                path, "does not exist", remedy: "name a .jsonl or .txt file, or a folder with train.jsonl")
        }
        guard FileSystem.isFolder(path) else { return path }
        guard let file = candidates(path, split).first(where: FileSystem.exists) else {
            throw FileError(path, "has no \(split.rawValue).jsonl")
        }
        return file
    }

    /// Where the text begins: behind a byte-order mark, if there is one.
    private static func start(_ file: InputFile) throws -> Int {
        try file.bytes(at: 0, count: min(3, file.count)) == [0xEF, 0xBB, 0xBF] ? 3 : 0
    }

    private static func text(_ file: InputFile) throws -> String {
        let start = try start(file)
        let bytes = try file.bytes(at: start, count: file.count - start)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw FileError(file.path, "is not UTF-8 text")
        }
        return text
    }

    /// A long text in pieces of at most `size` tokens.
    private static func pieces(_ example: Example, of size: Int) -> [Example] {
        stride(from: 0, to: example.tokens.count, by: size)
            .map { start in
                let range = start..<min(start + size, example.tokens.count)
                return Example(tokens: Array(example.tokens[range]), labels: Array(example.labels[range]))
            }
            .filter { $0.countedTokens > 0 }
    }

    private static let maxLineBytes = 64 << 20

    /// Lines that are not blank, without their ends, and their numbers from 1.
    private static func eachLine(
        _ file: InputFile, _ body: (UnsafeRawBufferPointer, Int) throws -> Void
    ) throws {
        let window = FileWindow(file)
        var at = try start(file)
        var number = 0
        while at < file.count {
            number += 1
            let length = try window.lineLength(at: at)
            guard length <= maxLineBytes else {
                throw FileError(
                    "\(file.path):\(number)",
                    "is a line of \(length) bytes, at most \(maxLineBytes) are read")
            }
            guard let line = try window.bytes(at: at, count: length) else { return }
            at += length + 1
            let isBlank = line.allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
            if !isBlank { try body(line, number) }
        }
    }
}
