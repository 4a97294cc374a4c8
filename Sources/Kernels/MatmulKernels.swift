// Matrix products of the linear layers. With a frozen weight W (out, in): y = x·Wᵀ and dx = dy·W, and in the same pass
// over y the adapter's part. LoRA (Hu et al. 2021), s its scaling:
//   h = s·x·Aᵀ     y = x·Wᵀ + h·Bᵀ          g = s·dy·B     dx = dy·W + g·A     dA += gᵀ·x     dB += dyᵀ·h
// A is loraA (R, in), B is loraB (out, R), both f32.

import VulkanCompute

/// h·Bᵀ in a forward pass (matrix = loraB), g·A in a backward pass (matrix = loraA).
package struct LoRATerm: Sendable {
    package let h: Tensor  // (M, R)
    package let matrix: Tensor

    package init(h: Tensor, matrix: Tensor) {
        self.h = h
        self.matrix = matrix
    }
}

extension CommandEncoder {
    // MARK: Frozen weights

    /// y = x·Wᵀ (+ h·Bᵀ) (+ plus, which has y's shape)
    package func matmul(
        into y: Tensor, _ x: Tensor, weight: Weight, lora: LoRATerm? = nil, plus: Tensor? = nil,
        label: String = "matmul"
    ) throws(VulkanError) {
        try product(.nt, y, x, .weight(weight), lora, plus: plus, label: label)
    }

    /// y += x·Wᵀ (+ h·Bᵀ)
    package func matmul(
        addingTo y: Tensor, _ x: Tensor, weight: Weight, lora: LoRATerm? = nil, label: String = "matmul"
    ) throws(VulkanError) {
        try product(.nt, y, x, .weight(weight), lora, plus: y, label: label)
    }

    /// dx = dy·W (+ g·A)
    package func matmulBackward(
        into dx: Tensor, _ dy: Tensor, weight: Weight, lora: LoRATerm? = nil, label: String = "matmulBackward"
    ) throws(VulkanError) {
        try product(.nn, dx, dy, .weight(weight), lora, label: label)
    }

    /// dx += dy·W (+ g·A)
    package func matmulBackward(
        addingTo dx: Tensor, _ dy: Tensor, weight: Weight, lora: LoRATerm? = nil,
        label: String = "matmulBackward"
    ) throws(VulkanError) {
        try product(.nn, dx, dy, .weight(weight), lora, plus: dx, label: label)
    }

    /// y = x·Wᵀ (+ h·Bᵀ), W a row-major f32 matrix.
    package func matmul(
        into y: Tensor, _ x: Tensor, matrix: Tensor, lora: LoRATerm?, label: String = "matmul"
    ) throws(VulkanError) {
        try product(.nt, y, x, .tensor(matrix), lora, label: label)
    }

    /// dx = dy·W (+ g·A), or dx += that; W a row-major f32 matrix.
    package func matmulBackward(
        _ dx: Tensor, accumulate: Bool, _ dy: Tensor, matrix: Tensor, lora: LoRATerm?,
        label: String = "matmulBackward"
    ) throws(VulkanError) {
        try product(.nn, dx, dy, .tensor(matrix), lora, plus: accumulate ? dx : nil, label: label)
    }

    // MARK: Adapters

    /// h (M, R) = s·x·Aᵀ
    package func loraDown(
        into h: Tensor, _ x: Tensor, loraA: Tensor, scaling: Float, label: String = "loraDown"
    ) throws(VulkanError) {
        try product(.nt, h, x, .tensor(loraA), scale: scaling, label: label)
    }

    /// g (M, R) = s·dy·B
    package func loraDownBackward(
        into g: Tensor, _ dy: Tensor, loraB: Tensor, scaling: Float, label: String = "loraDownBackward"
    ) throws(VulkanError) {
        try product(.nn, g, dy, .tensor(loraB), scale: scaling, label: label)
    }

    /// dA (R, in) += gᵀ·x
    package func loraGradientA(
        addingTo dA: Tensor, g: Tensor, x: Tensor, label: String = "loraGradientA"
    ) throws(VulkanError) {
        try product(.tn, dA, g, .tensor(x), plus: dA, label: label)
    }

    /// dB (out, R) += dyᵀ·h
    package func loraGradientB(
        addingTo dB: Tensor, dy: Tensor, h: Tensor, label: String = "loraGradientB"
    ) throws(VulkanError) {
        try product(.tn, dB, dy, .tensor(h), plus: dB, label: label)
    }

    // MARK: Any two matrices

    /// y = s·op(a, b): a·bᵀ (.nt), a·b (.nn) or aᵀ·b (.tn), all row-major f32 of any size.
    package func matmul(
        _ op: Shader.Op, into y: Tensor, _ a: Tensor, _ b: Tensor, scale: Float = 1, label: String = "matmul"
    ) throws(VulkanError) {
        try product(op, y, a, .tensor(b), scale: scale, label: label)
    }

    /// y += s·op(a, b)
    package func matmul(
        _ op: Shader.Op, addingTo y: Tensor, _ a: Tensor, _ b: Tensor, scale: Float = 1,
        label: String = "matmul"
    ) throws(VulkanError) {
        try product(op, y, a, .tensor(b), scale: scale, plus: y, label: label)
    }

    private func product(
        _ op: Shader.Op, _ y: Tensor, _ x: Tensor, _ w: MatmulMatrix, _ lora: LoRATerm? = nil,
        scale: Float = 1, plus: Tensor? = nil, label: String
    ) throws(VulkanError) {
        let product = MatmulProduct(
            op: op, y: y, yColumn: y.column, x: x, xColumn: x.column, w: w, lora: lora, scale: scale,
            plus: plus)
        product.check(label)
        guard y.count > 0 else { return }
        // The kernels take at least one step along the sum.
        if product.k == 0 {
            if let plus {
                if !plus.slice.isSame(as: y.slice) { try copy(into: y.slice, from: plus.slice) }
            } else {
                try fill(y.slice)
            }
            return
        }
        try run(product, label: label)
    }
}

extension MatmulProduct {
    fileprivate func check(_ label: String) {
        precondition(op != .tt, "\(label): TT is a kernel's own")
        let (rows, sum) = op == .tn ? (x.width, x.rows) : (x.rows, x.width)
        precondition(
            y.rows == rows && y.width == n && sum == k,
            "\(label): \(op) of \(x.shape) and (\(w.rows), \(w.columns)) into \(y.shape)")
        if let plus {
            precondition(
                plus.shape == y.shape && plus.pitch == y.pitch && plus.column == y.column,
                "\(label): \(plus.shape) and \(y.shape)")
        }
        guard let lora else { return }
        precondition(
            lora.h.rows == m && lora.h.width == rank && rank > 0 && rank % 4 == 0
                && lora.matrix.count == rank * n,
            "\(label): an adapter of \(lora.h.shape) and \(lora.matrix.shape) for \(y.shape)")
    }
}
