// Operations whose every output element depends on the same element of their inputs: sums, SwiGLU, dropout. Outputs
// may be inputs. Counts are multiples of 4.

import VulkanCompute

extension CommandEncoder {
    /// y = a + scale·b
    package func add(
        into y: Tensor, _ a: Tensor, _ b: Tensor, scaledBy scale: Float = 1, label: String = "add"
    ) throws(VulkanError) {
        try addScaled(y, a, b, scale, label)
    }

    /// y += scale·x
    package func add(
        _ x: Tensor, scaledBy scale: Float = 1, addingTo y: Tensor, label: String = "add"
    ) throws(VulkanError) {
        try addScaled(y, y, x, scale, label)
    }

    private func addScaled(
        _ y: Tensor, _ a: Tensor, _ b: Tensor, _ scale: Float, _ label: String
    ) throws(VulkanError) {
        try elementwise([y, a, b], label: label) { family, _ in (Shader.addScaled(family: family), [scale]) }
    }

    /// y = factor·x
    package func scale(
        into y: Tensor, _ x: Tensor, by factor: Float, label: String = "scale"
    ) throws(VulkanError) {
        try elementwise([y, x], label: label) { family, _ in (Shader.scale(family: family), [factor]) }
    }

    /// a = silu(gate)·up
    package func swiGLU(
        into a: Tensor, gate: Tensor, up: Tensor, label: String = "swiGLU"
    ) throws(VulkanError) {
        try elementwise([a, gate, up], label: label) { family, _ in (Shader.swiglu(family: family), []) }
    }

    /// Also a itself once more, which the gradients behind it are computed from.
    package func swiGLUBackward(
        intoGate dgate: Tensor, up dup: Tensor, activation a: Tensor, _ da: Tensor, gate: Tensor, up: Tensor,
        label: String = "swiGLUBackward"
    ) throws(VulkanError) {
        try elementwise([dgate, dup, a, da, gate, up], label: label) { family, _ in
            (Shader.swigluBackward(family: family), [])
        }
    }

    /// y = x·mask/(1 − p), the mask drawn from the seed and pass in `state`, the layer, the site in it and the element.
    /// The backward is the same on dy.
    package func dropout(
        into y: Tensor, _ x: Tensor, probability: Double, state: BufferSlice, layer: Int, site: Int,
        label: String = "dropout"
    ) throws(VulkanError) {
        precondition((0..<1).contains(probability), "\(label): probability \(probability)")
        let threshold = UInt32(min(probability * 4_294_967_296, 4_294_967_295))
        let scale = Float(1 / (1 - probability))
        try elementwise([y, x], uniforms: [state], label: label) { family, first4 in
            (Shader.dropout(family: family), [threshold, scale, layer, site, first4])
        }
    }

    /// Runs a kernel over all elements of tensors of one size; `kernel` gives it, and what it is pushed after the count,
    /// for the span that begins at the vec4 it is told. The kernel binds `tensors`, then `uniforms`, then `more` tensors.
    func elementwise(
        _ tensors: [Tensor], uniforms: [BufferSlice] = [], more: [Tensor] = [], label: String,
        kernel: (Shader.Family, Int) -> (Shader, [any PushWord])
    ) throws(VulkanError) {
        let count = tensors[0].storedCount
        precondition(
            count % 4 == 0
                && (tensors + more).allSatisfy {
                    $0.storedCount == count && $0.column == 0
                        && $0.pitch - $0.width == tensors[0].pitch - tensors[0].width
                },
            "\(label): shapes \((tensors + more).map(\.shape)), rows at \((tensors + more).map(\.pitch))")
        let lanes = capabilities.lanes(family)
        let vectors = capabilities.type == .cpu ? 8 : 1
        for span in capabilities.spans(of: count / 4, rowByteCounts: [16], family: family) {
            let (shader, push) = kernel(family == .texel ? .texel : .shared, span.lowerBound)
            func slices(_ tensors: [Tensor]) -> [BufferSlice] {
                tensors.map { $0.slice.slice(span.lowerBound * 16, byteCount: span.count * 16) }
            }
            try dispatch(
                shader, slices(tensors) + uniforms + slices(more), push: [span.count] + push,
                specialization: ["LANES": UInt32(lanes), "VECTORS": UInt32(vectors)],
                groups: (span.count + lanes * vectors - 1) / (lanes * vectors), label: label)
        }
    }
}
