// Repeatable inputs for tests.

import LoRAVK

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct RandomValues: RandomNumberGenerator {
    private var numbers: RandomNumbers

    package init(seed: UInt64) { numbers = RandomNumbers(seed: seed) }

    package mutating func next() -> UInt64 { numbers.next() }

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
