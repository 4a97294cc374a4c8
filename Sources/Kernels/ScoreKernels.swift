// Losses of a classifier's scores. Shaders/loss/score_gradient.comp has the formulas.

import VulkanCompute

/// In the order of the kernel.
package enum ScoreLoss: UInt32, Sendable { case label, labels, numbers, pair }

extension CommandEncoder {
    /// `gradient`, `scores` (n, Kp), of which the first `outputs` columns count; `targets` (n) of ints, negative: padding; `values`
    /// (n, K), or of pairs the margins (n), nil for classes.
    package func scoreGradient(
        into gradient: Tensor, _ scores: Tensor, targets: Tensor, values: Tensor?, outputs: Int,
        loss: ScoreLoss, centre: Float = 0, state: BufferSlice, label: String = "score gradient"
    ) throws(VulkanError) {
        let width = scores.pitch
        let needed = loss == .label ? nil : loss == .pair ? scores.rows : scores.rows * outputs
        precondition(
            gradient.rows == scores.rows && gradient.pitch == width && (1...width).contains(outputs)
                && targets.count == scores.rows && targets.dtype == .i32 && values?.count == needed,
            "\(label): \(scores.shape) of \(outputs) outputs, targets \(targets.shape), values \(values?.shape ?? [])"
        )
        let lanes = capabilities.lanes(.shared)
        let perRow = (values?.count ?? 0) / max(scores.rows, 1)
        for span in capabilities.spans(
            of: scores.rows, rowByteCounts: [width * 4, 4] + (perRow > 0 ? [perRow * 4] : []), family: family,
            multiple: 2)
        {
            let first = span.lowerBound
            func part(_ tensor: Tensor, _ count: Int) -> Tensor {
                tensor.elements(first * count..<span.upperBound * count)
            }
            try dispatch(
                Shader.scoreGradient(),
                [
                    gradient.rows(span), scores.rows(span), part(targets, 1),
                    values.map { part($0, perRow) } ?? part(targets, 1),
                ].map(\.slice) + [state], push: [span.count, outputs, width, centre],
                specialization: ["LANES": UInt32(lanes), "LOSS": loss.rawValue],
                groups: (span.count + lanes - 1) / lanes, label: label)
        }
    }
}
