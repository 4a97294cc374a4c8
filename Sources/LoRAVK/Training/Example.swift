// Tokens of one example and which of them are learned: one sequence, two whose answers an objective compares, or texts whose vectors
// it compares.

/// `labels[i]` says whether token i is a target: the token itself, or `TokenBatch.ignored`.
package struct Example: Sendable, Equatable {
    package var tokens: [Int32]
    package var labels: [Int32]
    /// What the loss of each target is multiplied by; nil: 1. A negative one makes the target less likely.
    package var weights: [Float]?
    /// nil: the example is one sequence.
    package var comparison: Comparison?
    /// nil: its tokens are predicted.
    package var texts: TextGroup?
    /// What a head is to say of its sequences; nil: the next tokens are learned.
    package var outcome: Outcome?

    package init(tokens: [Int32], labels: [Int32]? = nil, weights: [Float]? = nil) {
        precondition(labels == nil || labels?.count == tokens.count, "one label a token")
        precondition(weights == nil || weights?.count == tokens.count, "one weight a token")
        self.tokens = tokens
        self.labels = labels ?? tokens
        self.weights = weights
    }

    /// A pair: the chosen answer to a prompt and the rejected one, each behind the prompt.
    package init(chosen: Example, rejected: Example) { self.init(chosen, rejected, isDesired: nil) }

    /// A sequence of which a head is to say something.
    package init(_ tokens: [Int32], _ outcome: Outcome) {
        self.init(tokens: tokens, labels: tokens.map { _ in TokenBatch.ignored })
        self.outcome = outcome
    }

    /// An answer that is judged, and the same prompt with another's answer.
    package init(judged: Example, isDesired: Bool, other: Example) {
        self.init(judged, other, isDesired: isDesired)
    }

    /// Texts whose vectors are compared: two or more, the first two `score` alike; or one, whose vector is wanted.
    package init(texts: [[Int32]], score: Float = 0, pooling: Pooling) {
        self.init(tokens: Array(texts.joined()))
        var end = 0
        let ends = texts.map { text in
            end += text.count
            return end
        }
        self.texts = TextGroup(ends: ends, score: score, pooling: pooling)
    }

    private init(_ first: Example, _ second: Example, isDesired: Bool?) {
        self.init(tokens: first.tokens + second.tokens, labels: first.labels + second.labels)
        comparison = Comparison(second: first.tokens.count, isDesired: isDesired)
    }

    /// Some of its tokens as one sequence, with all that belongs to them.
    package func part(_ indices: some Collection<Int>) -> Example {
        Example(
            tokens: indices.map { tokens[$0] }, labels: indices.map { labels[$0] },
            weights: weights.map { weights in indices.map { weights[$0] } })
    }

    /// Where its sequences lie among its tokens.
    package var sequences: [Range<Int>] {
        if let texts { return zip([0] + texts.ends, texts.ends).map { $0..<$1 } }
        guard let second = comparison?.second else { return [tokens.indices] }
        return [0..<second, second..<tokens.count]
    }

    /// The example, or of two sequences the first.
    package var first: Example { sequences.count == 1 ? self : part(sequences[0]) }

    package var kind: Kind {
        if texts != nil { return .texts }
        return outcome?.kind ?? comparison.map { $0.isDesired == nil ? .pair : .judged } ?? .plain
    }

    /// Targets that the loss counts: the first token of a sequence has nothing before it to be predicted from.
    /// Of texts whose vectors are compared all tokens count. Of a head it is what it says at the last token of each sequence.
    package var countedTokens: Int {
        if texts != nil { return tokens.count }
        if outcome != nil { return sequences.count { !$0.isEmpty } }
        return sequences.reduce(0) { $0 + labels[$1].dropFirst().count { $0 >= 0 } }
    }

    /// What an objective learns from.
    package enum Kind: Sendable {
        case plain, pair, judged
        /// Texts whose vectors are compared.
        case texts
        /// A class, labels, or numbers of a sequence; a pair of which the first is to have the larger score.
        case labelled, multilabelled, scored, ranked
    }
}

/// That an example is texts whose vectors are compared.
package struct TextGroup: Sendable, Equatable {
    /// Behind the last token of each text.
    package var ends: [Int]
    /// How alike the first two are.
    package var score: Float
    package var pooling: Pooling
}

/// What a head is to say of an example.
package struct Outcome: Sendable, Equatable {
    package var kind: Example.Kind
    /// Of a class.
    package var label: Int32 = 0
    /// One for each output of the head: 1 for labels that are meant, else 0; numbers; of a ranked pair the margin.
    package var values: [Float] = []

    package init(label: Int32) { (kind, self.label) = (.labelled, label) }
    package init(_ kind: Example.Kind, _ values: [Float]) { (self.kind, self.values) = (kind, values) }
}

/// That an example is two sequences, of which the answers are compared.
package struct Comparison: Sendable, Equatable {
    /// The first token of the second sequence.
    package var second: Int
    /// Whether the first answer is wanted; nil: the first is better than the second.
    package var isDesired: Bool?
    /// log p of both answers by the reference.
    package var reference = PairOf<Float>(0, 0)
}

/// A value of each sequence.
package struct PairOf<Value: Sendable & Equatable>: Sendable, Equatable {
    package var first: Value
    package var second: Value

    package init(_ first: Value, _ second: Value) { (self.first, self.second) = (first, second) }
}
