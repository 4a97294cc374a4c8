// Rotary position embedding: the table of angles, built by the host, and the rotation of every head of a
// matrix. Frequencies: θ_i = base^(−2i/D), rescaled for contexts longer than trained on.
// Su et al.: RoFormer (2021).

import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Angles of positions: row p holds cos(p·ω_j) of every rotary pair j, then sin(p·ω_j).
package struct RotaryAngles: Sendable {
    package let frequencies: [Double]

    package init(frequencies: [Double]) { self.frequencies = frequencies }

    /// Without a scaling rule: ω_j = base^(−2j/D).
    package init(headSize: Int, base: Double) {
        frequencies = (0..<headSize / 2).map { pow(base, -2 * Double($0) / Double(headSize)) }
    }

    /// (positions, D), computed in f64 and rounded once.
    package func table(positions: Int) -> [Float] {
        var table: [Float] = []
        table.reserveCapacity(positions * frequencies.count * 2)
        for position in 0..<positions {
            let angles = frequencies.map { Double(position) * $0 }
            table += angles.map { Float(cos($0)) }
            table += angles.map { Float(sin($0)) }
        }
        return table
    }
}

extension CommandEncoder {
    /// Rotates every head of `x` (N, heads·D) by its token's position; `y` may be `x`. `positions` (N) of ints,
    /// `table` (P, D) from RotaryAngles. `inverse` rotates back, which is the backward too.
    package func rotary(
        into y: Tensor, _ x: Tensor, positions: Tensor, table: Tensor, inverse: Bool = false,
        label: String = "rotary"
    ) throws(VulkanError) {
        let headSize = table.width
        precondition(
            headSize % 8 == 0 && x.width % headSize == 0 && y.shape == x.shape && positions.count == x.rows
                && positions.dtype == .i32 && table.rows > 0,
            "\(label): \(x.shape) into \(y.shape) by positions \(positions.shape) of a table \(table.shape)")
        let direction: Float = inverse ? -1 : 1
        for span in capabilities.spans(of: x.rows, rowByteCounts: [x.width * 4, 4], family: family) {
            try dispatch(
                Shader.rotary(family: family == .texel ? .texel : .shared),
                [y.rows(span), x.rows(span), table, positions.elements(span)].map(\.slice),
                push: [x.width / headSize, table.rows - 1, direction],
                specialization: ["LANES": UInt32(capabilities.lanes(family)), "HEAD_SIZE": UInt32(headSize)],
                groups: span.count, label: label)
        }
    }
}
