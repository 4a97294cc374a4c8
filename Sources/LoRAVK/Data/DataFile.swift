// A file of training data as rows of named values: JSON Lines, a JSON array, CSV or TSV, or plain text; each also compressed
// by gzip. What it is, its name says, or else its first bytes.

import Checkpoints

struct DataFile {
    enum Form { case text, lines, array, table(separator: UInt8) }

    let path: String
    let form: Form
    private let file: InputFile

    /// Where an example stands, by its number: of the line, or of the element of an array.
    var unit: String { if case .array = form { "example" } else { "line" } }

    private static let forms: KeyValuePairs<String, Form> = [
        ".txt": .text, ".csv": .table(separator: UInt8(ascii: ",")),
        ".tsv": .table(separator: UInt8(ascii: "\t")),
    ]
    /// What a folder's file of a split may end with, the first of them first.
    static let endings = [".jsonl", ".json", ".txt", ".csv", ".tsv", ".parquet"].flatMap { [$0, $0 + ".gz"] }

    init(_ path: String) throws(FileError) {
        let raw = try InputFile(path)
        let isCompressed = try raw.bytes(at: 0, count: min(2, raw.count)) == [0x1F, 0x8B]
        file = isCompressed ? try InputFile(computedFrom: path, Gzip.inflated(raw)) : raw
        let start = try file.bytes(at: 0, count: min(512, file.count))
        try DataFile.refuseOtherKinds(start, path)
        self.path = path
        let name = (path.hasSuffix(".gz") ? String(path.dropLast(3)) : path).lowercased()
        let first = start.dropFirst(DataFile.markLength(start)).first { !Self.isSpace($0) }
        form =
            Self.forms.first { name.hasSuffix($0.key) }?.value
            ?? (first == UInt8(ascii: "[") ? .array : .lines)
    }

    private static func isSpace(_ byte: UInt8) -> Bool { " \t\r\n".utf8.contains(byte) }

    /// Of a byte-order mark at the start.
    private static func markLength(_ start: [UInt8]) -> Int {
        start.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    }

    private static func refuseOtherKinds(_ start: [UInt8], _ path: String) throws(FileError) {
        let lines = "JSON Lines, a JSON array, CSV, TSV or text is read"
        func convert(_ reader: String) -> String {
            "convert it: python3 -c \"import pandas; pandas.\(reader)('\(FileSystem.name(of: path))')"
                + ".to_json('data.jsonl', orient='records', lines=True)\""
        }
        let kinds: [(magic: [UInt8], name: String, remedy: String)] = [
            (Array("PAR1".utf8), "a Parquet file", convert("read_parquet")),
            (Array("ARROW1".utf8), "an Arrow file", convert("read_feather")),
            (Array("PK\u{3}\u{4}".utf8), "a ZIP archive or a spreadsheet", convert("read_excel")),
            (Array("SQLite format 3".utf8), "a SQLite database", "export its table as CSV"),
            ([0x28, 0xB5, 0x2F, 0xFD], "compressed by zstd", "unpack it, or compress it by gzip"),
            ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "compressed by xz", "unpack it, or compress it by gzip"),
            (Array("BZh".utf8), "compressed by bzip2", "unpack it, or compress it by gzip"),
            ([0xFF, 0xFE], "UTF-16 text", "save it as UTF-8"),
            ([0xFE, 0xFF], "UTF-16 text", "save it as UTF-8"),
        ]
        guard let kind = kinds.first(where: { start.starts(with: $0.magic) }) else { return }
        throw FileError(path, "is \(kind.name); \(lines)", remedy: kind.remedy)
    }

    // MARK: - Reading

    /// All of a text.
    func text() throws(FileError) -> String {
        let bytes = try self.bytes()
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw FileError(path, "is not UTF-8 text")
        }
        return text
    }

    /// Hands over each row with its number from 1. Its fields remember which of them were read.
    func eachRow(_ body: (JSONFields, Int) throws -> Void) throws {
        switch form {
        case .text: return
        case .lines: try eachLine(body)
        case .array:
            guard case .array(let rows) = try JSON.parse(bytes(), path: path) else { return }
            for (index, row) in rows.enumerated() {
                try body(JSONFields(row, path: "\(path): example \(index + 1)").remembering(), index + 1)
            }
        case .table(let separator):
            var table = try DelimitedText(bytes(), separator: separator, path: path)
            while let (row, line) = try table.next() {
                try body(JSONFields(row, path: "\(path):\(line)").remembering(), line)
            }
        }
    }

    private func start() throws(FileError) -> Int {
        Self.markLength(try file.bytes(at: 0, count: min(3, file.count)))
    }

    private func bytes() throws(FileError) -> [UInt8] {
        let start = try start()
        return try file.bytes(at: start, count: file.count - start)
    }

    private static let maxLineBytes = 64 << 20

    /// Lines that are not blank, without their ends.
    private func eachLine(_ body: (JSONFields, Int) throws -> Void) throws {
        let window = FileWindow(file)
        var at = try start()
        var (number, rows) = (0, 0)
        while at < file.count {
            number += 1
            let length = try window.lineLength(at: at)
            guard length <= Self.maxLineBytes else {
                throw FileError(
                    "\(path):\(number)", "is a line of \(length) bytes, at most \(Self.maxLineBytes) are read"
                )
            }
            guard let line = try window.bytes(at: at, count: length) else { return }
            at += length + 1
            if line.allSatisfy(Self.isSpace) { continue }
            let place = "\(path):\(number)"
            let row: JSON
            do throws(FileError) {
                row = try JSON.parse(line, path: place)
            } catch {
                throw rows == 0 ? try wholeObject() ?? error : error
            }
            rows += 1
            try body(JSONFields(row, path: place).remembering(), number)
        }
    }

    /// The error for a file that is one object over several lines; nil where it is not.
    private func wholeObject() throws(FileError) -> FileError? {
        guard file.count <= LoadLimits.standard.jsonBytes,
            case .object(let object)? = try? JSON.parse(bytes(), path: path)
        else { return nil }
        let keys = object.keys.prefix(4).map { "'\($0.shortened)'" }.joined(separator: ", ")
        return FileError(
            path, "is one JSON object over several lines with the keys \(keys), expected one example a line",
            remedy: "write each example on a line of its own, or all as one JSON array")
    }
}
