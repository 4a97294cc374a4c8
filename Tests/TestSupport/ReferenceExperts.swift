// Routing to experts, sorting by them, and their sums, in plain Swift.

import Kernels

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct ReferenceRouting {
    package let used: Int
    package let scores: ExpertRouting.Scores
    /// Zeros where there is none.
    package let bias: [Double]

    package init(used: Int, _ scores: ExpertRouting.Scores, bias: [Double]) {
        (self.used, self.scores, self.bias) = (used, scores, bias)
    }

    private func sigmoid(_ logit: Double) -> Double { 1 / (1 + exp(-logit)) }

    /// Of a token's logits: those of the largest, of equal ones the first.
    package func chosen(_ logits: [Double]) -> [Int] {
        var values = logits
        if case .sigmoid = scores { values = logits.map(sigmoid) }
        values = zip(values, bias).map { $0 + $1 }
        return Array(values.indices.sorted { (values[$1], $0) < (values[$0], $1) }.prefix(used))
    }

    package func scores(_ logits: [Double]) -> [Double] { scores(logits, of: chosen(logits)) }

    /// As functions of the logits, with the choice as it is.
    package func scores(_ logits: [Double], of chosen: [Int]) -> [Double] {
        switch scores {
        case .softmax(let ofChosen):
            let largest = logits.max() ?? 0
            let sum = (ofChosen ? chosen : Array(logits.indices)).reduce(0) { $0 + exp(logits[$1] - largest) }
            return chosen.map { exp(logits[$0] - largest) / sum }
        case .sigmoid(let isNormalised, let scale):
            let sum = isNormalised ? chosen.reduce(1e-6) { $0 + sigmoid(logits[$1]) } : 1
            return chosen.map { Double(scale) * sigmoid(logits[$0]) / sum }
        }
    }

    /// Gradient of the logits.
    package func backward(_ dscores: [Double], _ logits: [Double]) -> [Double] {
        let (chosen, scores) = (chosen(logits), scores(logits))
        let mean = zip(scores, dscores).reduce(0) { $0 + $1.0 * $1.1 }
        var gradient = [Double](repeating: 0, count: logits.count)
        switch self.scores {
        case .softmax(let ofChosen):
            let largest = logits.max() ?? 0
            let sum = logits.reduce(0) { $0 + exp($1 - largest) }
            if !ofChosen { gradient = logits.map { -mean * exp($0 - largest) / sum } }
            for (index, expert) in chosen.enumerated() {
                gradient[expert] = scores[index] * (dscores[index] - mean)
            }
        case .sigmoid(let isNormalised, let scale):
            let sum = chosen.reduce(1e-6) { $0 + sigmoid(logits[$1]) }
            for (index, expert) in chosen.enumerated() {
                let (g, own) = (sigmoid(logits[expert]), Double(scale) * dscores[index])
                gradient[expert] = (isNormalised ? (own - mean) / sum : own) * g * (1 - g)
            }
        }
        return gradient
    }
}

/// A stable sort of slots by their experts.
package struct ReferenceSlots {
    package let order: [Int]
    package let places: [Int]

    package init(_ experts: [Int]) {
        order = experts.indices.sorted { (experts[$0], $0) < (experts[$1], $1) }
        var places = [Int](repeating: 0, count: experts.count)
        for (place, slot) in order.enumerated() { places[slot] = place }
        self.places = places
    }
}
