// CSV and TSV (RFC 4180): the first row names the columns; a value in quotes may hold separators, line ends, and quotes
// written twice.

import Checkpoints

struct DelimitedText {
    private let bytes: [UInt8]
    private let separator: UInt8
    private let path: String
    private var names: [String] = []
    private var position = 0
    private var line = 1

    private static let quote = UInt8(ascii: "\"")

    /// Columns that hold lists; their values are JSON.
    private static let lists: Set = [
        "messages", "conversations", "tools", "documents", "input_ids", "labels", "attention_mask",
        "completion_mask", "loss_mask", "assistant_masks",
    ]

    /// Columns of texts or lists of messages.
    private static let answers: Set = ["prompt", "completion", "chosen", "rejected"]

    init(_ bytes: [UInt8], separator: UInt8, path: String) throws(FileError) {
        (self.bytes, self.separator, self.path) = (bytes, separator, path)
        guard let (first, line) = try row() else { return }
        for name in first where !name.isEmpty && first.count(where: { $0 == name }) > 1 {
            throw FileError("\(path):\(line)", "names the column '\(name.shortened)' twice")
        }
        names = first
    }

    /// The next row by its columns, and the number of its first line.
    mutating func next() throws(FileError) -> (JSON, Int)? {
        guard let (values, line) = try row() else { return nil }
        let place = "\(path):\(line)"
        guard values.count == names.count else {
            throw FileError(
                place, "has \(values.count) values, the first row names \(names.count) columns",
                remedy: "put values with separators or line ends in quotes")
        }
        var object = JSON.Object()
        for (name, value) in zip(names, values) {
            let isList =
                Self.lists.contains(name) && value.first == "["
                || Self.answers.contains(name) && value.hasPrefix("[{")
            object[name] = isList ? try JSON.parse(Array(value.utf8), path: place) : .string(value)
        }
        return (.object(object), line)
    }

    /// The values of a row that is not blank.
    private mutating func row() throws(FileError) -> ([String], Int)? {
        while let byte = peek, byte == 0x0A || byte == 0x0D { step() }
        guard peek != nil else { return nil }
        let first = line
        var values = [try value()]
        while peek == separator {
            step()
            values.append(try value())
        }
        return (values, first)
    }

    private mutating func value() throws(FileError) -> String {
        var value: [UInt8] = []
        let start = line
        if peek == Self.quote {
            step()
            while true {
                guard let byte = peek else {
                    throw FileError("\(path):\(start)", "has a quote that does not end")
                }
                step()
                guard byte == Self.quote else {
                    value.append(byte)
                    continue
                }
                guard peek == Self.quote else { break }
                value.append(byte)
                step()
            }
            guard isOver else {
                throw FileError("\(path):\(line)", "has more text behind the quote that ends a value")
            }
        } else {
            let begin = position
            while !isOver { step() }
            value = Array(bytes[begin..<position])
        }
        guard let text = String(validating: value, as: UTF8.self) else {
            throw FileError("\(path):\(start)", "is not valid UTF-8", remedy: "save the file as UTF-8")
        }
        return text
    }

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }
    private var isOver: Bool { peek == nil || peek == separator || peek == 0x0A || peek == 0x0D }

    private mutating func step() {
        if bytes[position] == 0x0A { line += 1 }
        position += 1
    }
}
