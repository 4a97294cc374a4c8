// Routing to experts, sorting by them, and their sums, in plain Swift.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct ReferenceRouting {
    package let experts: Int
    package let used: Int
    package let renormalises: Bool

    package init(experts: Int, used: Int, renormalises: Bool) {
        (self.experts, self.used, self.renormalises) = (experts, used, renormalises)
    }

    /// Of a token's logits: those of the largest, of equal ones the first.
    package func chosen(_ logits: [Double]) -> [Int] {
        Array((0..<experts).sorted { (logits[$1], $0) < (logits[$0], $1) }.prefix(used))
    }

    package func scores(_ logits: [Double]) -> [Double] {
        let (chosen, largest) = (chosen(logits), logits.max() ?? 0)
        let of = renormalises ? chosen : Array(0..<experts)
        let sum = of.reduce(0) { $0 + exp(logits[$1] - largest) }
        return chosen.map { exp(logits[$0] - largest) / sum }
    }

    /// Gradient of the logits.
    package func backward(_ dscores: [Double], _ logits: [Double]) -> [Double] {
        let (chosen, scores) = (chosen(logits), scores(logits))
        let largest = logits.max() ?? 0
        let sum = logits.reduce(0) { $0 + exp($1 - largest) }
        let mean = zip(scores, dscores).reduce(0) { $0 + $1.0 * $1.1 }
        var gradient = logits.map { renormalises ? 0 : -mean * exp($0 - largest) / sum }
        for (index, expert) in chosen.enumerated() {
            gradient[expert] = scores[index] * (dscores[index] - mean)
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
