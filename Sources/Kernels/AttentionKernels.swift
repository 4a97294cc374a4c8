// Causal grouped-query attention over a flat list of tokens, and its backward. Query i sees the keys of its span up to
// its own: spans[i].start ≤ j ≤ i. Key j is seen by the queries i < spans[j].end. A whole segment as the span is full
// attention; a window of W tokens is the span [max(start, i − W + 1), min(end, i + W)) of token i, and costs nothing else.

import VulkanCompute

extension CommandEncoder {
    /// `out`, `q` (N, heads·D); `lse` (N, heads), the log of each softmax's denominator, for the backward;
    /// `k`, `v` (S, kvHeads·D); `spans` (N, 2) of ints, in places of the keys. Starts do not decrease along the
    /// list. Key i is query i's own, or key i + `keyOffset[0]` where the keys are a cache. `sinks` (heads) are scores that take
    /// their part of each softmax and have no value.
    package func attention(
        into out: Tensor, lse: Tensor, q: Tensor, k: Tensor, v: Tensor, spans: Tensor, shape: AttentionShape,
        keyOffset: Tensor? = nil, sinks: Tensor? = nil, label: String = "attention"
    ) throws(VulkanError) {
        guard let sinks, q.rows > 0 else {
            return try keyedAttention(into: out, lse: lse, q, k, v, spans, shape, keyOffset, label)
        }
        let keyLse = try takeScratch([q.rows, shape.heads])
        try keyedAttention(into: out, lse: keyLse, q, k, v, spans, shape, keyOffset, label)
        try addSinks(sinks, to: out, lse: lse, keyLse, shape, label)
        giveScratch(keyLse)
    }

    private func addSinks(
        _ sinks: Tensor, to out: Tensor, lse: Tensor, _ keyLse: Tensor, _ shape: AttentionShape,
        _ label: String
    ) throws(VulkanError) {
        precondition(
            sinks.count == shape.heads && lse.count == keyLse.count,
            "\(label): sinks \(sinks.shape) of \(shape)")
        let (family, stripe) = (family == .texel ? Shader.Family.texel : .shared, stripe)
        for span in capabilities.spans(of: out.rows, rowByteCounts: [out.width * 4], family: self.family) {
            let (part, count) = (out.rows(span), span.count * out.width / 4)
            try dispatch(
                Shader.attentionSink(family: family), [part, lse, part, keyLse, sinks].map(\.slice),
                push: [count, shape.heads, span.lowerBound * shape.heads],
                specialization: stripe.constants.merging(["HEAD_SIZE": UInt32(shape.headSize)]) { $1 },
                groups: stripe.groups(count), label: "\(label) sinks")
        }
    }

    private func keyedAttention(
        into out: Tensor, lse: Tensor, _ q: Tensor, _ k: Tensor, _ v: Tensor, _ spans: Tensor,
        _ shape: AttentionShape, _ keyOffset: Tensor?, _ label: String
    ) throws(VulkanError) {
        let work = AttentionWork(shape, q: q, k: k, spans: spans, label)
        guard q.rows > 0 else { return }
        precondition(
            keyOffset != nil || k.rows == q.rows,
            "\(label): \(q.rows) queries of \(k.rows) keys without a keyOffset")
        work.check(queries: [out], keys: [v], columns: [lse], label)
        let family = work.family(self, [q, k, v])
        // Few queries leave most lanes of the tiled kernel without a row: share out the keys instead.
        let few = work.queryRows < capabilities.lanes(family)
        let tile = AttentionTile(few ? .decode : .forward, headSize: shape.headSize, family, capabilities)
        let shader: Shader =
            switch (family, few) {
            case (.shared, true): .attentionDecodeShared()
            case (.shared, false): .attentionShared()
            case (_, true): .attentionDecode(family: family)
            case (_, false): .attention(family: family)
            }
        let inputs = [q, k, v, spans, keyOffset ?? spans].map(\.slice)
        let push: [any PushWord] = [q.rows, k.rows, shape.kvHeads, keyOffset != nil, shape.scale]
        let rows = q.rows * shape.heads
        func run(into out: Tensor, _ lse: Tensor, _ more: [any PushWord], groups: Int) throws(VulkanError) {
            try dispatch(
                shader, [out.slice, lse.slice] + inputs, push: push + more,
                specialization: work.constants(tile), groups: groups,
                possibleFlops: work.flops(products: 2), label: label)
        }
        guard few else {
            return try run(
                into: out, lse, [], groups: shape.kvHeads * tile.workgroups(rows: work.queryRows))
        }
        guard family == .shared else { return try run(into: out, lse, [], groups: rows) }
        let parts = KernelSelection.parts(
            groups: rows, byteCount: out.byteCount, atMost: k.rows / tile.tripRows, capabilities)
        guard parts > 1 else { return try run(into: out, lse, [1], groups: rows) }
        let (sums, tops) = (
            try takeScratch([rows * parts, shape.headSize]), try takeScratch([rows * parts, 2])
        )
        try run(into: sums, tops, [parts], groups: rows * parts)
        let lanes = capabilities.lanes(family)
        try dispatch(
            Shader.attentionMerge(), [out, lse, sums, tops].map(\.slice), push: [rows, parts],
            specialization: ["LANES": UInt32(lanes), "HEAD_SIZE": UInt32(shape.headSize)],
            groups: (rows * shape.headSize / 4 + lanes - 1) / lanes, label: "\(label), parts")
        giveScratch(sums, tops)
    }

