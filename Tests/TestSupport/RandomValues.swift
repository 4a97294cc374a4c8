// Repeatable inputs for tests (SplitMix64: Steele, Lea, Flood 2014).

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct RandomValues: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    package mutating func uniform(_ count: Int, in range: ClosedRange<Float> = -1...1) -> [Float] {
        (0..<count).map { _ in Float.random(in: range, using: &self) }
    }

    package mutating func normal(_ count: Int, deviation: Float = 1) -> [Float] {
        (0..<count).map { _ in
            let radius = sqrt(-2 * log(Double.random(in: 1e-12...1, using: &self)))
            return deviation * Float(radius * cos(2 * .pi * Double.random(in: 0..<1, using: &self)))
        }
    }
}

extension [Float] {
    package var doubles: [Double] { map(Double.init) }
}
