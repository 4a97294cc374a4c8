// The gradient norm of a flat buffer with its clip factor, and optimizers over flat buffers of one layout.

import VulkanCompute

extension CommandEncoder {
    private static let chunk = 4096  // gradients a partial sum

    /// Floats of scratch that `gradientNorm` needs for `count` gradients.
    package static func gradientNormScratchCount(_ count: Int) -> Int { (count + chunk - 1) / chunk }

    /// Writes `gradientNorm`, `clipFactor` and `skipped` of `result`, with `maxGradientNorm` from `state`. Parameters whose
    /// multiplier in `rates` is 0 do not count.
    package func gradientNorm(
        into result: BufferSlice, _ gradients: Tensor, rates: Tensor? = nil, scratch: Tensor,
        state: BufferSlice,
        label: String = "gradientNorm"
    ) throws(VulkanError) {
        let count = gradients.count
        let partials = Self.gradientNormScratchCount(count)
        precondition(
            count > 0 && count % 4 == 0 && scratch.count == partials,
            "\(label): \(count) gradients need \(partials) floats of scratch, not \(scratch.count)")
        for span in capabilities.spans(of: partials, rowByteCounts: [Self.chunk * 4], family: family) {
            let elements = span.lowerBound * Self.chunk..<min(span.upperBound * Self.chunk, count)
            try dispatch(
                Shader.squareSums(family: family, rates: rates == nil ? .one : .each),
                [scratch.slice, gradients.elements(elements).slice]
                    + (rates.map { [$0.elements(elements).slice] } ?? []),
                push: [elements.count / 4, span.lowerBound],
                specialization: rowLanes.merging(["CHUNK": UInt32(Self.chunk / 4)]) { $1 },
                groups: span.count, label: label)
        }
        try dispatch(
            Shader.gradientNorm(family: family == .shared ? .shared : .subgroup),
            [result, scratch.slice, state],
            push: [partials], specialization: rowLanes, groups: 1, label: label)
    }

    /// One step of an optimizer whose every number follows from the same number of its inputs, with the settings in `state`, the
    /// gradients clipped by `result.clipFactor`; nothing changes where `result.skipped`. `rates` multiply the learning rate,
    /// parameter by parameter. The kernel binds the outputs (parameters, then `states`), the same as inputs, gradients, state,
    /// result, rates.
    package func update(
        _ kernel: (Shader.Family, Shader.Rates) -> Shader, _ parameters: Tensor, _ states: [Tensor],
        gradients: Tensor, rates: Tensor? = nil, state: BufferSlice, result: BufferSlice, label: String
    ) throws(VulkanError) {
        try elementwise(
            [parameters] + states + [parameters] + states + [gradients], uniforms: [state, result],
            more: rates.map { [$0] } ?? [], label: label
        ) { family, _ in (kernel(family, rates == nil ? .one : .each), []) }
    }

    /// One step of AdamW.
    package func adamW(
        updating parameters: Tensor, m: Tensor, v: Tensor, gradients: Tensor, rates: Tensor? = nil,
        state: BufferSlice, result: BufferSlice, label: String = "adamW"
    ) throws(VulkanError) {
        try update(
            Shader.adamw, parameters, [m, v], gradients: gradients, rates: rates, state: state,
            result: result, label: label)
    }
}

extension Shader {
    /// Whether all parameters learn at one rate.
    package enum Rates: String, Sendable { case one, each }
}
