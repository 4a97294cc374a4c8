// Causal grouped-query attention in f64, straight from its definition:
// s_ij = cap(scale q_i·k_j), p_ij = softmax_j(s_ij) over the keys that i sees, o_i = Σ_j p_ij v_j.

import Kernels

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct ReferenceAttention: Sendable {
    package let shape: AttentionShape
    /// First key that each query sees, and the last.
    package let seen: [ClosedRange<Int>]
    /// (start, end) of each token, as the kernels read them.
    package let spans: [Int32]
    /// A score of each head that takes its part of the softmax.
    package var sinks: [Double]?

    /// Segments of these lengths, one after the other, of which a query sees the last `window` keys.
    package init(segments: [Int], window: Int = .max, shape: AttentionShape) {
        var seen: [ClosedRange<Int>] = []
        var spans: [Int32] = []
        for length in segments {
            let start = seen.count
            for own in start..<start + length {
                let first = own - start < window ? start : own - window + 1
                let end = start + length - own < window ? start + length : own + window
                seen.append(first...own)
                spans += [Int32(first), Int32(end)]
            }
        }
        (self.shape, self.seen, self.spans) = (shape, seen, spans)
    }

    /// Queries that follow `offset` keys of a cache.
    package init(queries: Int, offset: Int, window: Int = .max, shape: AttentionShape) {
        let all = ReferenceAttention(segments: [offset + queries], window: window, shape: shape)
        self.shape = shape
        seen = Array(all.seen.suffix(queries))
        spans = Array(all.spans.suffix(queries * 2))
    }

    package func forward(q: [Double], k: [Double], v: [Double]) -> (out: [Double], lse: [Double]) {
        var out = [Double](repeating: 0, count: q.count)
        var lse = [Double](repeating: 0, count: seen.count * shape.heads)
        forEachRow { token, head in
            let scores = seen[token].map { score(q, k, token, head, $0).value }
            let all = scores + (sinks.map { [$0[head]] } ?? [])
            let highest = all.max() ?? 0
            let logSum = highest + log(all.reduce(0) { $0 + exp($1 - highest) })
            lse[token * shape.heads + head] = logSum
            for (key, score) in zip(seen[token], scores) {
                let p = exp(score - logSum)
                for d in 0..<shape.headSize { out[query(token, head) + d] += p * v[self.key(key, head) + d] }
            }
        }
        return (out, lse)
    }

    /// dv_j = Σ p do, ds = p (do·v − Σ_j p do·v) cap', dq = scale ds k, dk = scale ds q
    package func backward(
        _ dout: [Double], q: [Double], k: [Double], v: [Double]
    ) -> (dq: [Double], dk: [Double], dv: [Double]) {
        let lse = forward(q: q, k: k, v: v).lse
        var (dq, dk, dv) = (q.map { _ in 0.0 }, k.map { _ in 0.0 }, v.map { _ in 0.0 })
        forEachRow { token, head in
            let own = query(token, head)
            let scores = seen[token].map { score(q, k, token, head, $0) }
            let p = scores.map { exp($0.value - lse[token * shape.heads + head]) }
            let dp = seen[token].map { key in
                (0..<shape.headSize).reduce(0) { $0 + dout[own + $1] * v[self.key(key, head) + $1] }
            }
            let delta = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
            for (index, key) in seen[token].enumerated() {
                let other = self.key(key, head)
                let ds = p[index] * (dp[index] - delta) * scores[index].slope * Double(shape.scale)
                for d in 0..<shape.headSize {
                    dv[other + d] += p[index] * dout[own + d]
                    dq[own + d] += ds * k[other + d]
                    dk[other + d] += ds * q[own + d]
                }
            }
        }
        return (dq, dk, dv)
    }

    private func forEachRow(_ body: (_ token: Int, _ head: Int) -> Void) {
        for token in seen.indices { for head in 0..<shape.heads { body(token, head) } }
    }
    private func query(_ token: Int, _ head: Int) -> Int { (token * shape.heads + head) * shape.headSize }
    private func key(_ token: Int, _ head: Int) -> Int {
        (token * shape.kvHeads + head / (shape.heads / shape.kvHeads)) * shape.headSize
    }

    /// A score, and its slope by what it was before the cap.
    private func score(
        _ q: [Double], _ k: [Double], _ token: Int, _ head: Int, _ key: Int
    ) -> (value: Double, slope: Double) {
        let (own, other) = (query(token, head), self.key(key, head))
        let product = (0..<shape.headSize).reduce(0) { $0 + q[own + $1] * k[other + $1] }
        let score = product * Double(shape.scale)
        guard let cap = shape.scoreCap.map(Double.init) else { return (score, 1) }
        let bent = tanh(score / cap)
        return (cap * bent, 1 - bent * bent)
    }
}
