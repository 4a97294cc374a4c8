// Single answers that are judged: `prompt`, `completion` and `label`, which says whether the answer is wanted.

import Checkpoints

struct KTOFormat: ExampleFormat {
    let name = "kto"
    let summary = "a prompt and a completion that is wanted or not, as its label says"
    let keys = "'prompt', 'completion' and 'label'"
    let examples = Example.Kind.judged

    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool {
        row.has("completion") || row.has("label")
    }

    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example {
        Example(
            judged: try reader.answer("completion", in: row, &notes), isDesired: try label(row),
            other: Example(tokens: []))
    }

    /// Tables have texts.
    private func label(_ row: JSONFields) throws(FileError) -> Bool {
        switch row["label"] {
        case .bool(let label)?: return label
        case .integer(1)?, .string("1")?, .string("true")?, .string("True")?: return true
        case .integer(0)?, .string("0")?, .string("false")?, .string("False")?: return false
        default: throw row.wrong("label", expected: "true or false")
        }
    }
}

extension [Example] {
    /// Judged answers, each with its prompt and the answer of the example before it: how far the model is
    /// from the reference on answers that do not belong there is KTO's zero point.
    func withOthers(maxTokens: Int) -> [Example] {
        indices.map { index in
            let (own, before) = (self[index], self[index == 0 ? count - 1 : index - 1])
            guard let isDesired = own.comparison?.isDesired else { return own }
            let other = own.first.prompt.followed(by: before.first.completion)
            return Example(judged: own.first, isDesired: isDesired, other: other.cut(to: maxTokens))
        }
    }
}

extension Example {
    /// Where the first token to learn is.
    private var answerStart: Int { labels.firstIndex { $0 >= 0 } ?? tokens.count }
    fileprivate var prompt: Example { part(0..<answerStart) }
    fileprivate var completion: Example { part(answerStart..<tokens.count) }

    fileprivate func followed(by other: Example) -> Example {
        Example(tokens: tokens + other.tokens, labels: labels + other.labels)
    }
}
