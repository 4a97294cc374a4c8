// Rotary embedding in f64: pair j of every head turned by position · ω_j, and scaled.

import Kernels

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct ReferenceRotary: Sendable {
    /// Of R/2 pairs.
    package let angles: RotaryAngles
    package let headSize: Int
    package let isInterleaved: Bool

    package init(_ angles: RotaryAngles, headSize: Int? = nil, isInterleaved: Bool = false) {
        self.angles = angles
        self.headSize = headSize ?? 2 * angles.frequencies.count
        self.isInterleaved = isInterleaved
    }

    /// `x` (positions, heads·D), each row scaled by its own `factor` too.
    package func rotate(
        _ x: [Double], positions: [Int32], inverse: Bool = false, factor: (Int) -> Double = { _ in 1 }
    ) -> [Double] {
        let pairs = angles.frequencies.count
        let heads = positions.isEmpty ? 0 : x.count / headSize / positions.count
        var y = x
        for (row, position) in positions.enumerated() {
            let scale = angles.scale * factor(Int(position))
            for head in 0..<heads {
                let start = (row * heads + head) * headSize
                for (j, frequency) in angles.frequencies.enumerated() {
                    let first = start + (isInterleaved ? 2 * j : j)
                    let second = first + (isInterleaved ? 1 : pairs)
                    let angle = Double(position) * frequency
                    let (cosine, sine) = (scale * cos(angle), scale * sin(angle) * (inverse ? -1 : 1))
                    y[first] = x[first] * cosine - x[second] * sine
                    y[second] = x[second] * cosine + x[first] * sine
                }
            }
        }
        return y
    }
}
