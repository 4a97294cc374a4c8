// Activations, row gather and scatter, and the dropout mask in plain Swift.

import Kernels
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package enum ReferenceActivation {
    package static func value(_ function: Shader.Activation, _ x: Double) -> Double {
        switch function {
        case .silu: x * sigmoid(x)
        case .gelu: x * normal(x)
        case .geluTanh: 0.5 * x * (1 + tanh(inner(x)))
        case .relu2: x > 0 ? x * x : 0
        case .clamped: min(x, 7) * sigmoid(1.702 * min(x, 7))
        }
    }

    package static func slope(_ function: Shader.Activation, _ x: Double) -> Double {
        switch function {
        case .silu: return sigmoid(x) * (1 + x * (1 - sigmoid(x)))
        case .gelu: return normal(x) + x * exp(-x * x / 2) / (2 * .pi).squareRoot()
        case .geluTanh:
            let t = tanh(inner(x))
            // Where 1 − t² is 0 its factor may be too large a number.
            guard t * t < 1 else { return 0.5 * (1 + t) }
            let innerSlope = (2 / .pi).squareRoot() * (1 + 3 * 0.044715 * x * x)
            return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * innerSlope
        case .relu2: return x > 0 ? 2 * x : 0
        case .clamped:
            let p = sigmoid(1.702 * x)
            return x > 7 ? 0 : p * (1 + 1.702 * x * (1 - p))
        }
    }

    /// What f(x) is multiplied by, of a gate's other factor.
    package static func factor(_ function: Shader.Activation, _ gate: Double) -> Double {
        function == .clamped ? min(max(gate, -7), 7) + 1 : gate
    }

    private static func factorSlope(_ function: Shader.Activation, _ gate: Double) -> Double {
        function == .clamped && abs(gate) > 7 ? 0 : 1
    }

    /// f(x)·gate, of the clamped gate's factor
    package static func forward(_ function: Shader.Activation, _ x: [Double], gate: [Double]) -> [Double] {
        zip(x, gate).map { value(function, $0) * factor(function, $1) }
    }

    /// dx = da·gate·f′(x),  dgate = da·f(x), and of a clamped gate by its factor and slope
    package static func backward(
        _ function: Shader.Activation, _ da: [Double], x: [Double], gate: [Double]
    ) -> (dx: [Double], dgate: [Double]) {
        (
            da.indices.map { da[$0] * factor(function, gate[$0]) * slope(function, x[$0]) },
            da.indices.map { da[$0] * value(function, x[$0]) * factorSlope(function, gate[$0]) }
        )
    }

    private static func sigmoid(_ z: Double) -> Double { 1 / (1 + exp(-z)) }
    private static func normal(_ x: Double) -> Double { 0.5 * erfc(-x / 2.0.squareRoot()) }
    private static func inner(_ x: Double) -> Double { (2 / .pi).squareRoot() * (x + 0.044715 * x * x * x) }
}

package enum ReferenceRows {
    /// y[i] = x[index[i]]; zeros where the index is outside x.
    package static func gather(_ x: [Double], width: Int, index: [Int32]) -> [Double] {
        let source = rows(x, width: width)
        return index.flatMap { source.indices.contains(Int($0)) ? Array(source[Int($0)]) : zeros(width) }
    }

    /// y[index[i]] = x[i], zeros elsewhere; an index outside y is ignored.
    package static func scatter(_ x: [Double], width: Int, index: [Int32], rows count: Int) -> [Double] {
        var result = [[Double]](repeating: zeros(width), count: count)
        for (row, destination) in zip(rows(x, width: width), index)
        where result.indices.contains(Int(destination)) {
            result[Int(destination)] = Array(row)
        }
        return result.flatMap { $0 }
    }

    private static func zeros(_ width: Int) -> [Double] { [Double](repeating: 0, count: width) }
}

package enum ReferenceRandom {
    /// Philox4x32-10 as its paper defines it.
    package static func philox(_ counter: [UInt32], key: [UInt32]) -> [UInt32] {
        var (c, k) = (counter, key)
        for _ in 0..<10 {
            let (a, b) = (UInt64(c[0]) * 0xD251_1F53, UInt64(c[2]) * 0xCD9E_8D57)
            c = [
                UInt32(b >> 32) ^ c[1] ^ k[0], UInt32(truncatingIfNeeded: b),
                UInt32(a >> 32) ^ c[3] ^ k[1], UInt32(truncatingIfNeeded: a),
            ]
            k = [k[0] &+ 0x9E37_79B9, k[1] &+ 0xBB67_AE85]
        }
        return c
    }

    /// Which of `count` elements dropout keeps.
    package static func kept(
        _ count: Int, probability: Double, seed: UInt64, pass: UInt32, layer: UInt32, site: UInt32
    ) -> [Bool] {
        let threshold = UInt32(min(probability * 4_294_967_296, 4_294_967_295))
        let key = [UInt32(truncatingIfNeeded: seed), UInt32(seed >> 32)]
        return (0..<count).map { i in
            philox([UInt32(i / 4), site, layer, pass], key: key)[i % 4] >= threshold
        }
    }
}
