// New tokens behind a cache of keys and values.

import VulkanCompute

extension CommandEncoder {
    /// Rotates `q` (N, heads·D) in place by its tokens' positions, and puts rotated `k` and `v` (N, kvHeads·D) into the
    /// rows of `keys` and `values` (capacity, kvHeads·D) from `offset[0]` on. `positions` (N) and `offset` (1) of ints; q, k and
    /// v may be columns of a wider matrix. What would lie behind the capacity is dropped. Heads turn as by `rotary`, queries by
    /// `queryTable` (P, R) where they have one of their own; without a table nothing turns, and q stays as it is.
    package func appendToCache(
        keys: Tensor, values: Tensor, rotating q: Tensor, _ k: Tensor, _ v: Tensor, positions: Tensor,
        table: Tensor?, headSize: Int? = nil, isInterleaved: Bool = false, queryTable: Tensor? = nil,
        offset: Tensor, label: String = "appendToCache"
    ) throws(VulkanError) {
        // Where nothing turns, a row is as good as one head.
        let rotation = Rotation(table, headSize: headSize ?? table?.width ?? k.width, isInterleaved, label)
        precondition(
            [q, k, v].allSatisfy { rotation.fits($0) && $0.rows == q.rows } && v.width == k.width
                && keys.width == k.width && keys.pitch == k.width && values.shape == keys.shape
                && values.pitch == keys.pitch,
            "\(label): q \(q.shape), k \(k.shape), v \(v.shape) into \(keys.shape) by heads of \(rotation.headSize)"
        )
        precondition(
            positions.dtype == .i32 && positions.count == q.rows && offset.dtype == .i32,
            "\(label): positions \(positions.shape) of \(q.rows) tokens")
        if let queryTable {
            try rotary(
                into: q, q, positions: positions, table: queryTable, headSize: rotation.headSize,
                isInterleaved: isInterleaved, label: "\(label) q")
        }
        let rowByteCounts = [q.pitch * 4, k.pitch * 4, v.pitch * 4, 4]
        for span in capabilities.spans(of: q.rows, rowByteCounts: rowByteCounts, family: family) {
            let (q, k, v) = (q.rows(span), k.rows(span), v.rows(span))
            let heads = queryTable == nil ? q.width / rotation.headSize : 0
            try dispatch(
                Shader.cacheAppend(family: rotation.family(self)),
                [q, keys, values, q, k, v, table ?? k, positions.elements(span), offset].map(\.slice),
                push: [
                    heads, k.width / rotation.headSize, (table?.rows ?? 1) - 1, span.lowerBound, keys.rows,
                ] + q.rowPlace + k.rowPlace + v.rowPlace,
                specialization: rotation.constants(self), groups: span.count, label: label)
        }
    }
}
