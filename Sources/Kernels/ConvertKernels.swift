// Numbers from one floating-point format to another.

import VulkanCompute

extension Shader {
    package enum FloatFormat: String, CaseIterable, Sendable {
        case f32, f16, bf16

        package var byteCount: Int { self == .f32 ? 4 : 2 }
    }
    package typealias From = FloatFormat
    package typealias To = FloatFormat
}

extension CommandEncoder {
    /// `y` = `x`, rounded to nearest even. `count` numbers; both slices have room for it rounded up to a multiple of 4.
    package func convert(
        into y: BufferSlice, _ to: Shader.FloatFormat, _ x: BufferSlice, _ from: Shader.FloatFormat,
        count: Int,
        label: String = "convert"
    ) throws(VulkanError) {
        let fours = (count + 3) / 4
        let (yBytes, xBytes) = (4 * to.byteCount, 4 * from.byteCount)
        precondition(
            y.byteCount >= fours * yBytes && x.byteCount >= fours * xBytes,
            "\(label): \(count) numbers from \(x.byteCount) to \(y.byteCount) bytes")
        let lanes = capabilities.lanes(family)
        let vectors = capabilities.type == .cpu ? 8 : 1
        for span in capabilities.spans(of: fours, rowByteCounts: [yBytes, xBytes], family: .shared) {
            try dispatch(
                Shader.convert(from: from, to: to),
                [
                    y.slice(span.lowerBound * yBytes, byteCount: span.count * yBytes),
                    x.slice(span.lowerBound * xBytes, byteCount: span.count * xBytes),
                ], push: [span.count],
                specialization: ["LANES": UInt32(lanes), "VECTORS": UInt32(vectors)],
                groups: (span.count + lanes * vectors - 1) / (lanes * vectors), label: label)
        }
    }
}
