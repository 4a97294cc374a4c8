// RMSNorm, a row a workgroup: y = x·rstd·w, rstd = 1/√(mean(x²) + ε), and its backward with the weight frozen.

import VulkanCompute

extension Shader {
    package enum Residual: String, Sendable { case none, added }
    package enum Destination: String, Sendable { case into, adding }
}

extension CommandEncoder {
    /// `y`, `x` (N, C); `rstd` (N) is kept for the backward; `weight` (C).
    package func rmsNorm(
        into y: Tensor, rstd: Tensor, _ x: Tensor, weight: Tensor, epsilon: Float, label: String = "rmsNorm"
    ) throws(VulkanError) {
        try rmsNorm(y, rstd, x, weight, residual: nil, epsilon, label)
    }

    /// The same of `sum` = `x` + `residual`, which is written too and may be either of them.
    package func rmsNorm(
        into y: Tensor, rstd: Tensor, sum: Tensor, _ x: Tensor, adding residual: Tensor, weight: Tensor,
        epsilon: Float, label: String = "rmsNorm"
    ) throws(VulkanError) {
        try rmsNorm(y, rstd, x, weight, residual: (sum, residual), epsilon, label)
    }

    private func rmsNorm(
        _ y: Tensor, _ rstd: Tensor, _ x: Tensor, _ weight: Tensor, residual: (sum: Tensor, term: Tensor)?,
        _ epsilon: Float, _ label: String
    ) throws(VulkanError) {
        let width = weight.count
        var matrices = [y, x]
        if let residual { matrices += [residual.sum, residual.term] }
        checkRows(matrices, column: rstd, width: width, label)
        let shader = Shader.rmsNorm(family: family, residual: residual == nil ? .none : .added)
        for span in capabilities.spans(of: rstd.count, rowByteCount: width * 4, family: family) {
            var buffers = [y.rows(span), rstd, x.rows(span), weight]
            if let residual { buffers += [residual.sum.rows(span), residual.term.rows(span)] }
            try dispatch(
                shader, buffers.map(\.slice), push: [width / 4, span.lowerBound, epsilon], specialization: rowLanes,
                groups: span.count, label: label)
        }
    }

    /// `dx`, `dy`, `x` (N, C); `rstd` (N) from the forward.
    package func rmsNormBackward(
        into dx: Tensor, _ dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, label: String = "rmsNormBackward"
    ) throws(VulkanError) {
        try rmsNormBackward(dx, nil, dy, x, weight, rstd, label)
    }

    package func rmsNormBackward(
        addingTo dx: Tensor, _ dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, label: String = "rmsNormBackward"
    ) throws(VulkanError) {
        try rmsNormBackward(dx, dx, dy, x, weight, rstd, label)
    }

    private func rmsNormBackward(
        _ dx: Tensor, _ previous: Tensor?, _ dy: Tensor, _ x: Tensor, _ weight: Tensor, _ rstd: Tensor, _ label: String
    ) throws(VulkanError) {
        let width = weight.count
        checkRows([dx, dy, x], column: rstd, width: width, label)
        let shader = Shader.rmsNormBackward(family: family, destination: previous == nil ? .into : .adding)
        for span in capabilities.spans(of: rstd.count, rowByteCount: width * 4, family: family) {
            var buffers = [dx.rows(span), dy.rows(span), x.rows(span), weight, rstd]
            if let previous { buffers.append(previous.rows(span)) }
            try dispatch(
                shader, buffers.map(\.slice), push: [width / 4, span.lowerBound], specialization: rowLanes, groups: span.count,
                label: label)
        }
    }

    private func checkRows(_ matrices: [Tensor], column: Tensor, width: Int, _ label: String) {
        precondition(
            width % 4 == 0 && matrices.allSatisfy { $0.width == width && $0.rows == column.count },
            "\(label): shapes \(matrices.map(\.shape)) with rows \(column.shape) and width \(width)")
    }
}

extension CommandEncoder {
    /// Lanes of a kernel that works on a row a workgroup.
    var rowLanes: [String: UInt32] { ["LANES": UInt32(capabilities.lanes(family))] }
}
