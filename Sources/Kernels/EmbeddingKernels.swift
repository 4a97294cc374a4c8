// Rows of a frozen embedding weight, in any of its storage types, by token id; and the gradient of one that trains.

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

    /// Tokens of one dispatch: a loop over them stays below what software drivers run (lavapipe ends loops after 65535 rounds).
    private static let mostTokens = 1 << 15

    /// `dW` (V, C) += scale·Σ of the rows of `dx` (N, C) that have an id, `ids` (N) of ints.
    package func embeddingGradient(
        addingTo dW: Tensor, _ dx: Tensor, ids: Tensor, scaledBy scale: Float = 1,
        label: String = "embedding dW"
    ) throws(VulkanError) {
        let width = dx.width
        precondition(
            width % 4 == 0 && dW.width == width && dx.pitch == width && dW.pitch == width
                && ids.count == dx.rows && ids.dtype == .i32,
            "\(label): \(dx.shape) by \(ids.shape) ids into \(dW.shape)")
        let lanes = capabilities.lanes(family)
        let chunks = (width / 4 + lanes - 1) / lanes
        let shader = Shader.embeddingGradient(family: family == .texel ? .texel : .shared)
        for part in capabilities.spans(of: dW.rows, rowByteCounts: [width * 4], family: family) {
            let rows = dW.rows(part)
            for whole in capabilities.spans(of: dx.rows, rowByteCounts: [width * 4], family: family) {
                for start in stride(from: whole.lowerBound, to: whole.upperBound, by: Self.mostTokens) {
                    let span = start..<min(start + Self.mostTokens, whole.upperBound)
                    try dispatch(
                        shader, [rows, rows, dx.rows(span), ids].map(\.slice),
                        push: [
                            width / 4, chunks, span.lowerBound, span.count, part.lowerBound, part.count,
                            scale,
                        ], specialization: rowLanes, groups: span.count * chunks, label: label)
                }
            }
        }
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
