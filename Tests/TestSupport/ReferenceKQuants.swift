// A block of 256 random weights in one of GGUF's k-quants: numbers are drawn and then encoded, so that nothing here decodes.
// w = d·scale·q − dmin·minimum (Q4_K, Q5_K) or d·scale·(q − 32) (Q6_K).

import Kernels
import VulkanCompute

package struct ReferenceKQuants {
    package private(set) var bytes: [UInt8]
    package let values: [Double]

    package init(_ type: Shader.Weight, deviation: Float, random: inout RandomValues) {
        func numbers(_ count: Int, below limit: Int) -> [Int] {
            (0..<count).map { _ in Int.random(in: 0..<limit, using: &random) }
        }
        // Quants average half of their range, scales half of theirs.
        if type == .q6_k {
            let d = Float16(random.normal(1, deviation: deviation / 1500)[0])
            let (quants, scales) = (numbers(256, below: 64), numbers(16, below: 256).map { $0 - 128 })
            values = (0..<256).map { (i: Int) -> Double in
                Double(d) * Double(scales[i / 16] * (quants[i] - 32))
            }
            bytes = Self.encodeQ6(d, quants, scales)
        } else {
            let levels = type == .q5_k ? 32 : 16
            let d = Float16(random.normal(1, deviation: deviation / Float(levels * 20))[0])
            let dmin = Float16(random.normal(1, deviation: deviation / 40)[0])
            let quants = numbers(256, below: levels)
            let (scales, minima) = (numbers(8, below: 64), numbers(8, below: 64))
            values = (0..<256).map { (i: Int) -> Double in
                let product = Double(d) * Double(scales[i / 32] * quants[i])
                return product - Double(dmin) * Double(minima[i / 32])
            }
            bytes = Self.encodeQ45(d, dmin, quants, scales, minima, fifthBits: type == .q5_k)
        }
    }

    private static func encodeQ45(
        _ d: Float16, _ dmin: Float16, _ quants: [Int], _ scales: [Int], _ minima: [Int], fifthBits: Bool
    ) -> [UInt8] {
        var packed = [Int](repeating: 0, count: 12)
        for group in 0..<4 {
            packed[group] = scales[group] | (scales[group + 4] >> 4) << 6
            packed[group + 4] = minima[group] | (minima[group + 4] >> 4) << 6
            packed[group + 8] = scales[group + 4] & 15 | (minima[group + 4] & 15) << 4
        }
        var (high, low) = ([Int](repeating: 0, count: 32), [Int](repeating: 0, count: 128))
        for (i, quant) in quants.enumerated() {
            low[i / 64 * 32 + i % 32] |= (quant & 15) << (i / 32 % 2 * 4)
            high[i % 32] |= (quant >> 4) << (i / 32)
        }
        return halfBytes(d) + halfBytes(dmin) + (packed + (fifthBits ? high : []) + low).map { UInt8($0) }
    }

    private static func encodeQ6(_ d: Float16, _ quants: [Int], _ scales: [Int]) -> [UInt8] {
        var (low, high) = ([Int](repeating: 0, count: 128), [Int](repeating: 0, count: 64))
        for (i, quant) in quants.enumerated() {
            let (half, quarter, l) = (i / 128, i / 32 % 4, i % 32)
            low[half * 64 + quarter % 2 * 32 + l] |= (quant & 15) << (quarter / 2 * 4)
            high[half * 32 + l] |= (quant >> 4) << (quarter * 2)
        }
        return (low + high).map { UInt8($0) } + scales.map { UInt8(bitPattern: Int8($0)) } + halfBytes(d)
    }

    private static func halfBytes(_ half: Float16) -> [UInt8] {
        [UInt8(truncatingIfNeeded: half.bitPattern), UInt8(truncatingIfNeeded: half.bitPattern >> 8)]
    }
}
