// New tokens behind a cache of keys and values.

import VulkanCompute

extension CommandEncoder {
    /// Rotates `q` (N, heads·D) in place by its tokens' positions, and puts rotated `k` and `v` (N, kvHeads·D) into the
    /// rows of `keys` and `values` (capacity, kvHeads·D) from `offset[0]` on. `positions` (N) and `offset` (1) of ints,
    /// `table` (P, D) from RotaryAngles. What would lie behind the capacity is dropped.
    package func appendToCache(
        keys: Tensor, values: Tensor, rotating q: Tensor, _ k: Tensor, _ v: Tensor, positions: Tensor,
        table: Tensor, offset: Tensor, label: String = "appendToCache"
    ) throws(VulkanError) {
        let headSize = table.width
        precondition(
            headSize % 8 == 0 && q.width % headSize == 0 && k.width % headSize == 0 && k.rows == q.rows
                && v.shape == k.shape && keys.width == k.width && values.shape == keys.shape,
            "\(label): q \(q.shape), k \(k.shape), v \(v.shape) into \(keys.shape) by heads of \(headSize)")
        precondition(
            positions.dtype == .i32 && positions.count == q.rows && offset.dtype == .i32 && table.rows > 0,
            "\(label): positions \(positions.shape) of \(q.rows) tokens, a table \(table.shape)")
        let rowByteCounts = [q.width * 4, k.width * 4, 4]
        for span in capabilities.spans(of: q.rows, rowByteCounts: rowByteCounts, family: family) {
            try dispatch(
                Shader.cacheAppend(family: family == .texel ? .texel : .shared),
                [
                    q.rows(span), keys, values, q.rows(span), k.rows(span), v.rows(span), table,
                    positions.elements(span), offset,
                ].map(\.slice),
                push: [
                    q.width / headSize, k.width / headSize, table.rows - 1, span.lowerBound, keys.rows,
                ],
                specialization: ["LANES": UInt32(capabilities.lanes(family)), "HEAD_SIZE": UInt32(headSize)],
                groups: span.count, label: label)
        }
    }
}
