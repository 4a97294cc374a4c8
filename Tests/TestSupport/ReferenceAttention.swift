// Causal grouped-query attention in f64, straight from its definition:
// p_ij = softmax_j(q_i·k_j / √D) over start_i ≤ j ≤ i, o_i = Σ_j p_ij v_j.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct ReferenceAttention: Sendable {
    package let heads: Int
    package let kvHeads: Int
    package let headSize: Int
    /// First key that each query sees, and the last.
    package let seen: [ClosedRange<Int>]

    /// Segments of these lengths, one after the other.
    package init(segments: [Int], heads: Int, kvHeads: Int, headSize: Int) {
        var seen: [ClosedRange<Int>] = []
        for length in segments {
            let start = seen.count
            seen += (start..<start + length).map { start...$0 }
        }
        self.init(seen: seen, heads: heads, kvHeads: kvHeads, headSize: headSize)
    }

    /// Queries that follow `offset` keys of a cache.
    package init(queries: Int, offset: Int, heads: Int, kvHeads: Int, headSize: Int) {
        self.init(
            seen: (0..<queries).map { 0...$0 + offset }, heads: heads, kvHeads: kvHeads, headSize: headSize)
    }

    private init(seen: [ClosedRange<Int>], heads: Int, kvHeads: Int, headSize: Int) {
        (self.seen, self.heads, self.kvHeads, self.headSize) = (seen, heads, kvHeads, headSize)
    }

    /// (start, end) of each token's segment, as the kernels read them.
    package var spans: [Int32] {
        seen.flatMap { own in
            let last = seen.lastIndex { $0.lowerBound == own.lowerBound } ?? own.upperBound
            return [Int32(own.lowerBound), Int32(last + 1)]
        }
    }

    package func forward(q: [Double], k: [Double], v: [Double]) -> (out: [Double], lse: [Double]) {
        var out = [Double](repeating: 0, count: q.count)
        var lse = [Double](repeating: 0, count: seen.count * heads)
        forEachRow { token, head in
            let scores = seen[token].map { score(q, k, token, head, $0) }
            let highest = scores.max() ?? 0
            let logSum = highest + log(scores.reduce(0) { $0 + exp($1 - highest) })
            lse[token * heads + head] = logSum
            for (key, score) in zip(seen[token], scores) {
                let p = exp(score - logSum)
                for d in 0..<headSize { out[query(token, head) + d] += p * v[self.key(key, head) + d] }
            }
        }
        return (out, lse)
    }

    /// dv_j = Σ p do, ds = p (do·v − Σ_j p do·v), dq = ds k / √D, dk = ds q / √D
    package func backward(
        _ dout: [Double], q: [Double], k: [Double], v: [Double]
    ) -> (dq: [Double], dk: [Double], dv: [Double]) {
        let lse = forward(q: q, k: k, v: v).lse
        var (dq, dk, dv) = (q.map { _ in 0.0 }, k.map { _ in 0.0 }, v.map { _ in 0.0 })
        forEachRow { token, head in
            let own = query(token, head)
            let p = seen[token].map { exp(score(q, k, token, head, $0) - lse[token * heads + head]) }
            let dp = seen[token].map { key in
                (0..<headSize).reduce(0) { $0 + dout[own + $1] * v[self.key(key, head) + $1] }
            }
            let delta = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
            for (index, key) in seen[token].enumerated() {
                let other = self.key(key, head)
                let ds = p[index] * (dp[index] - delta) / Double(headSize).squareRoot()
                for d in 0..<headSize {
                    dv[other + d] += p[index] * dout[own + d]
                    dq[own + d] += ds * k[other + d]
                    dk[other + d] += ds * q[own + d]
                }
            }
        }
        return (dq, dk, dv)
    }

    private func forEachRow(_ body: (_ token: Int, _ head: Int) -> Void) {
        for token in seen.indices { for head in 0..<heads { body(token, head) } }
    }
    private func query(_ token: Int, _ head: Int) -> Int { (token * heads + head) * headSize }
    private func key(_ token: Int, _ head: Int) -> Int {
        (token * kvHeads + head / (heads / kvHeads)) * headSize
    }
    private func score(_ q: [Double], _ k: [Double], _ token: Int, _ head: Int, _ key: Int) -> Double {
        let (own, other) = (query(token, head), self.key(key, head))
        return (0..<headSize).reduce(0) { $0 + q[own + $1] * k[other + $1] } / Double(headSize).squareRoot()
    }
}
