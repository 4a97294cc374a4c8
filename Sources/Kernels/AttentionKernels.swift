// Causal grouped-query attention over a flat list of tokens, and its backward. Query i sees the keys of its
// segment up to its own: spans[i].start ≤ j ≤ i. Query head h uses key/value head h / (heads / kvHeads);
// scores are scaled by 1/√D.

import VulkanCompute

extension CommandEncoder {
    /// `out`, `q` (N, heads·D); `lse` (N, heads), the log of each softmax's denominator, for the backward;
    /// `k`, `v` (S, kvHeads·D); `spans` (N, 2) of ints: where in the keys the segment of each query starts and
    /// ends. Starts do not decrease along the list. Key i is query i's own, or key i + `keyOffset[0]` where the
    /// keys are a cache.
    package func attention(
        into out: Tensor, lse: Tensor, q: Tensor, k: Tensor, v: Tensor, spans: Tensor, heads: Int,
        kvHeads: Int,
        keyOffset: Tensor? = nil, label: String = "attention"
    ) throws(VulkanError) {
        let shape = AttentionShape(q: q, k: k, spans: spans, heads: heads, kvHeads: kvHeads, label)
        precondition(
            keyOffset != nil || k.rows == q.rows,
            "\(label): \(q.rows) queries of \(k.rows) keys without a keyOffset")
        shape.check(queries: [out], keys: [v], columns: [lse], label)
        let family = shape.family(self, [q, k, v])
        let lanes = capabilities.lanes(family)
        // Few queries leave most lanes of the tiled kernel without a row: share out the keys instead.
        let few = q.rows * shape.groupSize < lanes
        let tile = AttentionTile(forward: shape.headSize, family, capabilities)
        let constants = few ? shape.constants(lanes: lanes) : shape.constants(tile, lanes: lanes)
        try dispatch(
            few ? Shader.attentionDecode(family: family) : Shader.attention(family: family),
            [out, lse, q, k, v, spans, keyOffset ?? spans].map(\.slice),
            push: [q.rows, k.rows, kvHeads, keyOffset != nil, shape.scale], specialization: constants,
            groups: few
                ? q.rows * heads : kvHeads * tile.workgroups(rows: q.rows * shape.groupSize, lanes: lanes),
            possibleFlops: shape.flops(products: 2), label: label)
    }

    /// The gradients of a training forward (N queries of the same N keys), from the gradient of `out`.
    /// `delta` (N, heads) is scratch. Ends do not decrease along the list either.
    package func attentionBackward(
        intoQ dq: Tensor, k dk: Tensor, v dv: Tensor, delta: Tensor, _ dout: Tensor, out: Tensor, lse: Tensor,
        q: Tensor, k: Tensor, v: Tensor, spans: Tensor, heads: Int, kvHeads: Int,
        label: String = "attentionBackward"
    ) throws(VulkanError) {
        let shape = AttentionShape(q: q, k: k, spans: spans, heads: heads, kvHeads: kvHeads, label)
        precondition(k.rows == q.rows, "\(label): \(q.rows) queries of \(k.rows) keys")
        shape.check(queries: [dq, dout, out], keys: [dk, dv, v], columns: [lse, delta], label)
        let family = shape.family(self, [dout, out, q, k, v])
        let lanes = capabilities.lanes(family)
        let tile = AttentionTile(backward: shape.headSize, family, capabilities)
        let constants = shape.constants(tile, lanes: lanes)
        let push: [any PushWord] = [q.rows, kvHeads, shape.scale]
        try dispatch(
            Shader.attentionBackwardQ(family: family),
            [dq, delta, dout, out, lse, q, k, v, spans].map(\.slice),
            push: push, specialization: constants,
            groups: kvHeads * tile.workgroups(rows: q.rows * shape.groupSize, lanes: lanes),
            possibleFlops: shape.flops(products: 3), label: "\(label) q")
        try dispatch(
            Shader.attentionBackwardKv(family: family),
            [dk, dv, dout, lse, delta, q, k, v, spans].map(\.slice),
            push: push, specialization: constants,
            groups: kvHeads * tile.workgroups(rows: k.rows, lanes: lanes),
            possibleFlops: shape.flops(products: 4), label: "\(label) kv")
    }
}

