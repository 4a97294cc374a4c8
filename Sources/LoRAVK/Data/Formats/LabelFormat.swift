// Texts for a head: `text`, perhaps `text_pair` behind it, and `label`: a class (an integer or a name), the labels that are meant (a
// list of names, or of 0 and 1 for all), or numbers.

import Checkpoints

struct LabelFormat: ExampleFormat {
    let examples: Example.Kind

    init(_ kind: Example.Kind) { examples = kind }

    var name: String {
        switch examples {
        case .multilabelled: "labels"
        case .scored: "numbers"
        default: "label"
        }
    }

    var summary: String {
        switch examples {
        case .multilabelled: "a text and its labels"
        case .scored: "a text and its number, or numbers"
        default: "a text and its class"
        }
    }

    let keys = "'text' and 'label', perhaps with 'text_pair'"

    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool { row.has("text") && row.has("label") }

    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example {
        Example(reader.sequence(try row.texts), try outcome(row, &notes.labels))
    }

    private func outcome(_ row: JSONFields, _ labels: inout LabelBook) throws(FileError) -> Outcome {
        let key = "label"
        let value = row[key]
        switch examples {
        case .multilabelled:
            guard case .array(let all)? = value else {
                throw row.wrong(key, expected: "a list of names, or of 0 and 1 for each label")
            }
            var values: [Float] = []
            let isOfNames = all.allSatisfy { if case .string = $0 { true } else { false } } && !all.isEmpty
            for each in all {
                if isOfNames, let name = each.labelText {
                    values.append(Float(try labels.number(name, row, key)))
                } else if let number = each.floatValue, number == 0 || number == 1 {
                    values.append(number)
                } else {
                    throw row.wrong(key, holding: each, expected: "names alone, or 0 and 1 alone")
                }
            }
            if !isOfNames { labels.noteNumbers() }
            if isOfNames, let count = labels.knownCount {
                let meant = values.map { Int($0) }
                values = (0..<count).map { meant.contains($0) ? 1 : 0 }
            }
            return Outcome(.multilabelled, values)
        case .scored:
            let all: [JSON] = if case .array(let all)? = value { all } else { value.map { [$0] } ?? [] }
            let numbers = all.compactMap(\.floatValue)
            guard !numbers.isEmpty, numbers.count == all.count else {
                throw row.wrong(key, expected: "a number, or a list of numbers")
            }
            return Outcome(.scored, numbers)
        default:
            guard let text = value?.labelText else {
                throw row.wrong(key, expected: "an integer from 0, or a name")
            }
            return Outcome(label: try labels.number(text, row, key))
        }
    }
}

extension JSONFields {
    /// What a head reads of a row.
    package var texts: [String] {
        get throws(FileError) { [try string("text")] + (try optionalString("text_pair").map { [$0] } ?? []) }
    }
}

extension JSON {
    fileprivate var labelText: String? {
        switch self {
        case .integer(let number): number >= 0 ? String(number) : nil
        case .string(let text): text.isEmpty ? nil : text
        case .bool(let flag): flag ? "1" : "0"
        default: nil
        }
    }

    /// Tables have texts.
    fileprivate var floatValue: Float? {
        let value: Float? =
            switch self {
            case .integer(let number): Float(number)
            case .double(let number): Float(number)
            case .string(let text): Float(text)
            default: nil
            }
        return value.flatMap { $0.isFinite ? $0 : nil }
    }
}
