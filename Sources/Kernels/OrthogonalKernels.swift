// Muon's steps that are no products of matrices: momentum, unit length, the update.

import VulkanCompute

extension CommandEncoder {
    private static let unitChunk = 1024  // floats a workgroup

    /// b = μ·b + (1 − μ)·g, and x, what is made orthogonal of it.
    package func muonMomentum(
        _ momentum: Tensor, into x: Tensor, gradients: Tensor, rates: Tensor?, state: BufferSlice,
        result: BufferSlice, label: String
    ) throws(VulkanError) {
        try elementwise(
            [x, momentum, momentum, gradients], uniforms: [state, result], more: rates.map { [$0] } ?? [],
            label: label
        ) { family, _ in (Shader.muonMomentum(family: family, rates: rates == nil ? .one : .each), []) }
    }

    /// x /= ‖x‖, by the trace of its square matrix `gram`.
    package func muonUnit(_ x: Tensor, gram: Tensor, label: String) throws(VulkanError) {
        let rows = (x.count + Self.unitChunk - 1) / Self.unitChunk
        precondition(x.count % 4 == 0 && gram.rows == gram.width, "\(label): \(x.shape) by \(gram.shape)")
        for span in capabilities.spans(of: rows, rowByteCounts: [Self.unitChunk * 4], family: family) {
            let elements = span.lowerBound * Self.unitChunk..<min(span.upperBound * Self.unitChunk, x.count)
            try dispatch(
                Shader.muonUnit(family: family == .shared ? .shared : .subgroup),
                [x.elements(elements).slice, gram.slice], push: [elements.count / 4, gram.width],
                specialization: rowLanes.merging(["CHUNK": UInt32(Self.unitChunk / 4)]) { $1 },
                groups: span.count, label: label)
        }
    }

    /// p −= lr·wd·p; p −= lr·scale·x
    package func muon(
        updating parameters: Tensor, by x: Tensor, scale: Float, rates: Tensor?, state: BufferSlice,
        result: BufferSlice, label: String
    ) throws(VulkanError) {
        try elementwise(
            [parameters, parameters, x], uniforms: [state, result], more: rates.map { [$0] } ?? [],
            label: label
        ) { family, _ in (Shader.muon(family: family, rates: rates == nil ? .one : .each), [scale]) }
    }
}
