// Biases of experts' matrices, frozen: added to the rows of each expert, and what they are to the gradients of scores.

import VulkanCompute

extension CommandEncoder {
    /// y[place] += biases[expert of the place]; `y` (S, F), `biases` (E, F).
    package func addExpertRows(
        _ biases: Tensor, to y: Tensor, _ slots: ExpertSlots, label: String = "experts' biases"
    ) throws(VulkanError) {
        let width4 = y.width / 4
        precondition(
            y.width % 4 == 0 && y.rows == slots.count && biases.width == y.width
                && [y, biases].allSatisfy { $0.pitch == $0.width },
            "\(label): \(biases.shape) to \(y.shape)")
        let family = family == .texel ? Shader.Family.texel : .shared
        for span in capabilities.spans(of: y.rows, rowByteCounts: [y.width * 4], family: self.family) {
            let (part, count) = (y.rows(span), span.count * width4)
            try dispatch(
                Shader.addExpertRows(family: family),
                [part, part, biases, slots.order, slots.experts].map(\.slice),
                push: [count, width4, span.lowerBound], specialization: stripe.constants,
                groups: stripe.groups(count), label: label)
        }
    }

    /// dscores[slot] += biases[expert]·dy[token]; `dscores` (S), `dy` (N, C), `biases` (E, C) of the last matrix.
    package func expertBiasBackward(
        addingTo dscores: Tensor, _ dy: Tensor, _ biases: Tensor, _ slots: ExpertSlots,
        label: String = "experts' biases dx"
    ) throws(VulkanError) {
        precondition(
            dy.width % 4 == 0 && dy.rows == slots.tokens && biases.width == dy.width
                && dscores.count == slots.count && [dy, biases].allSatisfy { $0.pitch == $0.width },
            "\(label): \(dy.shape) and \(biases.shape) to \(dscores.shape)")
        for span in capabilities.spans(of: dy.rows, rowByteCounts: [dy.width * 4], family: family) {
            try dispatch(
                Shader.expertBiasBackward(family: family),
                [dscores, dy.rows(span), biases, slots.experts].map(\.slice),
                push: [dy.width / 4, slots.used, span.lowerBound], specialization: rowLanes,
                groups: span.count * slots.used, label: label)
        }
    }
}
