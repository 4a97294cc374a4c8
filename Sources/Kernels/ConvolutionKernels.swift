// Gated short convolutions, causal and each channel by itself (LFM2): a[n] = c[n]·(Σ_j w[j]·u[n − j] + v), u = b·x, over the tokens of a
// sequence. b, c, x and a are (N, C), w (L, C) with the token's own tap first, v (C).

import VulkanCompute

package struct ShortConvolution: Sendable {
    let weight: Tensor  // (L, C)
    let bias: Tensor?  // (C)

    package init(weight: Tensor, bias: Tensor?) {
        precondition(
            weight.width % 4 == 0 && bias?.count ?? weight.width == weight.width,
            "taps \(weight.shape) with a bias \(bias?.shape ?? [])")
        (self.weight, self.bias) = (weight, bias)
    }

    package var taps: Int { weight.rows }
    package var width: Int { weight.width }
}

extension CommandEncoder {
    /// `spans` (N, 2) of ints say where each token's sequence begins, counted like token `offset[0]` + n. `past` (L, C): u of tokens
    /// before row 0, token t in row t mod L.
    package func shortConvolution(
        _ convolution: ShortConvolution, into a: Tensor, b: Tensor, c: Tensor, x: Tensor, spans: Tensor,
        offset: Tensor, past: Tensor? = nil, label: String = "convolution"
    ) throws(VulkanError) {
        check(convolution, [a, b, c, x], past, label)
        precondition(spans.count == 2 * a.rows, "\(label): spans \(spans.shape) of \(a.rows) tokens")
        let weight = convolution.weight
        try convolve(
            Shader.shortConv,
            [a, b, c, x, weight, convolution.bias ?? weight, past ?? weight, spans, offset], rows: a.rows,
            convolution, ["PAST": past == nil ? 0 : 1].merging(convolution.biased) { $1 }, label)
    }

    /// Puts u of the last L of these tokens into `past` (L, C).
    package func keepPast(
        of convolution: ShortConvolution, into past: Tensor, b: Tensor, x: Tensor, offset: Tensor,
        label: String = "convolution past"
    ) throws(VulkanError) {
        check(convolution, [b, x], past, label)
        let rows = min(b.rows, convolution.taps)
        try convolve(
            Shader.shortConvPast, [past, b, x, offset], rows: rows, convolution, push: [b.rows - rows], label)
    }

    /// `db`, `dc`, `dx` (N, C) are none of the inputs. `spans` are those of tokens without a past.
    package func shortConvolutionBackward(
        _ convolution: ShortConvolution, intoB db: Tensor, c dc: Tensor, x dx: Tensor, _ da: Tensor,
        b: Tensor, c: Tensor, x: Tensor, spans: Tensor, label: String = "convolution backward"
    ) throws(VulkanError) {
        check(convolution, [db, dc, dx, da, b, c, x], nil, label)
        precondition(spans.count == 2 * da.rows, "\(label): spans \(spans.shape) of \(da.rows) tokens")
        let weight = convolution.weight
        try convolve(
            Shader.shortConvBackward,
            [db, dc, dx, da, b, c, x, weight, convolution.bias ?? weight, spans], rows: da.rows, convolution,
            convolution.biased, label)
    }

    private func check(
        _ convolution: ShortConvolution, _ tensors: [Tensor], _ past: Tensor?, _ label: String
    ) {
        precondition(
            tensors.allSatisfy {
                $0.shape == tensors[0].shape && $0.width == convolution.width && $0.pitch == $0.width
            } && past?.shape ?? convolution.weight.shape == convolution.weight.shape,
            "\(label): \(tensors.map(\.shape)) by taps \(convolution.weight.shape)")
    }

    /// The kernels look at several rows, so they bind the matrices whole.
    private func convolve(
        _ shader: (Shader.Family) -> Shader, _ tensors: [Tensor], rows: Int, _ convolution: ShortConvolution,
        _ constants: [String: UInt32] = [:], push: [any PushWord] = [], _ label: String
    ) throws(VulkanError) {
        let (width4, stripe) = (convolution.width / 4, stripe)
        let isTexel =
            family == .texel
            && tensors.allSatisfy { $0.byteCount <= capabilities.maxTexelBufferElements * 16 }
        try dispatch(
            shader(isTexel ? .texel : .shared), tensors.map(\.slice), push: [rows * width4, width4] + push,
            specialization: stripe.constants.merging(constants) { $1 }
                .merging(["TAPS": UInt32(convolution.taps)]) { $1 },
            groups: stripe.groups(rows * width4), label: label)
    }
}

extension ShortConvolution {
    fileprivate var biased: [String: UInt32] { ["BIASED": bias == nil ? 0 : 1] }
}
