// A batch as the model sees it: one flat list of tokens, each with its position and the span of its sequence, and
// the positions whose next token counts in the loss. Padding is a sequence of its own that nothing counts.

package struct TokenBatch: Sendable {
    /// Label of a token that is not a target. Any negative label is ignored; this one is Hugging Face's.
    package static let ignored: Int32 = -100

    package private(set) var tokens: [Int32] = []
    package private(set) var positions: [Int32] = []
    /// (start, end) of the sequence of each token, in pairs.
    package private(set) var spans: [Int32] = []
    /// Tokens from which a counted target is predicted, and the target.
    package private(set) var countedPositions: [Int32] = []
    package private(set) var targets: [Int32] = []
    package private(set) var weights: [Float] = []
    /// (n, K) of examples whose outcomes are numbers.
    package private(set) var values: [Float] = []
    /// Of examples that compare two answers: their two sequences behind each other, 2·pairs in all.
    package private(set) var answers = Answers()
    /// Of examples whose texts' vectors are compared: their pooled rows, which are counted in place of targets.
    package private(set) var texts = Texts()
    /// Tokens of examples, and targets, without the padding.
    package private(set) var tokenCount = 0
    package private(set) var countedCount = 0
    /// Cached tokens before these, in generation.
    package private(set) var keyOffset: Int32 = 0
    /// Tokens that a sequence in generation may come to have.
    private(set) var expectedLength: Int32 = 0

    package init(_ examples: [Example]) {
        for example in examples where !example.tokens.isEmpty {
            let first = tokens.count
            tokens += example.tokens
            if let group = example.texts {
                append(group, example.sequences, first)
                continue
            }
            for sequence in example.sequences {
                let (start, end) = (Int32(first + sequence.lowerBound), Int32(first + sequence.upperBound))
                let firstTarget = targets.count
                for position in sequence {
                    positions.append(Int32(position - sequence.lowerBound))
                    spans += [start, end]
                    if let outcome = example.outcome {
                        guard position == sequence.upperBound - 1 else { continue }
                        countedPositions.append(Int32(first + position))
                        targets.append(outcome.label)
                        weights.append(1)
                        values += outcome.values
                        continue
                    }
                    guard position > sequence.lowerBound, example.labels[position] >= 0 else { continue }
                    countedPositions.append(Int32(first + position) - 1)
                    targets.append(example.labels[position])
                    weights.append(example.weights?[position] ?? 1)
                }
                if example.comparesAnswers { answers.append(targets: firstTarget..<targets.count) }
            }
            if example.comparesAnswers, let comparison = example.comparison { answers.append(comparison) }
        }
        tokenCount = tokens.count
        countedCount = targets.count
    }

    private mutating func append(_ group: TextGroup, _ sequences: [Range<Int>], _ first: Int) {
        var ranges: [Range<Int>] = []
        for sequence in sequences {
            let (start, end) = (Int32(first + sequence.lowerBound), Int32(first + sequence.upperBound))
            for position in sequence.indices {
                positions.append(Int32(position - sequence.lowerBound))
                spans += [start, end]
            }
            let pooled = group.pooling.tokens(of: sequence)
            ranges.append(targets.count..<targets.count + pooled.count)
            countedPositions += pooled.map { Int32(first + $0) }
            targets += pooled.map { _ in Self.ignored }
            weights += pooled.map { _ in 0 }
        }
        texts.append(ranges, score: group.score)
    }

    /// Examples in their order, as many at a time as have at most `tokens` tokens together; a longer one is alone.
    package static func passes(_ examples: [Example], tokens: Int) -> [[Example]] {
        var passes: [[Example]] = []
        var left = 0
        for example in examples {
            if passes.isEmpty || example.tokens.count > left {
                passes.append([])
                left = tokens
            }
            passes[passes.count - 1].append(example)
            left -= example.tokens.count
        }
        return passes
    }

    /// Makes the one sequence of this batch the continuation of `offset` tokens, the last of which wants its successor.
    mutating func continueSequence(at offset: Int32, expecting length: Int) {
        expectedLength = Int32(length)
        let end = offset + Int32(tokens.count)
        keyOffset = offset
        positions = positions.map { $0 + offset }
        spans = tokens.flatMap { _ in [0, end] }
        (countedPositions, targets, weights) = ([Int32(tokens.count) - 1], [TokenBatch.ignored], [0])
    }

    /// Sizes that recorded steps exist for: little padding, and still few steps to record, which takes milliseconds.
    package static func bucket(_ count: Int) -> Int {
        let step = bucketStep(count)
        return max(1, (count + step - 1) / step) * step
    }

    /// The largest size that needs no padding for `count`; 0 where there is none.
    package static func wholeBucket(_ count: Int) -> Int { count / bucketStep(count) * bucketStep(count) }

    private static func bucketStep(_ count: Int) -> Int { count <= 32 ? 8 : 16 }

    /// The examples cut so that neither their tokens nor their targets are padded, where inputs are looked at; nil where too little is left.
    static func withoutPadding(_ examples: [Example]) -> [Example]? {
        var left = wholeBucket(examples.reduce(0) { $0 + $1.tokens.count })
        guard left > 0 else { return nil }
        var cut: [Example] = []
        for example in examples where left > 0 {
            let tokens = Array(example.tokens.prefix(left))
            cut.append(Example(tokens: tokens))
            left -= tokens.count
        }
        // Every token but the first of an example is a target, as many as make a whole bucket.
        let counted = cut.reduce(0) { $0 + $1.countedTokens }
        var surplus = counted - wholeBucket(counted)
        guard surplus < counted else { return nil }
        for index in cut.indices {
            for position in cut[index].labels.indices.dropFirst() where surplus > 0 {
                cut[index].labels[position] = ignored
                surplus -= 1
            }
        }
        return cut
    }

    package var shape: BatchShape {
        BatchShape(
            tokens: Self.bucket(tokenCount), counted: Self.bucket(max(countedCount, 1)),
            pairs: answers.pairs == 0 ? 0 : Self.bucket(answers.pairs), texts: texts.examples,
            places: texts.places, values: values.count / max(countedCount, 1))
    }

    /// Filled up to a shape with single-token sequences and targets that nothing counts.
    package func padded(to shape: BatchShape) -> TokenBatch {
        var batch = self
        while batch.tokens.count < shape.tokens {
            let index = Int32(batch.tokens.count)
            batch.tokens.append(0)
            batch.positions.append(0)
            batch.spans += [index, index + 1]
        }
        let missing = shape.counted - batch.targets.count
        batch.countedPositions += [Int32](repeating: -1, count: missing)
        batch.targets += [Int32](repeating: Self.ignored, count: missing)
        batch.weights += [Float](repeating: 0, count: missing)
        batch.values += [Float](repeating: 0, count: missing * shape.values)
        batch.answers.pad(toPairs: shape.pairs)
        return batch
    }
}

/// Tokens and counted targets of a recorded step, the pairs of answers, or the examples of texts, that it compares, and the numbers that
/// belong to a target.
package struct BatchShape: Hashable, Sendable {
    package var tokens: Int
    package var counted: Int
    package var pairs: Int
    package var texts: Int
    /// Texts of an example.
    package var places: Int
    package var values: Int

    package init(
        tokens: Int, counted: Int, pairs: Int = 0, texts: Int = 0, places: Int = 0, values: Int = 0
    ) {
        (self.tokens, self.counted, self.pairs) = (tokens, counted, pairs)
        (self.texts, self.places, self.values) = (texts, places, values)
    }
}

extension Example {
    /// Log p of its two sequences are compared.
    var comparesAnswers: Bool { comparison != nil && outcome == nil }
}
