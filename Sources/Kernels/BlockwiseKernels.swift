// AdamW whose averages are 8-bit codes of blocks of parameters.

import VulkanCompute

extension CommandEncoder {
    /// Parameters that share a scale.
    package static let codedBlock = 256

    /// One step of AdamW on a flat range. `m` and `v` have a byte for each parameter, four to a word, and `scales` a number for
    /// each block.
    package func adamW8bit(
        updating parameters: Tensor, m: Tensor, v: Tensor, mScales: Tensor, vScales: Tensor,
        gradients: Tensor, rates: Tensor?, state: BufferSlice, result: BufferSlice, label: String
    ) throws(VulkanError) {
        let (count, block) = (parameters.count, Self.codedBlock)
        let blocks = (count + block - 1) / block
        precondition(
            count % 4 == 0 && m.count * 4 == count && v.count * 4 == count && mScales.count == blocks
                && vScales.count == blocks,
            "\(label): \(count) parameters with \(m.count) and \(v.count) words, \(mScales.count) scales")
        for span in capabilities.spans(of: blocks, rowByteCounts: [block * 4, block, 4], family: family) {
            let elements = span.lowerBound * block..<min(span.upperBound * block, count)
            let words = elements.lowerBound / 4..<elements.upperBound / 4
            try dispatch(
                Shader.adamw8bit(
                    family: family == .shared ? .shared : .subgroup, rates: rates == nil ? .one : .each),
                [
                    parameters.elements(elements), m.elements(words), v.elements(words),
                    mScales.elements(span), vScales.elements(span), gradients.elements(elements),
                ].map(\.slice) + [state, result] + (rates.map { [$0.elements(elements).slice] } ?? []),
                push: [elements.count / 4], specialization: rowLanes, groups: span.count, label: label)
        }
    }
}
