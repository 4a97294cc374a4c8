// Losses of each example by itself: a pair's cosine against its score, and a triplet's distances. Shaders/loss/text_pairs.comp has the
// formulas.

import Kernels
import VulkanCompute

/// (cos(a, b) − score)²
package struct CosineSimilarity: TextObjective {
    package let name = "cosine"
    package let summary = "(cos − score)² of two texts (Reimers, Gurevych 2019)"
    package let places = 2...2
    package let comparesDirections = true

    package init() {}

    package func record(
        losses: Tensor, gradients: (first: Tensor, others: Tensor), _ first: Tensor, _ others: Tensor,
        _ texts: TextBuffers, _ pass: Pass
    ) throws(VulkanError) {
        try pass.encoder.textLoss(
            .cosine, into: losses, gradients: [gradients.first, gradients.others], [first, others],
            scores: texts.scores, state: pass.state, label: name)
    }

    package func report(_ first: [[Float]], _ others: [[Float]], scores: [Float]) -> LossReport {
        var report = LossReport(count: first.count)
        let cosines = zip(first, others).map { $0.normalized.dot($1.normalized) }
        report.sum = zip(cosines, scores).reduce(0) { $0 + ($1.0 - Double($1.1)) * ($1.0 - Double($1.1)) }
        if let correlation = Ranks.correlation(cosines, scores.map(Double.init)) {
            report.metrics.add("spearman", correlation)
        }
        return report
    }
}

/// max(0, ‖a − b‖ − ‖a − c‖ + margin)
package struct Triplet: TextObjective {
    package let name = "triplet"
    package let summary =
        "max(0, ‖anchor − positive‖ − ‖anchor − negative‖ + margin) of three texts (Schroff et al. 2015)"
    package var options = [
        NumberOption("margin", 5, in: 0...1e6, "by how much a negative is to be farther away")
    ]
    package let places = 3...3
    package let comparesDirections = false

    package init() {}

    private var margin: Double { option("margin") }

    package func record(
        losses: Tensor, gradients: (first: Tensor, others: Tensor), _ first: Tensor, _ others: Tensor,
        _ texts: TextBuffers, _ pass: Pass
    ) throws(VulkanError) {
        // A place begins where it may be bound only in a tensor of its own.
        func parts(_ tensor: Tensor) -> [Tensor] {
            (0..<2).map { _ in pass.arena.take(first.rows, tensor.width) }
        }
        func slices(_ tensor: Tensor) -> [BufferSlice] {
            let bytes = first.rows * first.width * 4
            return (0..<2).map { tensor.slice.slice($0 * bytes, byteCount: bytes) }
        }
        let (vectors, results) = (parts(others), parts(others))
        for (part, slice) in zip(vectors, slices(others)) {
            try pass.encoder.copy(into: part.slice, from: slice)
        }
        try pass.encoder.textLoss(
            .triplet, into: losses, gradients: [gradients.first] + results, [first] + vectors,
            scores: texts.scores, margin: Float(margin), state: pass.state, label: name)
        for (part, slice) in zip(results, slices(gradients.others)) {
            try pass.encoder.copy(into: slice, from: part.slice)
        }
        for part in vectors + results { pass.arena.give(part) }
    }

    package func report(_ first: [[Float]], _ others: [[Float]], scores: [Float]) -> LossReport {
        var report = LossReport(count: first.count)
        for (index, anchor) in first.enumerated() {
            let near = anchor.distance(others[index]), far = anchor.distance(others[first.count + index])
            report.sum += max(0, near - far + margin)
            report.metrics.add("accuracy", near < far ? 1 : 0)
        }
        return report
    }
}

extension [Float] {
    fileprivate func distance(_ other: [Float]) -> Double {
        zip(self, other).reduce(0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }
            .squareRoot()
    }
}

enum Ranks {
    /// Spearman's: the correlation of ranks, of which equal values have their mean; nil where all are equal.
    static func correlation(_ x: [Double], _ y: [Double]) -> Double? {
        let (x, y) = (ranks(x), ranks(y))
        let mean = Double(x.count + 1) / 2
        func product(_ a: [Double], _ b: [Double]) -> Double {
            zip(a, b).reduce(0) { $0 + ($1.0 - mean) * ($1.1 - mean) }
        }
        let length = (product(x, x) * product(y, y)).squareRoot()
        return length > 0 ? product(x, y) / length : nil
    }

    private static func ranks(_ values: [Double]) -> [Double] {
        let order = values.indices.sorted { values[$0] < values[$1] }
        var ranks = values
        var start = 0
        while start < order.count {
            let end = order[start...].firstIndex { values[$0] != values[order[start]] } ?? order.count
            for place in start..<end { ranks[order[place]] = Double(start + end + 1) / 2 }
            start = end
        }
        return ranks
    }
}
