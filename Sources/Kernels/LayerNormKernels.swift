// LayerNorm, a row a workgroup: y = (x − mean)·rstd·w + b, rstd = 1/√(var(x) + ε), and its backward with weight and bias frozen.

import VulkanCompute

extension CommandEncoder {
    /// `y`, `x` (N, C), y may be x; `mean`, `rstd` (N) are kept for the backward; `weight`, `bias` (C).
    package func layerNorm(
        into y: Tensor, mean: Tensor, rstd: Tensor, _ x: Tensor, weight: Tensor, bias: Tensor,
        epsilon: Float, label: String = "layerNorm"
    ) throws(VulkanError) {
        let width = weight.count
        checkRows([y, x], column: rstd, width: width, label)
        precondition(
            mean.count == rstd.count && bias.count == width,
            "\(label): means \(mean.shape), rows \(rstd.shape), bias \(bias.shape) of width \(width)")
        for span in capabilities.spans(of: rstd.count, rowByteCounts: [width * 4], family: family) {
            try dispatch(
                Shader.layerNorm(family: family),
                [y.rows(span), mean, rstd, x.rows(span), weight, bias].map(\.slice),
                push: [width / 4, span.lowerBound, epsilon], specialization: rowTurns(width),
                groups: span.count, label: label)
        }
    }

    /// `dx`, `dy`, `x` (N, C), dx may be dy; `mean`, `rstd` (N) from the forward.
    package func layerNormBackward(
        into dx: Tensor, _ dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor,
        label: String = "layerNormBackward"
    ) throws(VulkanError) {
        try layerNormBackward(dx, nil, dy, x, weight, mean, rstd, label)
    }

    package func layerNormBackward(
        addingTo dx: Tensor, _ dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor,
        label: String = "layerNormBackward"
    ) throws(VulkanError) {
        try layerNormBackward(dx, dx, dy, x, weight, mean, rstd, label)
    }

    private func layerNormBackward(
        _ dx: Tensor, _ previous: Tensor?, _ dy: Tensor, _ x: Tensor, _ weight: Tensor, _ mean: Tensor,
        _ rstd: Tensor, _ label: String
    ) throws(VulkanError) {
        let width = weight.count
        checkRows([dx, dy, x], column: rstd, width: width, label)
        precondition(mean.count == rstd.count, "\(label): means \(mean.shape), rows \(rstd.shape)")
        let shader = Shader.layerNormBackward(family: family, destination: previous == nil ? .into : .adding)
        for span in capabilities.spans(of: rstd.count, rowByteCounts: [width * 4], family: family) {
            var buffers = [dx.rows(span), dy.rows(span), x.rows(span), weight, mean, rstd]
            if let previous { buffers.append(previous.rows(span)) }
            try dispatch(
                shader, buffers.map(\.slice), push: [width / 4, span.lowerBound],
                specialization: rowTurns(width), groups: span.count, label: label)
        }
    }
}
