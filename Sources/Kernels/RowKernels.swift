// Rows picked by an index and put back: y[i] = x[index[i]] and y[index[i]] = x[i]; a row added to all; columns copied.

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

    /// y[n] += row for every n: a bias. `y` (N, C), which may be columns of a wider matrix; `row` (C).
    package func addRow(_ row: Tensor, to y: Tensor, label: String = "addRow") throws(VulkanError) {
        precondition(row.count == y.width, "\(label): a row of \(row.shape) to \(y.shape)")
        try columnwise(Shader.addRow, [y, y], more: [row], push: [y], label)
    }

    /// y = x, where both may be columns of wider matrices: q, k and v out of one product, and their gradients back.
    package func copyColumns(
        into y: Tensor, _ x: Tensor, label: String = "copyColumns"
    ) throws(VulkanError) {
        precondition(x.width == y.width && x.rows == y.rows, "\(label): \(x.shape) into \(y.shape)")
        try columnwise(Shader.copyColumns, [y, x], more: [], push: [y, x], label)
    }

    /// Runs a kernel over all elements of columns that may lie in wider rows; it is pushed where those of `push` lie.
    private func columnwise(
        _ shader: (Shader.Family) -> Shader, _ tensors: [Tensor], more: [Tensor], push: [Tensor],
        _ label: String
    ) throws(VulkanError) {
        let width = tensors[0].width
        precondition(
            width % 4 == 0 && tensors.allSatisfy { $0.pitch % 4 == 0 && $0.column % 4 == 0 },
            "\(label): \(width) columns, first ones \(tensors.map(\.column)), rows at \(tensors.map(\.pitch))"
        )
        let (shader, stripe) = (shader(family == .texel ? .texel : .shared), stripe)
        let places = push.flatMap { [$0.pitch / 4, $0.column / 4] }
        for span in capabilities.spans(
            of: tensors[0].rows, rowByteCounts: tensors.map { $0.pitch * 4 }, family: family)
        {
            let count = span.count * width / 4
            try dispatch(
                shader, (tensors.map { $0.rows(span) } + more).map(\.slice),
                push: [count, width / 4] + places, specialization: stripe.constants,
                groups: stripe.groups(count), label: label)
        }
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
