// What an objective that compares answers is told of a batch: which targets belong to which answer, and what
// the reference makes of them. P pairs are 2P answers behind each other: pair p's are 2p and 2p + 1.

import Kernels

package struct Answers: Sendable, Equatable {
    /// (start, end) of each answer's targets; empty for padding.
    package private(set) var ranges: [Int32] = []
    /// log p of each answer by the reference.
    package private(set) var references: [Float] = []
    /// Of each pair: 1 where its first answer is wanted, −1 where it is not, 0 for padding.
    package private(set) var signs: [Float] = []

    package var pairs: Int { signs.count }

    mutating func append(targets: Range<Int>) {
        ranges += [Int32(targets.lowerBound), Int32(targets.upperBound)]
    }

    mutating func append(_ comparison: Comparison) {
        references += [comparison.reference.first, comparison.reference.second]
        signs.append(comparison.isDesired ?? true ? 1 : -1)
    }

    mutating func pad(toPairs pairs: Int) {
        let missing = pairs - self.pairs
        ranges += [Int32](repeating: 0, count: 4 * missing)
        references += [Float](repeating: 0, count: 2 * missing)
        signs += [Float](repeating: 0, count: missing)
    }

    /// The targets of each answer.
    func targets(_ answer: Int) -> Range<Int> { Int(ranges[2 * answer])..<Int(ranges[2 * answer + 1]) }
}

extension AnswerBuffers {
    /// In words.
    static func sizes(pairs: Int) -> [Int] { [pairs * 4, pairs * 2, pairs] }

    func values(_ answers: Answers) -> [(Tensor, [Int32])] {
        [
            (ranges, answers.ranges), (references, answers.references.words), (signs, answers.signs.words),
        ]
    }
}

extension [Float] {
    var words: [Int32] { map { Int32(bitPattern: $0.bitPattern) } }
}
