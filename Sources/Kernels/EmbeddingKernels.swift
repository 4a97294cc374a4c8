// Rows of a frozen embedding weight, in any of its storage types, by token id.

import VulkanCompute

extension CommandEncoder {
    /// `y` (N, C) = scale·W[ids], `ids` (N) of ints inside the vocabulary.
    package func embedding(
        into y: Tensor, _ ids: Tensor, weight: Weight, scaledBy scale: Float = 1, label: String = "embedding"
    ) throws(VulkanError) {
        try embedding(y, nil, ids, weight, scale, label)
    }

    /// `y` (N, C) += scale·W[ids]: learned positions, where the ids are positions.
    package func embedding(
        addingTo y: Tensor, _ ids: Tensor, weight: Weight, scaledBy scale: Float = 1,
        label: String = "embedding"
    ) throws(VulkanError) {
        try embedding(y, y, ids, weight, scale, label)
    }

    private func embedding(
        _ y: Tensor, _ old: Tensor?, _ ids: Tensor, _ weight: Weight, _ scale: Float, _ label: String
    ) throws(VulkanError) {
        let layout = weight.layout
        precondition(
            y.width == layout.columns && y.rows == ids.count && ids.dtype == .i32,
            "\(label): \(y.shape) by \(ids.shape) ids from a weight of (\(layout.rows), \(layout.columns))")
        // Texels of two words, of which some quantised weights consist, are an extra of the device.
        let texel = family == .texel && (capabilities.extendedTexelFormats || !layout.isQuantised)
        let family = texel ? Shader.Family.texel : .shared
        let shader = Shader.embedding(family: family, weight: layout.type)
        let constants = rowLanes.merging([
            "ACCUMULATE": old == nil ? 0 : 1, "SCALED": scale == 1 ? 0 : 1,
        ]) { $1 }
        for part in MatmulMatrix.weight(weight).spans(capabilities, family, rank: 0, atMost: .max) {
            let planes = [weight.rows(part)].flatMap { [$0.tiles] + ($0.scales.map { [$0] } ?? []) }
            for span in capabilities.spans(of: y.rows, rowByteCounts: [y.width * 4], family: family) {
                try dispatch(
                    shader, [y.rows(span).slice, ids.slice, (old?.rows(span) ?? ids).slice] + planes,
                    push: [
                        layout.columns / 4, span.lowerBound, layout.sourceRows, part.lowerBound, part.count,
                        scale,
                    ], specialization: constants, groups: span.count, label: label)
            }
        }
    }
}
