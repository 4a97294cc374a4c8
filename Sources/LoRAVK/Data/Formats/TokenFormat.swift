// A line of token ids: `input_ids`, by `labels` or masks which of them are learned, and by `weights` how much each counts.

import Checkpoints

struct TokenFormat: ExampleFormat {
    let name = "tokens"
    let summary = "token ids, with labels or masks of what is learned"
    let keys = "'input_ids'"

    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool { row.has("input_ids") }

    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example {
        try TokenizedLine(row, vocabularySize: reader.tokenizer.vocabularySize).example
    }
}

private struct TokenizedLine {
    let example: Example

    /// Where a mask holds 0 a token is not learned.
    private static let lossMasks = ["completion_mask", "loss_mask", "assistant_masks"]

    init(_ fields: JSONFields, vocabularySize: Int) throws(FileError) {
        func integers(_ key: String, _ allowed: Range<Int>, _ expected: String) throws(FileError) -> [Int32] {
            var numbers: [Int32] = []
            for value in try fields.array(key) {
                guard case .integer(let id) = value, allowed.contains(id) else {
                    throw FileError(fields.path, "'\(key)' holds \(value.summary), expected \(expected)")
                }
                numbers.append(Int32(id))
            }
            return numbers
        }
        let ids = "token ids below \(vocabularySize)"
        let tokens = try integers("input_ids", 0..<vocabularySize, ids)
        func beside(_ key: String, _ allowed: Range<Int>, _ expected: String) throws(FileError) -> [Int32]? {
            guard fields[key] != nil else { return nil }
            let numbers = try integers(key, allowed, expected)
            guard numbers.count == tokens.count else {
                throw FileError(
                    fields.path, "has \(tokens.count) input_ids and \(numbers.count) \(key), expected as many"
                )
            }
            return numbers
        }
        var labels = try beside("labels", Int(TokenBatch.ignored)..<vocabularySize, ids) ?? tokens
        for key in Self.lossMasks {
            guard let mask = try beside(key, 0..<2, "0 or 1") else { continue }
            for (index, value) in mask.enumerated() where value == 0 { labels[index] = TokenBatch.ignored }
        }
        // Tokens that attention does not see fill a row up; here no row needs filling.
        let seen = try beside("attention_mask", 0..<2, "0 or 1") ?? tokens.map { _ in 1 }
        let kept = tokens.indices.filter { seen[$0] == 1 }
        example = Example(
            tokens: tokens, labels: labels, weights: try Self.weights(fields, count: tokens.count)
        )
        .part(kept)
    }

    /// What the loss of each token is multiplied by, of either sign.
    private static func weights(_ fields: JSONFields, count: Int) throws(FileError) -> [Float]? {
        guard let values = try fields.optionalArray("weights") else { return nil }
        guard values.count == count else {
            throw FileError(
                fields.path, "has \(count) input_ids and \(values.count) weights, expected as many")
        }
        var weights: [Float] = []
        for value in values {
            let number: Double? =
                switch value {
                case .integer(let number): Double(number)
                case .double(let number): number
                default: nil
                }
            guard let number, abs(number) <= 1e6 else {
                throw FileError(
                    fields.path, "'weights' holds \(value.summary), expected numbers from -1e6 to 1e6")
            }
            weights.append(Float(number))
        }
        return weights
    }
}
