// How A (R, in) and B (out, R) start. One of them is zero, so that training starts from the pretrained model.
// Init[A] (A random with variance Θ(1/in), B = 0) is stable at larger learning rates than Init[B] (B random with
// variance Θ(1/R), A = 0): Hayou, Ghosh & Yu 2024, The Impact of Initialization on LoRA Finetuning Dynamics.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package enum LoRAInitialization: String, Sendable, CaseIterable {
    /// Init[A], PEFT's default: A ~ U(−1/√in, 1/√in), which is kaiming_uniform(a = √5).
    case kaiming
    /// Init[A], PEFT's `gaussian`: A ~ N(0, 1/R²).
    case gaussian
    /// Init[B]: B ~ U(−1/√R, 1/√R).
    case initB = "init-b"
    /// Init[B]: B ~ N(0, 1/R).
    case initBGaussian = "init-b-gaussian"

    package var summary: String {
        switch self {
        case .kaiming: "Init[A]: A uniform in ±1/√in, B zero (PEFT's default)"
        case .gaussian: "Init[A]: A normal with deviation 1/rank, B zero"
        case .initB: "Init[B]: B uniform in ±1/√rank, A zero"
        case .initBGaussian: "Init[B]: B normal with variance 1/rank, A zero"
        }
    }

    /// Whether A is the matrix that is random.
    package var startsFromA: Bool { self == .kaiming || self == .gaussian }

    /// The values of the matrix that is random, row by row.
    package func values(
        rank: Int, inFeatures: Int, outFeatures: Int, using random: inout RandomNumbers
    ) -> [Float] {
        let count = startsFromA ? rank * inFeatures : outFeatures * rank
        switch self {
        case .kaiming:
            let bound = 1 / Double(inFeatures).squareRoot()
            return (0..<count).map { _ in Float((2 * random.uniform() - 1) * bound) }
        case .gaussian: return (0..<count).map { _ in Float(random.normal() / Double(rank)) }
        case .initB:
            let bound = 1 / Double(rank).squareRoot()
            return (0..<count).map { _ in Float((2 * random.uniform() - 1) * bound) }
        case .initBGaussian:
            return (0..<count).map { _ in Float(random.normal() / Double(rank).squareRoot()) }
        }
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014): small, and the same numbers for a seed on every machine.
package struct RandomNumbers: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// In [0, 1).
    package mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// Mean 0, variance 1 (Box–Muller).
    package mutating func normal() -> Double {
        let radius = (-2 * log(1 - uniform())).squareRoot()
        return radius * cos(2 * .pi * uniform())
    }
}
