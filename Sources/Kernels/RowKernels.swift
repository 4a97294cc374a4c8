// Rows picked by an index and put back: y[i] = x[index[i]] and y[index[i]] = x[i].

import VulkanCompute

extension CommandEncoder {
    /// `y` (n, C), `x` (N, C), `index` (n) of ints; an index outside x gives a row of zeros.
    package func gatherRows(
        into y: Tensor, _ x: Tensor, index: Tensor, label: String = "gatherRows"
    ) throws(VulkanError) {
        try fill(y.slice)
        try moveRows(Shader.gatherRows, many: x, few: y, index, label) { [$1, $0] }
    }

    /// `y` (N, C), zero where no index leads; `x` (n, C), `index` (n) of unique ints; one outside y is ignored.
    package func scatterRows(
        into y: Tensor, _ x: Tensor, index: Tensor, label: String = "scatterRows"
    ) throws(VulkanError) {
        try fill(y.slice)
        try moveRows(Shader.scatterRows, many: y, few: x, index, label) { [$0, $1] }
    }

    private func moveRows(
        _ shader: (Shader.Family) -> Shader, many: Tensor, few: Tensor, _ index: Tensor, _ label: String,
        bindings: (_ many: Tensor, _ few: Tensor) -> [Tensor]
    ) throws(VulkanError) {
        let width = many.width
        precondition(
            width % 4 == 0 && few.width == width && few.rows == index.count && index.dtype == .i32,
            "\(label): \(many.shape) and \(few.shape) by an index of \(index.shape)")
        for source in capabilities.spans(of: many.rows, rowByteCounts: [width * 4], family: family) {
            for span in capabilities.spans(of: few.rows, rowByteCounts: [width * 4], family: family) {
                let tensors = bindings(many.rows(source), few.rows(span)) + [index]
                try dispatch(
                    shader(family == .texel ? .texel : .shared), tensors.map(\.slice),
                    push: [width / 4, span.lowerBound, source.lowerBound, source.count],
                    specialization: rowLanes, groups: span.count,
                    label: label)
            }
        }
    }
}
