// The device's copy of a TokenBatch, filled anew before every run of a recorded step.

import Kernels
import VulkanCompute

/// What of a model decides what it is told of a batch.
struct TokenRules: Sendable, Equatable {
    /// Of the layers that look back a window, in ascending order.
    var windows: [Int] = []
    /// Longer sequences rotate by rows of the table of angles that lie so far behind those of shorter ones.
    var shortPositions: Int?
}

package struct TokenBuffers {
    let tokens: Tensor  // (N) ids
    let positions: Tensor  // (N)
    private let spans: Tensor  // (N, 2)
    private let windowSpans: [Int: Tensor]  // by window, (N, 2)
    let countedPositions: Tensor  // (n)
    let targets: Tensor  // (n)
    let weights: Tensor  // (n), floats
    let values: Tensor  // (n, K), floats
    let keyOffset: Tensor  // (1): cached tokens before these
    let answers: AnswerBuffers
    let texts: TextBuffers
    private let rules: TokenRules
    /// All of them: one upload fills them.
    private let whole: BufferSlice

    /// Room for a batch of a shape, in one buffer.
    static func byteCount(_ shape: BatchShape, _ rules: TokenRules) -> Int {
        sizes(shape, rules).reduce(0) { $0 + aligned($1) }
    }

    init(_ slice: BufferSlice, _ shape: BatchShape, _ rules: TokenRules) {
        var end = 0
        func part(_ dimensions: Int..., dtype: DType = .i32) -> Tensor {
            let bytes = dimensions.reduce(4, *)
            defer { end += Self.aligned(bytes / 4) }
            return Tensor(slice.slice(end, byteCount: bytes), shape: dimensions, dtype: dtype)
        }
        tokens = part(shape.tokens)
        positions = part(shape.tokens)
        spans = part(shape.tokens, 2)
        countedPositions = part(shape.counted)
        targets = part(shape.counted)
        weights = part(shape.counted, dtype: .f32)
        values = part(shape.counted, shape.values, dtype: .f32)
        keyOffset = part(1)
        answers = AnswerBuffers(
            ranges: part(shape.pairs * 2, 2), references: part(shape.pairs * 2, dtype: .f32),
            signs: part(shape.pairs, dtype: .f32))
        let others = shape.texts * max(shape.places - 1, 0)
        texts = TextBuffers(
            first: part(shape.texts, 2), others: part(others, 2), labels: part(shape.texts),
            scores: part(shape.texts, dtype: .f32))
        var windowSpans: [Int: Tensor] = [:]
        for window in rules.windows { windowSpans[window] = part(shape.tokens, 2) }
        self.windowSpans = windowSpans
        self.rules = rules
        whole = slice.slice(0, byteCount: end)
    }

    /// In words.
    private static func sizes(_ shape: BatchShape, _ rules: TokenRules) -> [Int] {
        [shape.tokens, shape.tokens, shape.tokens * 2, shape.counted, shape.counted, shape.counted]
            + [shape.counted * shape.values, 1]
            + AnswerBuffers.sizes(pairs: shape.pairs) + TextBuffers.sizes(shape)
            + rules.windows.map { _ in shape.tokens * 2 }
    }

    private static func aligned(_ words: Int) -> Int { (words * 4 + 255) / 256 * 256 }

    /// Which keys each token sees and, in a backward, is seen from: (start, end) of its sequence, cut to a window.
    func spans(window: Int?) -> Tensor { window.flatMap { windowSpans[$0] } ?? spans }

    /// `batch` must be padded to the shape of these buffers.
    func upload(_ batch: TokenBatch, _ device: Device) throws(VulkanError) {
        var words = [Int32](repeating: 0, count: whole.byteCount / 4)
        let all =
            [
                (tokens, batch.tokens), (positions, batch.positions(rules)), (spans, batch.spans),
                (countedPositions, batch.countedPositions), (targets, batch.targets),
                (weights, batch.weights.words), (values, batch.values.words),
                (keyOffset, [batch.keyOffset]),
            ] + answers.values(batch.answers) + texts.values(batch.texts)
            + windowSpans.map { window, tensor in (tensor, batch.spans(window: Int32(clamping: window))) }
        for (tensor, values) in all {
            precondition(values.count == tensor.count, "\(values.count) values for \(tensor.shape)")
            let start = (tensor.slice.offset - whole.offset) / 4
            words.replaceSubrange(start..<(start + values.count), with: values)
        }
        try device.upload(words, into: whole)
    }
}

extension TokenBatch {
    /// Key j is in the window of token i for i − W < j ≤ i: from the first key that token i sees to the last token that sees its own.
    fileprivate func spans(window: Int32) -> [Int32] {
        var cut = spans
        for index in tokens.indices {
            let own = keyOffset + Int32(index)
            cut[2 * index] = max(spans[2 * index], own - window + 1)
            cut[2 * index + 1] = min(spans[2 * index + 1], own.addingReportingOverflow(window).partialValue)
        }
        return cut
    }

    fileprivate func positions(_ rules: TokenRules) -> [Int32] {
        guard let short = rules.shortPositions else { return positions }
        return positions.enumerated().map { index, position in
            let length = max(spans[2 * index + 1] - spans[2 * index], expectedLength)
            return Int(length) > short ? position + Int32(short) : position
        }
    }
}
