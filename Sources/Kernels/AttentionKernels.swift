// Causal grouped-query attention over a flat list of tokens, and its backward. Query i sees the keys of its span up to
// its own: spans[i].start ≤ j ≤ i. Key j is seen by the queries i < spans[j].end. A whole segment as the span is full
// attention; a window of W tokens is the span [max(start, i − W + 1), min(end, i + W)) of token i, and costs nothing else.

import VulkanCompute

extension CommandEncoder {
    /// `out`, `q` (N, heads·D); `lse` (N, heads), the log of each softmax's denominator, for the backward;
    /// `k`, `v` (S, kvHeads·D); `spans` (N, 2) of ints, in places of the keys. Starts do not decrease along the
    /// list. Key i is query i's own, or key i + `keyOffset[0]` where the keys are a cache.
    package func attention(
        into out: Tensor, lse: Tensor, q: Tensor, k: Tensor, v: Tensor, spans: Tensor, shape: AttentionShape,
        keyOffset: Tensor? = nil, label: String = "attention"
    ) throws(VulkanError) {
        let work = AttentionWork(shape, q: q, k: k, spans: spans, label)
        precondition(
            keyOffset != nil || k.rows == q.rows,
            "\(label): \(q.rows) queries of \(k.rows) keys without a keyOffset")
        work.check(queries: [out], keys: [v], columns: [lse], label)
        let family = work.family(self, [q, k, v])
        let lanes = capabilities.lanes(family)
        // Few queries leave most lanes of the tiled kernel without a row: share out the keys instead.
        let few = work.queryRows < lanes
        let tile = AttentionTile(forward: shape.headSize, family, capabilities)
        let constants = few ? work.constants(lanes: lanes) : work.constants(tile, lanes: lanes)
        try dispatch(
            few ? Shader.attentionDecode(family: family) : Shader.attention(family: family),
            [out, lse, q, k, v, spans, keyOffset ?? spans].map(\.slice),
            push: [q.rows, k.rows, shape.kvHeads, keyOffset != nil, shape.scale], specialization: constants,
            groups: few
                ? q.rows * shape.heads : shape.kvHeads * tile.workgroups(rows: work.queryRows, lanes: lanes),
            possibleFlops: work.flops(products: 2), label: label)
    }

    /// The gradients of a training forward (N queries of the same N keys), from the gradient of `out`.
    /// `delta` (N, heads) is scratch. Ends do not decrease along the list either.
    package func attentionBackward(
        intoQ dq: Tensor, k dk: Tensor, v dv: Tensor, delta: Tensor, _ dout: Tensor, out: Tensor, lse: Tensor,
        q: Tensor, k: Tensor, v: Tensor, spans: Tensor, shape: AttentionShape,
        label: String = "attentionBackward"
    ) throws(VulkanError) {
        let work = AttentionWork(shape, q: q, k: k, spans: spans, label)
        precondition(k.rows == q.rows, "\(label): \(q.rows) queries of \(k.rows) keys")
        work.check(queries: [dq, dout, out], keys: [dk, dv, v], columns: [lse, delta], label)
        let family = work.family(self, [dout, out, q, k, v])
        let lanes = capabilities.lanes(family)
        let tile = AttentionTile(backward: shape.headSize, family, capabilities)
        let constants = work.constants(tile, lanes: lanes)
        let push: [any PushWord] = [q.rows, shape.kvHeads, shape.scale]
        try dispatch(
            Shader.attentionBackwardQ(family: family),
            [dq, delta, dout, out, lse, q, k, v, spans].map(\.slice),
            push: push, specialization: constants,
            groups: shape.kvHeads * tile.workgroups(rows: work.queryRows, lanes: lanes),
            possibleFlops: work.flops(products: 3), label: "\(label) q")
        try dispatch(
            Shader.attentionBackwardKv(family: family),
            [dk, dv, dout, lse, delta, q, k, v, spans].map(\.slice),
            push: push, specialization: constants,
            groups: shape.kvHeads * tile.workgroups(rows: k.rows, lanes: lanes),
            possibleFlops: work.flops(products: 4), label: "\(label) kv")
    }
}
