// SwiGLU, row gather and scatter, and the dropout mask in plain Swift.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package enum ReferenceSwiGLU {
    static func sigmoid(_ z: Double) -> Double { 1 / (1 + exp(-z)) }

    /// silu(gate)·up
    package static func forward(gate: [Double], up: [Double]) -> [Double] {
        zip(gate, up).map { $0 * sigmoid($0) * $1 }
    }

    /// dup = da·gate·σ,  dgate = da·up·σ·(1 + gate·(1 − σ))
    package static func backward(
        _ da: [Double], gate: [Double], up: [Double]
    ) -> (dgate: [Double], dup: [Double]) {
        let dgate = da.indices.map { i in
            let s = sigmoid(gate[i])
            return da[i] * up[i] * s * (1 + gate[i] * (1 - s))
        }
        return (dgate, da.indices.map { da[$0] * gate[$0] * sigmoid(gate[$0]) })
    }
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
