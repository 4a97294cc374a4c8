// Training data from disk: one file (see DataFile), or a folder with train, valid and test files.

import Checkpoints
import Tokenizer

package struct Dataset: Sendable {
    package enum Split: String, Sendable, CaseIterable { case train, valid, test }

    package let path: String
    package let examples: [Example]
    /// Where in the file each example stands.
    package struct Place: Sendable, Equatable {
        package var number: Int
        package var isCut: Bool
    }
    package let places: [Place]
    /// What the numbers count: "line" or "example".
    package let unit: String
    /// Examples that were longer than allowed, and lines without a target (empty, or cut away).
    package let cutExamples: Int
    package let skippedExamples: Int
    /// What of the lines did not get into the examples, a sentence each.
    package let warnings: [String]
    /// The date that the chat template wrote; nil where it wrote none.
    package let date: TemplateDate?
    /// Of labelled examples.
    package let labels: [String]

    package var tokens: Int { examples.reduce(0) { $0 + $1.tokens.count } }
    package var countedTokens: Int { examples.reduce(0) { $0 + $1.countedTokens } }

    package init(
        examples: [Example], path: String = "memory", date: TemplateDate? = nil, labels: [String] = []
    ) {
        self.examples = examples
        self.path = path
        (places, unit) = (examples.indices.map { Place(number: $0 + 1, isCut: false) }, "example")
        (cutExamples, skippedExamples) = (0, 0)
        (warnings, self.labels) = ([], labels)
        self.date = date
    }

    /// The first examples.
    package func prefix(_ count: Int) -> Dataset { Dataset(prefix: count, of: self) }

    /// The same with other examples in their places.
    func with(_ examples: [Example]) -> Dataset { Dataset(prefix: examples.count, of: self, examples) }

    private init(prefix count: Int, of data: Dataset, _ examples: [Example]? = nil) {
        self.examples = examples ?? Array(data.examples.prefix(count))
        places = Array(data.places.prefix(count))
        (path, unit, date, labels) = (data.path, data.unit, data.date, data.labels)
        (cutExamples, skippedExamples, warnings) = (data.cutExamples, data.skippedExamples, data.warnings)
    }

    /// Reads a file, or in a folder that of `split`. A bad line is an error with its number.
    package init(_ path: String, split: Split = .train, tokenizer: Tokenizer, format: TextFormat) throws {
        let (path, others) = try Self.file(path, split)
        let file = try DataFile(path)
        let reader = try ExampleReader(format: format, tokenizer: tokenizer)
        var text: [Example]?
        if case .text = file.form {
            guard format.kind == .plain else {
                throw FileError(path, "is plain text; the objective learns from \(format.kind.words)")
            }
            text = Self.pieces(try reader.example(text: file.text()), of: format.maxTokens)
            try Interruption.check(path)
        }
        try self.init(
            path, unit: file.unit, warnings: others.map { "\($0) is there too, and not read" }, reader,
            text: text, eachRow: file.eachRow)
    }

    /// What rows give, each with the number that it has in warnings; or the examples of a text.
    init(
        _ name: String, unit: String, warnings: [String] = [], _ reader: ExampleReader,
        text: [Example]? = nil,
        eachRow: ((JSONFields, Int) throws -> Void) throws -> Void
    ) throws {
        let format = reader.format
        var examples = text ?? []
        var places = examples.indices.map { Place(number: $0 + 1, isCut: false) }
        var notes = DataNotes()
        notes.labels = LabelBook(known: format.labels)
        try eachRow { fields, number in
            let (example, isCut) = try reader.example(fields, &notes)
            try Interruption.check(fields.path)
            if isCut { notes.cut.append(number) }
            guard example.isLearnable else {
                notes.skipped.append(number)
                return
            }
            guard !example.isUndecided else {
                notes.undecided.append(number)
                return
            }
            examples.append(example)
            places.append(Place(number: number, isCut: isCut))
        }
        guard !examples.isEmpty else {
            let skipped = notes.skipped.count
            guard notes.undecided.isEmpty else {
                throw FileError(
                    name,
                    "has no pair of two different answers (\(notes.undecided.count) pairs are of equal ones)")
            }
            throw FileError(
                name,
                "has no example with a token to learn"
                    + (skipped > 0
                        ? " (\(skipped) were empty, or longer than \(format.maxTokens) tokens)" : ""))
        }
        if format.kind == .judged {
            guard examples.count > 1 else {
                throw FileError(
                    name, "has one judged answer",
                    remedy: "give at least two: each is compared with another's")
            }
            examples = examples.withOthers(maxTokens: format.maxTokens)
        }
        labels = try notes.labels.settle(&examples, name)
        (path, self.examples, self.places, self.unit) = (name, examples, places, unit)
        (cutExamples, skippedExamples) = (notes.cut.count, notes.skipped.count + notes.undecided.count)
        self.warnings = warnings + notes.warnings(unit, maxTokens: format.maxTokens)
        date = notes.chat.readsDate ? format.date : nil
    }

    /// Whether a folder has a file for the split.
    package static func has(_ split: Split, in path: String) -> Bool {
        FileSystem.isFolder(path) && candidates(path, split).contains(where: FileSystem.exists)
    }

    private static func candidates(_ folder: String, _ split: Split) -> [String] {
        DataFile.endings.map { "\(folder)/\(split.rawValue)\($0)" }
    }

    /// The file of a split, and others that it might be as well.
    private static func file(_ path: String, _ split: Split) throws -> (String, others: [String]) {
        guard FileSystem.exists(path) else {
            throw FileError(
                path, "does not exist", remedy: "name a .jsonl or .txt file, or a folder with train.jsonl")
        }
        guard FileSystem.isFolder(path) else { return (path, []) }
        let files = candidates(path, split).filter(FileSystem.exists)
        guard let file = files.first else { throw FileError(path, "has no \(split.rawValue).jsonl") }
        return (file, Array(files.dropFirst()))
    }

    /// A long text in pieces of at most `size` tokens.
    private static func pieces(_ example: Example, of size: Int) -> [Example] {
        stride(from: 0, to: example.tokens.count, by: size)
            .map { example.part($0..<min($0 + size, example.tokens.count)) }
            .filter { $0.countedTokens > 0 }
    }
}

extension Example {
    /// Each answer has a token to learn, and each text a token.
    fileprivate var isLearnable: Bool {
        if texts != nil || outcome != nil { return sequences.allSatisfy { !$0.isEmpty } }
        guard kind == .pair else { return countedTokens > 0 }
        return sequences.allSatisfy { labels[$0].dropFirst().contains { $0 >= 0 } }
    }

    /// A pair of equal answers.
    fileprivate var isUndecided: Bool {
        [.pair, .ranked].contains(kind) && tokens[sequences[0]] == tokens[sequences[1]]
    }
}
