// Ranking among all texts of a batch: −log softmax(scale·cos(anchor, text)) of the text that belongs to the anchor, where the texts of the
// other examples, and all third texts, are negatives (Henderson et al. 2017).

import Kernels
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct MultipleNegatives: TextObjective {
    package let name = "multiple-negatives"
    package let summary =
        "−log softmax(scale·cos) of the text that belongs to an anchor, among all of the batch (Henderson et al. 2017)"
    package var options = [NumberOption("scale", 20, in: 1e-3...1000, "what cosines are multiplied by")]
    package let places = 2...3
    package let comparesDirections = true
    /// What is evaluated is ranked in blocks of so many examples.
    private static let block = 64

    package init() {}

    private var scale: Double { option("scale") }

    package func record(
        losses: Tensor, gradients: (first: Tensor, others: Tensor), _ first: Tensor, _ others: Tensor,
        _ texts: TextBuffers, _ pass: Pass
    ) throws(VulkanError) {
        let (encoder, arena, scale) = (pass.encoder, pass.arena, Float(scale))
        // Rows of logits are whole fours: behind the texts are zeros, whose columns do not count.
        let padded = arena.take((others.rows + 3) / 4 * 4, others.width)
        let dPadded = arena.take(like: padded)
        func whole(_ tensor: Tensor) -> BufferSlice {
            tensor.slice.slice(0, byteCount: others.rows * others.width * 4)
        }
        try encoder.fill(padded.slice)
        try encoder.copy(into: whole(padded), from: whole(others))
        let logits = arena.take(first.rows, padded.rows)
        try encoder.matmul(.nt, into: logits, first, padded, scale: scale, label: "similarities")
        try encoder.crossEntropy(
            into: losses, gradientInPlaceOf: logits, labels: texts.labels, columns: others.rows,
            state: pass.state)
        try encoder.matmul(.nn, into: gradients.first, logits, padded, scale: scale, label: "anchors dx")
        try encoder.matmul(.tn, into: dPadded, logits, first, scale: scale, label: "texts dx")
        try encoder.copy(into: whole(gradients.others), from: whole(dPadded))
        arena.give(padded, dPadded, logits)
    }

    package func report(_ first: [[Float]], _ others: [[Float]], scores: [Float]) -> LossReport {
        var report = LossReport(count: first.count)
        let (first, others) = (first.map(\.normalized), others.map(\.normalized))
        for start in stride(from: 0, to: first.count, by: Self.block) {
            let block = start..<min(start + Self.block, first.count)
            let candidates = stride(from: 0, to: others.count, by: first.count).flatMap { place in
                block.map { others[place + $0] }
            }
            for (own, anchor) in block.enumerated() {
                let logits = candidates.map { scale * first[anchor].dot($0) }
                let most = logits.max() ?? 0
                report.sum += most + log(logits.reduce(0) { $0 + exp($1 - most) }) - logits[own]
                let rank = logits.count { $0 > logits[own] }
                report.metrics.add("recall@1", rank < 1 ? 1 : 0)
                report.metrics.add("recall@5", rank < 5 ? 1 : 0)
                report.metrics.add("mrr", 1 / Double(rank + 1))
            }
        }
        return report
    }
}

extension [Float] {
    /// In f64.
    func dot(_ other: [Float]) -> Double { zip(self, other).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
}
