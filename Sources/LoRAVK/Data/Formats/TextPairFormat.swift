// Texts whose vectors are compared, under sentence-transformers' names: two that are alike, three of which the third is unlike, or two
// with a score.

import Checkpoints

struct TextPairFormat: ExampleFormat {
    let name = "texts"
    let summary = "two texts that belong together, perhaps with a score, or three of which the third does not"
    let keys =
        "'anchor' and 'positive', perhaps with 'negative', or 'sentence1' and 'sentence2', perhaps with 'score'"
    let examples = Example.Kind.texts

    private static let names = [
        ["anchor", "positive"], ["sentence1", "sentence2"], ["query", "answer"], ["question", "answer"],
        ["query", "positive"],
    ]

    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool {
        format.kind == .texts && Self.names.contains { $0.allSatisfy(row.has) }
    }

    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example {
        guard let names = Self.names.first(where: { $0.allSatisfy(row.has) }) else {
            throw FileError(row.path, "has not the keys \(keys)")
        }
        var texts = try names.map { try row.string($0) }
        if row.has("negative") { texts.append(try row.string("negative")) }
        var score: Double?
        for key in ["score", "label", "similarity_score"] where score == nil {
            score = try row.optionalNumber(key)
        }
        return Example(
            texts: texts.map(reader.textTokens), score: Float(score ?? 1), pooling: reader.format.pooling)
    }
}
