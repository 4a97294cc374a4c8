// RMSNorm, a row a workgroup: y = x·rstd·w, rstd = 1/√(mean(x²) + ε), and its backward with the weight frozen.

import VulkanCompute

extension Shader {
    package enum Destination: String, Sendable { case into, adding }
}

extension CommandEncoder {
    /// y = x·rstd·w, or `residual` + x·rstd·w. `y`, `x`, `residual` (N, C), y may be x or the residual; `rstd` (N) is kept
    /// for the backward; `weight` (C).
    package func rmsNorm(
        into y: Tensor, plus residual: Tensor? = nil, rstd: Tensor, _ x: Tensor, weight: Tensor,
        epsilon: Float, label: String = "rmsNorm"
    ) throws(VulkanError) {
        let width = weight.count
        checkRows([y, x, residual ?? x], column: rstd, width: width, label)
        let shader = Shader.rmsNorm(family: family, destination: residual == nil ? .into : .adding)
        for span in capabilities.spans(of: rstd.count, rowByteCounts: [width * 4], family: family) {
            var buffers = [y.rows(span), rstd, x.rows(span), weight]
            if let residual { buffers.append(residual.rows(span)) }
            try dispatch(
                shader, buffers.map(\.slice), push: [width / 4, span.lowerBound, epsilon],
                specialization: rowTurns(width), groups: span.count, label: label)
        }
    }

    /// `dx`, `dy`, `x` (N, C), dx may be dy; `rstd` (N) from the forward.
    package func rmsNormBackward(
        into dx: Tensor, _ dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor,
        label: String = "rmsNormBackward"
    ) throws(VulkanError) {
        try rmsNormBackward(dx, nil, dy, x, weight, rstd, label)
    }

    package func rmsNormBackward(
        addingTo dx: Tensor, _ dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor,
        label: String = "rmsNormBackward"
    ) throws(VulkanError) {
        try rmsNormBackward(dx, dx, dy, x, weight, rstd, label)
    }

    private func rmsNormBackward(
        _ dx: Tensor, _ previous: Tensor?, _ dy: Tensor, _ x: Tensor, _ weight: Tensor, _ rstd: Tensor,
        _ label: String
    ) throws(VulkanError) {
        let width = weight.count
        checkRows([dx, dy, x], column: rstd, width: width, label)
        let shader = Shader.rmsNormBackward(family: family, destination: previous == nil ? .into : .adding)
        for span in capabilities.spans(of: rstd.count, rowByteCounts: [width * 4], family: family) {
            var buffers = [dx.rows(span), dy.rows(span), x.rows(span), weight, rstd]
            if let previous { buffers.append(previous.rows(span)) }
            try dispatch(
                shader, buffers.map(\.slice), push: [width / 4, span.lowerBound],
                specialization: rowTurns(width),
                groups: span.count,
                label: label)
        }
    }

    /// A row that a few turns of a subgroup fill stays in registers between its sum and its result.
    func rowTurns(_ width: Int) -> [String: UInt32] {
        let turn = 4 * capabilities.lanes(family)
        let turns = family != .shared && width % turn == 0 && width / turn <= 16 ? width / turn : 0
        return rowLanes.merging(["TURNS": UInt32(turns)]) { $1 }
    }

    func checkRows(_ matrices: [Tensor], column: Tensor, width: Int, _ label: String) {
        precondition(
            width % 4 == 0
                && matrices.allSatisfy { $0.width == width && $0.pitch == width && $0.rows == column.count },
            "\(label): shapes \(matrices.map(\.shape)) with rows \(column.shape) and width \(width)")
    }
}

extension CommandEncoder {
    /// Lanes of a kernel that works on a row a workgroup.
    var rowLanes: [String: UInt32] { ["LANES": UInt32(capabilities.lanes(family))] }
}
