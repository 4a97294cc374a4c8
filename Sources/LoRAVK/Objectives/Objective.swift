// What a step minimises. An objective says what its examples are, records the gradient of the last hidden
// states, and reports the loss and what else is told of it. A new one is a file here and a line in
// `Registries.objectives`; one that compares two answers is an `AnswerObjective`, whose own part is a formula
// and its derivative.

import Checkpoints
import Kernels
import VulkanCompute

package protocol Objective: Named {
    /// What it learns from.
    var examples: Example.Kind { get }
    /// It compares with the model as the run begins with it, whose log-probabilities stand in the examples.
    var needsReference: Bool { get }

    /// Refuses examples that the objective does not learn from, or the head has no outputs for.
    func check(_ examples: some Sequence<Example>, _ head: ScoreHead?) throws(ConfigError)
    /// What of an example the loss is the mean over.
    func count(_ example: Example) -> Int
    /// Records the gradient of x (n, C), the last hidden states of the counted positions, times the step's
    /// loss scale. Takes `x` over. What else it returns stays until the next pass, for `report`.
    func record(_ x: Tensor, _ head: Head, _ pass: Pass) throws(VulkanError) -> (
        dx: Tensor, outputs: [Tensor]
    )
    /// Of a pass that has run.
    func report(_ pass: FinishedPass) throws(VulkanError) -> LossReport
    /// The head that it trains on such data; nil: it learns next tokens.
    func head(for data: Dataset) throws(ConfigError) -> ScoreHead?
}

/// An objective of next tokens.
package protocol TokenObjective: Objective {
    /// From −log p of the targets of a pass, in f64.
    func report(_ losses: some Collection<Float>, _ batch: TokenBatch, _ examples: [Example]) -> LossReport
}

extension TokenObjective {
    package func head(for data: Dataset) -> ScoreHead? { nil }
}

extension Objective {
    package var needsReference: Bool { false }

    /// Numbers that belong to a target.
    package func valueCount(_ head: ScoreHead?) -> Int {
        switch examples {
        case .multilabelled, .scored: head?.outputs ?? 0
        case .ranked: 1
        case .plain, .pair, .judged, .texts, .labelled: 0
        }
    }

    /// Refuses an adapter without the head that the objective trains, or with one that it does not.
    package func check(_ head: ScoreHead?) throws(ConfigError) {
        guard let objective = self as? any ScoreObjective else {
            guard head == nil else {
                throw ConfigError(
                    "the adapter has the head of a classifier, and the objective \(name) trains none; use "
                        + "classification, multilabel, regression or reward")
            }
            return
        }
        guard let head else {
            throw ConfigError(
                "the objective \(name) needs an adapter with the head of a classifier, and this has none")
        }
        try objective.checkProblem(head)
    }

    package func check(_ examples: some Sequence<Example>, _ head: ScoreHead?) throws(ConfigError) {
        let outputs = head?.outputs ?? 0
        let count = valueCount(head)
        for outcome in examples.lazy.compactMap(\.outcome) where outcome.kind == self.examples {
            guard outcome.kind != .labelled || (0..<outputs).contains(Int(outcome.label)) else {
                throw ConfigError(
                    "an example has the label \(outcome.label), and the head has \(outputs) outputs")
            }
            guard outcome.values.count == count else {
                throw ConfigError(
                    "an example has \(outcome.values.count) numbers, and the objective wants \(count)")
            }
        }
        guard let other = examples.first(where: { $0.kind != self.examples && $0.countedTokens > 0 }) else {
            return
        }
        throw ConfigError(
            "the objective \(name) learns from \(self.examples.words), and the data has \(other.kind.words)")
    }
}

extension ModelSpec {
    /// Refuses an objective of next tokens for a model that predicts none.
    package func check(_ objective: any Objective) throws(ConfigError) {
        guard isEncoder, objective.examples != .texts else { return }
        throw ConfigError(
            "\(modelType) is an encoder, and the objective \(objective.name) is of next tokens; choose "
                + "multiple-negatives, cosine or triplet")
    }
}

extension Example.Kind {
    package var words: String {
        switch self {
        case .plain: "texts and answers"
        case .pair: "pairs of a chosen and a rejected answer"
        case .judged: "answers that are judged"
        case .texts: "pairs and triplets of texts"
        case .labelled: "texts with a label"
        case .multilabelled: "texts with labels"
        case .scored: "texts with numbers"
        case .ranked: "pairs of a chosen and a rejected text"
        }
    }
}

/// What a pass left on the device.
package struct FinishedPass {
    let examples: [Example]
    let outputs: [Tensor]
    /// K of the adapter's head; 0: none.
    let outputsOfHead: Int
    let result: BufferSlice
    let device: Device
}

/// What an objective tells of examples: sums, from which means follow.
package struct LossReport: Sendable, Equatable {
    package var sum = 0.0
    /// What the loss is the mean over: targets, pairs.
    package var count = 0
    package var metrics = Metrics()

    package init(sum: Double = 0, count: Int = 0) { (self.sum, self.count) = (sum, count) }

    package var mean: Double { sum / Double(max(count, 1)) }

    package mutating func add(_ other: LossReport) {
        sum += other.sum
        count += other.count
        metrics.add(other.metrics)
    }
}

/// Means by name, kept as sums, and what follows from all that a head said. The names are those of TRL.
package struct Metrics: Sendable, Equatable {
    private struct Entry: Equatable {
        let name: String
        var sum: Double
        var count: Int
    }
    private var entries: [Entry] = []
    package private(set) var sayings = HeadSayings()

    package init() {}

    mutating func add(_ saying: HeadSaying, as problem: ScoreHead.Problem) {
        sayings.add(saying, as: problem)
    }

    mutating func add(_ name: String, _ value: Double) { add(Entry(name: name, sum: value, count: 1)) }

    mutating func add(_ other: Metrics) {
        for entry in other.entries { add(entry) }
        sayings.add(other.sayings)
    }

    private mutating func add(_ entry: Entry) {
        guard let index = entries.firstIndex(where: { $0.name == entry.name }) else {
            return entries.append(entry)
        }
        entries[index].sum += entry.sum
        entries[index].count += entry.count
    }

    package subscript(name: String) -> Double? { values.first { $0.name == name }?.value }

    static let (chosen, rejected, margins) = ("rewards/chosen", "rewards/rejected", "rewards/margins")

    /// In the order in which they were added, and the margin between the rewards of what is wanted and what
    /// is not.
    package var values: [(name: String, value: Double)] {
        var values = entries.map { (name: $0.name, value: $0.sum / Double($0.count)) }
        func value(_ name: String) -> Double? { values.first { $0.name == name }?.value }
        if let chosen = value(Self.chosen), let rejected = value(Self.rejected) {
            values.append((Self.margins, chosen - rejected))
        }
        return values + sayings.metrics
    }
}
