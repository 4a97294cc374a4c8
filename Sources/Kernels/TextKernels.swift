// Losses of vectors of texts, a workgroup an example.

import VulkanCompute

extension Shader {
    package enum TextLoss: UInt32, Sendable { case cosine, triplet }
}

extension CommandEncoder {
    /// `losses` (P) and the gradients of the vectors (P, C), times the scale in `state`: of pairs `a`, `b` of length 1 whose product
    /// should be the score, or of anchors `a`, texts like them `b` and unlike them `c`. Shaders/loss/text_pairs.comp has the formulas.
    package func textLoss(
        _ loss: Shader.TextLoss, into losses: Tensor, gradients: [Tensor], _ vectors: [Tensor],
        scores: Tensor,
        margin: Float = 0, state: BufferSlice, label: String
    ) throws(VulkanError) {
        let (count, width) = (losses.count, vectors[0].width)
        precondition(
            width % 4 == 0 && vectors.count == (loss == .triplet ? 3 : 2) && gradients.count == vectors.count
                && (vectors + gradients).allSatisfy {
                    $0.rows == count && $0.width == width && $0.pitch == width
                }
                && scores.count == count,
            "\(label): \(count) losses of \((vectors + gradients).map(\.shape))")
        for span in capabilities.spans(of: count, rowByteCounts: [width * 4], family: .shared) {
            let (rows, gradients) = (vectors.map { $0.rows(span) }, gradients.map { $0.rows(span) })
            // A pair has no third: its place is bound and not touched.
            try dispatch(
                Shader.textPairs(family: family == .shared ? .shared : .subgroup),
                [gradients[0], gradients[1], gradients[gradients.count - 1]].map(\.slice) + [losses.slice]
                    + [rows[0], rows[1], rows[rows.count - 1], scores].map(\.slice) + [state],
                push: [width / 4, span.lowerBound, margin],
                specialization: rowLanes.merging(["LOSS": loss.rawValue]) { $1 }, groups: span.count,
                label: label)
        }
    }
}
