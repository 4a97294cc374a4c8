// One vector a sequence: the mean of its rows, and back. A single row is a mean too.

import VulkanCompute

extension CommandEncoder {
    /// `y` (S, C): of each sequence the mean of its rows of `x` (n, C); zeros where it has none. `ranges` (S, 2) of ints: start and end.
    package func pool(
        into y: Tensor, _ x: Tensor, ranges: Tensor, label: String = "pool"
    ) throws(VulkanError) {
        try fill(y.slice)
        try pool(Shader.pool, rows: x, sequences: y, ranges, label) { rows, sequences in
            [sequences.slice, rows.slice, ranges.slice, sequences.slice]
        }
    }

    /// `dx` (n, C), zero for rows of no sequence, from `dy` (S, C). No row may belong to two sequences.
    package func poolBackward(
        into dx: Tensor, _ dy: Tensor, ranges: Tensor, label: String = "pool dx"
    ) throws(VulkanError) {
        try fill(dx.slice)
        try pool(Shader.poolBackward, rows: dx, sequences: dy, ranges, label) { rows, sequences in
            [rows.slice, sequences.slice, ranges.slice]
        }
    }

    private func pool(
        _ shader: (Shader.Family) -> Shader, rows: Tensor, sequences: Tensor, _ ranges: Tensor,
        _ label: String,
        bindings: (_ rows: Tensor, _ sequences: Tensor) -> [BufferSlice]
    ) throws(VulkanError) {
        let width = rows.width
        precondition(
            width % 4 == 0 && sequences.width == width && ranges.dtype == .i32
                && ranges.count == 2 * sequences.rows && rows.pitch == width && sequences.pitch == width,
            "\(label): \(rows.shape) and \(sequences.shape) by ranges of \(ranges.shape)")
        for span in capabilities.spans(of: sequences.rows, rowByteCounts: [width * 4], family: family) {
            for source in capabilities.spans(of: rows.rows, rowByteCounts: [width * 4], family: family) {
                try dispatch(
                    shader(family == .texel ? .texel : .shared),
                    bindings(rows.rows(source), sequences.rows(span)),
                    push: [width / 4, span.lowerBound, source.lowerBound, source.count],
                    specialization: rowLanes, groups: span.count, label: label)
            }
        }
    }
}