private struct AttentionShape {
    let queries: Int
    let keys: Int
    let heads: Int
    let kvHeads: Int
    let headSize: Int

    init(q: Tensor, k: Tensor, spans: Tensor, heads: Int, kvHeads: Int, _ label: String) {
        precondition(
            heads > 0 && kvHeads > 0 && heads % kvHeads == 0 && q.width % (heads * 4) == 0,
            "\(label): q \(q.shape) as \(heads) heads over \(kvHeads)")
        headSize = q.width / heads
        precondition(headSize <= 256, "\(label): heads of \(headSize), at most 256")
        precondition(
            spans.dtype == .i32 && spans.count == q.rows * 2,
            "\(label): spans \(spans.shape) of \(q.rows) queries")
        (queries, keys, self.heads, self.kvHeads) = (q.rows, k.rows, heads, kvHeads)
        check(queries: [q], keys: [k], columns: [], label)
    }

    func check(queries: [Tensor], keys: [Tensor], columns: [Tensor], _ label: String) {
        precondition(
            queries.allSatisfy { $0.rows == self.queries && $0.width == heads * headSize }
                && keys.allSatisfy { $0.rows == self.keys && $0.width == kvHeads * headSize }
                && columns.allSatisfy { $0.count == self.queries * heads },
            "\(label): shapes \((queries + keys + columns).map(\.shape)) for \(self)")
    }

    /// Query heads that share a key/value head.
    var groupSize: Int { heads / kvHeads }
    var scale: Float { 1 / Float(headSize).squareRoot() }

    /// Work of so many products of all queries with all keys, at most half of which the mask leaves.
    func flops(products: Int) -> Double {
        Double(products) * Double(queries) * Double(keys) * Double(heads * headSize)
    }

    /// Attention reads its matrices whole: the encoder's family, unless one has too many texels for it.
    func family(_ encoder: CommandEncoder, _ inputs: [Tensor]) -> Shader.Family {
        let limit = encoder.capabilities.maxTexelBufferElements * 16
        return encoder.family == .texel && inputs.contains { $0.byteCount > limit }
            ? .subgroup : encoder.family
    }

    func constants(lanes: Int) -> [String: UInt32] {
        ["LANES": UInt32(lanes), "HEAD_SIZE": UInt32(headSize), "GROUP_SIZE": UInt32(groupSize)]
    }

    func constants(_ tile: AttentionTile, lanes: Int) -> [String: UInt32] {
        constants(lanes: lanes).merging(
            ["ROWS_PER_LANE": UInt32(tile.rowsPerLane), "TILE_ROWS": UInt32(tile.rows)]) { $1 }
    }
}

/// Rows that a lane owns, and rows that come by at a time. Everything is unrolled, so what a tile multiplies
/// sets the size of the code: beyond these a CPU's instruction cache overflows, and a software rasteriser
/// compiles for seconds.
private struct AttentionTile {
    let rowsPerLane: Int
    let rows: Int

    init(forward headSize: Int, _ family: Shader.Family, _ capabilities: Capabilities) {
        self.init(headSize, rowsPerLane: headSize <= 128 ? 2 : 1, products: 384, family, capabilities)
    }

    init(backward headSize: Int, _ family: Shader.Family, _ capabilities: Capabilities) {
        self.init(headSize, rowsPerLane: headSize <= 64 ? 2 : 1, products: 256, family, capabilities)
    }

    private init(
        _ headSize: Int, rowsPerLane: Int, products: Int, _ family: Shader.Family,
        _ capabilities: Capabilities
    ) {
        if family == .shared {
            self.rowsPerLane = 1
            rows = capabilities.type == .cpu ? 2 : 8
        } else {
            self.rowsPerLane = rowsPerLane
            rows = min(max(products / (rowsPerLane * headSize), 1), capabilities.lanes(family))
        }
    }

    func workgroups(rows: Int, lanes: Int) -> Int {
        (rows + lanes * rowsPerLane - 1) / (lanes * rowsPerLane)
    }
}