    /// The gradients of a training forward (N queries of the same N keys), from the gradient of `out`.
    /// `delta` (N, heads) is scratch. Ends do not decrease along the list either.
    package func attentionBackward(
        intoQ dq: Tensor, k dk: Tensor, v dv: Tensor, delta: Tensor, _ dout: Tensor, out: Tensor, lse: Tensor,
        q: Tensor, k: Tensor, v: Tensor, spans: Tensor, shape: AttentionShape,
        label: String = "attentionBackward"
    ) throws(VulkanError) {
        let work = AttentionWork(shape, q: q, k: k, spans: spans, label)
        guard q.rows > 0 else { return }
        precondition(k.rows == q.rows, "\(label): \(q.rows) queries of \(k.rows) keys")
        work.check(queries: [dq, dout, out], keys: [dk, dv, v], columns: [lse, delta], label)
        let family = work.family(self, [dout, out, q, k, v])
        let push: [any PushWord] = [q.rows, shape.kvHeads, shape.scale]
        let queries = AttentionTile(.backwardQ, headSize: shape.headSize, family, capabilities)
        try dispatch(
            family == .shared ? Shader.attentionBackwardQShared() : Shader.attentionBackwardQ(family: family),
            [dq, delta, dout, out, lse, q, k, v, spans].map(\.slice),
            push: push, specialization: work.constants(queries),
            groups: shape.kvHeads * queries.workgroups(rows: work.queryRows),
            possibleFlops: work.flops(products: 3), label: "\(label) q")
        let keys = AttentionTile(.backwardKV, headSize: shape.headSize, family, capabilities)
        let groups = shape.kvHeads * keys.workgroups(rows: k.rows)
        func run(into dk: Tensor, _ dv: Tensor, _ more: [any PushWord], parts: Int = 1) throws(VulkanError) {
            try dispatch(
                family == .shared
                    ? Shader.attentionBackwardKvShared() : Shader.attentionBackwardKv(family: family),
                [dk, dv, dout, lse, delta, q, k, v, spans].map(\.slice),
                push: push + more, specialization: work.constants(keys), groups: groups * parts,
                possibleFlops: work.flops(products: 4), label: "\(label) kv")
        }
        guard family == .shared else { return try run(into: dk, dv, []) }
        let parts = KernelSelection.parts(
            groups: groups, byteCount: dk.byteCount, atMost: work.queryRows / keys.workgroupRows, capabilities
        )
        guard parts > 1 else { return try run(into: dk, dv, [1]) }
        let (keySums, valueSums) = (
            try takeScratch([parts * dk.rows, dk.width]), try takeScratch([parts * dv.rows, dv.width])
        )
        try run(into: keySums, valueSums, [parts], parts: parts)
        try addParts(keySums, count: parts, into: dk, label: "\(label) k")
        try addParts(valueSums, count: parts, into: dv, label: "\(label) v")
        giveScratch(keySums, valueSums)
    }
}
