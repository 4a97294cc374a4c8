// Pairs for a reward model: rows as of the format `preference`, read as whole texts, perhaps with a `margin` by which the chosen one's
// score is to be larger.

import Checkpoints

struct RankingFormat: ExampleFormat {
    let name = "ranking"
    let summary = "a prompt with a chosen and a rejected answer, for a reward model"
    let keys = "'chosen' and 'rejected', perhaps with 'prompt' and 'margin'"
    let examples = Example.Kind.ranked

    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool {
        PreferenceFormat().recognises(row, format)
    }

    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example {
        var example = try PreferenceFormat().example(row, reader, &notes)
        let margin = try row.optionalNumber("margin") ?? 0
        guard abs(margin) <= 1e6 else { throw row.wrong("margin", expected: "a number from -1e6 to 1e6") }
        example.labels = example.labels.map { _ in TokenBatch.ignored }
        example.outcome = Outcome(.ranked, [Float(margin)])
        return example
    }
}
