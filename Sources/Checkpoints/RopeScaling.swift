// Rotary position embedding: the angle of pair j at position p is p·ω_j, ω_j = θ^(−2j/D), changed by a
// scaling rule. Llama 3's rule keeps short wavelengths, divides long ones by `factor` and blends between
// (Llama 3.1 model card).

import Glibc

package enum RopeScaling: Sendable, Equatable {
    case none
    case linear(factor: Double)
    case llama3(
        factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalMaxPositions: Int)
    /// Each ω_j is divided by its own factor, as GGUF stores the rule of Llama 3 (`rope_freqs.weight`).
    case divisors([Float])

    package func inverseFrequencies(theta: Double, headDim: Int) -> [Double] {
        let plain = (0..<headDim / 2).map { pow(theta, -2 * Double($0) / Double(headDim)) }
        switch self {
        case .none: return plain
        case .linear(let factor): return plain.map { $0 / factor }
        case .divisors(let divisors): return zip(plain, divisors).map { $0 / Double($1) }
        case .llama3(let factor, let low, let high, let originalMaxPositions):
            return plain.map { frequency in
                let turns = Double(originalMaxPositions) * frequency / (2 * .pi)
                if turns < low { return frequency / factor }
                if turns > high { return frequency }
                let smooth = (turns - low) / (high - low)
                return (1 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }
}
