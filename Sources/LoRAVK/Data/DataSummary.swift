// What the model will see of a data set, in numbers, and the usual mistakes.

import Tokenizer

package struct DataSummary: Sendable {
    package let examples: Int
    package let tokens: Int
    package let learnedTokens: Int
    /// Tokens of the examples, from the shortest to the longest.
    package let lengths: [Int]
    /// Mistakes, a sentence each.
    package let warnings: [String]

    /// `training`: the examples that `data` should not hold again.
    package init(_ data: Dataset, tokenizer: Tokenizer, batchSize: Int, training: Dataset? = nil) {
        let found = data.examples
        (examples, tokens, learnedTokens) = (found.count, data.tokens, data.countedTokens)
        lengths = found.map(\.tokens.count).sorted()
        var sentences: [String] = []
        func note(_ count: Int, _ one: String, _ many: String) {
            guard count > 0 else { return }
            sentences.append(count == 1 ? "1 example \(one)" : "\(count) examples \(many)")
        }
        let ids = tokenizer.specialIDs
        if let bos = ids.bos {
            note(
                found.count { $0.tokens.starts(with: [bos, bos]) },
                "begins with the token of the beginning twice", "begin with the token of the beginning twice")
        }
        let stops = ids.stops.union([ids.eos].compactMap(\.self))
        // A cut example cannot have its end.
        let whole = zip(found, data.places).filter { !$1.isCut }.map(\.0)
        note(
            whole.count { example in
                !example.labels.suffix(3).contains { stops.contains($0) }
            },
            "has no end to learn: the model does not learn to stop there",
            "have no end to learn: the model does not learn to stop there")
        note(
            found.count - Set(found.map(\.tokens)).count, "is there twice or more",
            "are there twice or more")
        if let training {
            let seen = Set(training.examples.map(\.tokens))
            note(
                found.count { seen.contains($0.tokens) }, "is also in the training data",
                "are also in the training data")
        }
        if let longest = lengths.last, lengths.count > 1 {
            let others = Double(tokens - longest) / Double(lengths.count - 1) * Double(batchSize - 1)
            if Double(longest) > 2 * others {
                sentences.append(
                    "the longest example has \(longest) tokens, more than twice as many as the rest of a batch of \(batchSize)"
                )
            }
        }
        warnings = sentences
    }

    /// The length that this share of the examples does not exceed.
    package func quantile(_ share: Double) -> Int {
        guard !lengths.isEmpty else { return 0 }
        return lengths[min(lengths.count - 1, Int(Double(lengths.count) * share))]
    }

    /// Examples by their lengths, from the shortest on: up to twelve ranges of one width, a round number of tokens.
    package var histogram: [(range: ClosedRange<Int>, count: Int)] {
        guard let longest = lengths.last else { return [] }
        let widths = (0...).lazy.flatMap { power in [1, 2, 5].map { $0 * Self.tenTo(power) } }
        guard let width = widths.first(where: { $0 * 12 >= longest }) else { return [] }
        let first = max((lengths.first ?? 1) - 1, 0) / width * width + 1
        return stride(from: first, through: max(longest, 1), by: width).map { start in
            let range = start...(start + width - 1)
            return (range, lengths.count { range.contains(max($0, 1)) })
        }
    }

    private static func tenTo(_ power: Int) -> Int { (0..<power).reduce(1) { value, _ in value * 10 } }
}

extension Example {
    /// The text in runs of tokens that are learned, and that are not.
    package func pieces(_ tokenizer: Tokenizer) -> [(text: String, isLearned: Bool)] {
        var pieces: [(text: String, isLearned: Bool)] = []
        var (start, before) = (0, "")
        while start < tokens.count {
            let isLearned = isCounted(start)
            let end = tokens.indices[start...].first { isCounted($0) != isLearned } ?? tokens.count
            let text = tokenizer.decode(tokens[..<end], skipSpecialTokens: false)
            // Where a character is of both runs its bytes are not the text's.
            let new =
                text.utf8.starts(with: before.utf8)
                ? String(decoding: text.utf8.dropFirst(before.utf8.count), as: UTF8.self)
                : tokenizer.decode(tokens[start..<end], skipSpecialTokens: false)
            pieces.append((new, isLearned))
            (start, before) = (end, text)
        }
        return pieces
    }

    /// A target that the loss counts, with a weight that is not 0.
    private func isCounted(_ index: Int) -> Bool {
        index > 0 && labels[index] >= 0 && (weights?[index] ?? 1) != 0
    }
}
