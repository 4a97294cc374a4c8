// Cross-entropy on rows of logits, and the squared error of a layer's readout, a row a workgroup; the sum of the rows' losses.

import VulkanCompute

extension Shader {
    package enum Gradient: String, Sendable { case none, replacing }
}

/// What is added to a cross-entropy: ε of label smoothing, and s of s·(log Z)². Shaders/loss/cross_entropy.comp has the formula.
package struct LossSmoothing: Sendable, Equatable {
    package var smoothing: Float
    package var square: Float

    package init(smoothing: Float = 0, square: Float = 0) {
        (self.smoothing, self.square) = (smoothing, square)
    }

    var isNone: Bool { smoothing == 0 && square == 0 }
}

extension CommandEncoder {
    /// The loss of each row and whether its largest logit is the label's (1 or 0). `logits` (n, Vp) of which `columns` count;
    /// `labels` (n) of ints, negative: ignored, loss 0. `losses`, `correct` (n). With a cap c the logits are first replaced
    /// by c·tanh(logits/c).
    package func crossEntropy(
        into losses: Tensor, correct: Tensor, _ logits: Tensor, labels: Tensor, columns: Int,
        cap: Float? = nil, label: String = "crossEntropy"
    ) throws(VulkanError) {
        precondition(
            correct.count == losses.count && correct.dtype == .i32, "\(label): flags of \(correct.shape)")
        try crossEntropy(.none, losses, logits, labels, columns, cap, label) { span in
            [losses, correct, logits.rows(span), labels].map(\.slice)
        }
    }

    /// The loss of each row times its weight, and in place of the logits their gradient (softmax − onehot)·weight·lossScale, the scale
    /// from `state`. `weights` (n); nil: all 1. With a cap c the loss is that of y = c·tanh(logits/c), and the gradient has the factor 1 − (y/c)².
    package func crossEntropy(
        into losses: Tensor, gradientInPlaceOf logits: Tensor, labels: Tensor, weights: Tensor? = nil,
        columns: Int,
        state: BufferSlice, cap: Float? = nil, smoothing: LossSmoothing = LossSmoothing(),
        label: String = "crossEntropy"
    ) throws(VulkanError) {
        precondition(
            weights.map { $0.count == losses.count && $0.dtype == .f32 } ?? true,
            "\(label): weights of \(weights?.shape ?? [])")
        try crossEntropy(
            .replacing, losses, logits, labels, columns, cap, label, isWeighted: weights != nil,
            smoothing: smoothing
        ) { span in
            let rows = logits.rows(span)
            return [losses, rows, rows, labels].map(\.slice) + [state, (weights ?? labels).slice]
        }
    }

    private func crossEntropy(
        _ gradient: Shader.Gradient, _ losses: Tensor, _ logits: Tensor, _ labels: Tensor, _ columns: Int,
        _ limit: Float?, _ label: String, isWeighted: Bool = false,
        smoothing: LossSmoothing = LossSmoothing(), bindings: (Range<Int>) -> [BufferSlice]
    ) throws(VulkanError) {
        let width = logits.pitch  // what lies between rows is past `columns` and gets a gradient of zero
        precondition(
            width % 4 == 0 && (1...width).contains(columns) && losses.count == logits.rows
                && labels.count == logits.rows && labels.dtype == .i32,
            "\(label): logits \(logits.shape) of \(columns) columns, labels \(labels.shape), losses \(losses.shape)"
        )
        if let limit { try cap(into: logits, logits, by: limit) }
        var (push, constants): ([any PushWord], [String: UInt32]) = ([], rowLanes)
        if gradient == .replacing {
            push = [limit ?? 0, smoothing.smoothing, smoothing.square]
            constants["CAPPED"] = limit == nil ? 0 : 1
            constants["WEIGHTED"] = isWeighted ? 1 : 0
            constants["SMOOTHED"] = smoothing.isNone ? 0 : 1
        }
        for span in capabilities.spans(of: losses.count, rowByteCounts: [width * 4], family: family) {
            try dispatch(
                Shader.crossEntropy(family: family, gradient: gradient), bindings(span),
                push: [width / 4, span.lowerBound, columns] + push,
                specialization: constants, groups: span.count, flops: 20 * Double(span.count * width),
                label: label)
        }
    }

    /// f = w·relu(z) of each row, ½(f − target)² and its gradient (f − target)·scale·w ⊙ [z > 0]. `dz` (N, C) may be `z`;
    /// `outputs`, `losses`, `targets` (N), `weight` (C).
    package func reluReadout(
        into dz: Tensor, outputs: Tensor, losses: Tensor, _ z: Tensor, weight: Tensor, targets: Tensor,
        scale: Float, label: String = "reluReadout"
    ) throws(VulkanError) {
        let width = weight.count
        precondition(
            width % 4 == 0 && [dz, z].allSatisfy { $0.width == width && $0.pitch == width }
                && [outputs, losses, targets].allSatisfy { $0.count == z.rows } && dz.rows == z.rows,
            "\(label): \(z.shape) by \(weight.shape) into \(dz.shape), targets \(targets.shape)")
        for span in capabilities.spans(of: z.rows, rowByteCounts: [width * 4], family: family) {
            try dispatch(
                Shader.reluReadout(family: family),
                [dz.rows(span), outputs, losses, z.rows(span), weight, targets].map(\.slice),
                push: [width / 4, span.lowerBound, scale], specialization: rowLanes, groups: span.count,
                label: label)
        }
    }

    /// `result.lossSum` = Σ losses, in a fixed order.
    package func lossSum(
        into result: BufferSlice, _ losses: Tensor, label: String = "lossSum"
    ) throws(VulkanError) {
        try dispatch(
            Shader.lossSum(family: family == .shared ? .shared : .subgroup), [result, losses.slice],
            push: [losses.count], specialization: rowLanes, groups: 1, label: label)
    }
}
