// What an objective that compares texts is told of a batch: where the vectors of its texts come from, and how alike they are. The texts
// of an example have places: anchor, positive, negative; those of the first place are apart from the others, which lie place by place.

import Kernels

package struct Texts: Sendable, Equatable {
    /// (start, end) of the pooled rows of each text.
    package private(set) var first: [Int32] = []
    private var others: [[Int32]] = []
    /// How alike the first two texts of each example are.
    package private(set) var scores: [Float] = []

    package var examples: Int { scores.count }
    /// Texts an example.
    package var places: Int { examples == 0 ? 0 : others.count + 1 }
    /// Of all places but the first.
    package var otherRanges: [Int32] { others.flatMap { $0 } }

    mutating func append(_ ranges: [Range<Int>], score: Float) {
        func words(_ range: Range<Int>) -> [Int32] { [Int32(range.lowerBound), Int32(range.upperBound)] }
        if examples == 0 { others = ranges.dropFirst().map { _ in [] } }
        precondition(ranges.count == others.count + 1, "examples of different numbers of texts in a batch")
        first += words(ranges[0])
        for (place, range) in ranges.dropFirst().enumerated() { others[place] += words(range) }
        scores.append(score)
    }
}

package struct TextBuffers {
    /// (P, 2) and ((k − 1)·P, 2) ints.
    let first: Tensor
    let others: Tensor
    /// (P): of each first text the other that belongs to it.
    let labels: Tensor
    let scores: Tensor  // (P)

    /// In words.
    static func sizes(_ shape: BatchShape) -> [Int] {
        let (examples, others) = (shape.texts, shape.texts * max(shape.places - 1, 0))
        return [examples * 2, others * 2, examples, examples]
    }

    func values(_ texts: Texts) -> [(Tensor, [Int32])] {
        [
            (first, texts.first), (others, texts.otherRanges),
            (labels, (0..<Int32(texts.examples)).map { $0 }),
            (scores, texts.scores.words),
        ]
    }
}
