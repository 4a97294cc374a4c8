// Rotary position embedding: the table of angles, built by the host, and the rotation of every head of a
// matrix. Frequencies: θ_i = base^(−2i/D), rescaled for contexts longer than trained on.
// Su et al.: RoFormer (2021).

import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// How frequencies are stretched for longer contexts: Hugging Face's `rope_scaling`.
package enum RotaryScaling: Sendable, Equatable {
    case none
    /// Every frequency divided by the factor.
    case linear(factor: Double)
    /// Llama 3: waves longer than `originalContext / lowFrequency` are divided by the factor, those shorter
    /// than `originalContext / highFrequency` are kept, those between are blended.
    case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, originalContext: Double)
}

/// Angles for heads of size D: row p of the table holds cos(p·θ_i), then sin(p·θ_i), each D/2 wide.
package struct RotaryAngles: Sendable {
    package let headSize: Int
    package let frequencies: [Double]

    package init(headSize: Int, base: Double, scaling: RotaryScaling = .none) {
        precondition(headSize > 0 && headSize % 8 == 0, "rotary heads of \(headSize), not a multiple of 8")
        self.headSize = headSize
        frequencies = (0..<headSize / 2).map { index in
            Self.scaled(pow(base, -2 * Double(index) / Double(headSize)), scaling)
        }
    }

    /// Computed in f64 and rounded once.
    package func table(positions: Int) -> [Float] {
        (0..<positions).flatMap { position in
            let angles = frequencies.map { Double(position) * $0 }
            return angles.map { Float(cos($0)) } + angles.map { Float(sin($0)) }
        }
    }

    private static func scaled(_ frequency: Double, _ scaling: RotaryScaling) -> Double {
        switch scaling {
        case .none: return frequency
        case .linear(let factor): return frequency / factor
        case .llama3(let factor, let low, let high, let context):
            let turns = context * frequency / (2 * .pi)  // in the original context
            if turns < low { return frequency / factor }
            if turns > high { return frequency }
            let kept = (turns - low) / (high - low)
            return kept * frequency + (1 - kept) * frequency / factor
        }
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
