// Operations whose every output element depends on the same element of their inputs: sums, activations, dropout. Outputs
// may be inputs. Counts are multiples of 4.

import VulkanCompute

extension Shader {
    /// What stands between the matrices of an MLP; `lib/activation.glsl` has the formulas. The values are its constant's.
    package enum Activation: UInt32, CaseIterable, Sendable {
        case silu, gelu, geluTanh, relu2, clamped
    }
}

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

    /// y = c·tanh(x/c)
    package func cap(
        into y: Tensor, _ x: Tensor, by limit: Float, label: String = "cap"
    ) throws(VulkanError) {
        precondition(limit > 0, "\(label): a cap of \(limit)")
        try elementwise([y, x], label: label) { family, _ in (Shader.cap(family: family), [limit]) }
    }

    /// a = f(x)·gate, or f(x) where there is no gate
    package func activation(
        _ function: Shader.Activation, into a: Tensor, _ x: Tensor, times gate: Tensor? = nil,
        label: String = "activation"
    ) throws(VulkanError) {
        try elementwise(
            [a, x, gate ?? x], constants: constants(function, gate), label: label
        ) { family, _ in (Shader.activation(family: family), []) }
    }

    /// dx = da·gate·f′(x), dgate = da·f(x), and a itself once more, which the gradients behind it are computed from.
    package func activationBackward(
        _ function: Shader.Activation, intoX dx: Tensor, gate dgate: Tensor? = nil, activation a: Tensor,
        _ da: Tensor, x: Tensor, gate: Tensor? = nil, label: String = "activationBackward"
    ) throws(VulkanError) {
        precondition((dgate == nil) == (gate == nil), "\(label): a gate or its gradient is missing")
        try elementwise(
            [dx, dgate ?? dx, a, da, x, gate ?? x], constants: constants(function, gate), label: label
        ) { family, _ in (Shader.activationBackward(family: family), []) }
    }

    private func constants(_ function: Shader.Activation, _ gate: Tensor?) -> [String: UInt32] {
        ["ACTIVATION": function.rawValue, "GATED": gate == nil ? 0 : 1]
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

    /// y = x + u·α/√(L·C), u uniform in [−1, 1), `x` (N, C), `spans` (N, 2) of ints: start and end of each row's sequence of L rows.
    package func embeddingNoise(
        into y: Tensor, _ x: Tensor, spans: Tensor, alpha: Float, state: BufferSlice, label: String = "noise"
    ) throws(VulkanError) {
        precondition(
            spans.count == 2 * x.rows && spans.dtype == .i32 && x.pitch == x.width && x.width % 4 == 0,
            "\(label): \(x.shape), spans \(spans.shape)")
        let amplitude = alpha / Float(x.width).squareRoot()
        try elementwise([y, x], uniforms: [state, spans.slice], label: label) { family, first4 in
            (Shader.embeddingNoise(family: family), [amplitude, x.width / 4, first4])
        }
    }

    /// Runs a kernel over all elements of tensors of one size; `kernel` gives it, and what it is pushed after the count,
    /// for the span that begins at the vec4 it is told. The kernel binds `tensors`, then `uniforms`, then `more` tensors.
    func elementwise(
        _ tensors: [Tensor], uniforms: [BufferSlice] = [], more: [Tensor] = [],
        constants: [String: UInt32] = [:], label: String,
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
        let stripe = stripe
        for span in capabilities.spans(of: count / 4, rowByteCounts: [16], family: family) {
            let (shader, push) = kernel(family == .texel ? .texel : .shared, span.lowerBound)
            func slices(_ tensors: [Tensor]) -> [BufferSlice] {
                tensors.map { $0.slice.slice(span.lowerBound * 16, byteCount: span.count * 16) }
            }
            try dispatch(
                shader, slices(tensors) + uniforms + slices(more), push: [span.count] + push,
                specialization: stripe.constants.merging(constants) { $1 },
                groups: stripe.groups(span.count), label: label)
        }
    }

    /// How kernels share out consecutive runs of four: `lib/stripe.glsl`.
    var stripe: Stripe {
        Stripe(lanes: capabilities.lanes(family), vectors: capabilities.type == .cpu ? 8 : 1)
    }
}

struct Stripe {
    let lanes: Int
    let vectors: Int

    var constants: [String: UInt32] { ["LANES": UInt32(lanes), "VECTORS": UInt32(vectors)] }
    func groups(_ count4: Int) -> Int { (count4 + lanes * vectors - 1) / (lanes * vectors) }
}
