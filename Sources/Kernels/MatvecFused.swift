// One row through a linear layer with all that stands around it, in one kernel: on a software device starting a kernel costs
// as much as the work of many.

import VulkanCompute

/// An adapter's part of a layer: s·(x·Dᵀ)·Uᵀ.
package struct LowRankFactors: Sendable {
    package let down: Tensor  // (R, I)
    package let up: Tensor  // (O, R)
    package let scaling: Float

    package init(down: Tensor, up: Tensor, scaling: Float) {
        (self.down, self.up, self.scaling) = (down, up, scaling)
    }
}

/// RMSNorm in front of a layer.
package struct InputNorm: Sendable {
    package let weight: Tensor  // (C)
    package let epsilon: Float

    package init(weight: Tensor, epsilon: Float) { (self.weight, self.epsilon) = (weight, epsilon) }
}

extension CommandEncoder {
    /// Whether this device runs the weight so, with the adapters: the fused kernel takes each in one binding.
    package func fuses(_ weight: Weight, _ adapters: [LowRankFactors?] = []) -> Bool {
        let family = fusedFamily(weight)
        let limit =
            family == .texel
            ? capabilities.maxTexelBufferElements * 16 : capabilities.maxStorageBufferRange
        return family != .shared
            && MatmulMatrix.weight(weight).spans(capabilities, family, rank: 0, atMost: .max).count == 1
            && adapters.allSatisfy { max($0?.down.byteCount ?? 0, $0?.up.byteCount ?? 0) <= limit }
    }

    /// y = n·Wᵀ + s·(n·Dᵀ)·Uᵀ + bias, n = x or rms(x); `x` (1, I), `y` (1, O), `bias` (O).
    package func linearStep(
        into y: Tensor, _ x: Tensor, weight: Weight, norm: InputNorm? = nil, adapter: LowRankFactors? = nil,
        bias: Tensor? = nil, label: String = "linearStep"
    ) throws(VulkanError) {
        try fused(y, x, weight, norm, [adapter], plus: bias, gated: nil, label)
    }

    /// y += x·Wᵀ + s·(x·Dᵀ)·Uᵀ + bias; the bias takes a kernel of its own.
    package func linearStep(
        addingTo y: Tensor, _ x: Tensor, weight: Weight, adapter: LowRankFactors? = nil, bias: Tensor? = nil,
        label: String = "linearStep"
    ) throws(VulkanError) {
        try fused(y, x, weight, nil, [adapter], plus: y, gated: nil, label)
        if let bias { try addRow(bias, to: y, label: label) }
    }

    /// y = f(gate)·up, where the first half of W's rows (and the adapter `gate`) gives the one, the second the other.
    package func gatedStep(
        into y: Tensor, _ x: Tensor, weight: Weight, activation: Shader.Activation = .silu,
        norm: InputNorm? = nil, gate: LowRankFactors? = nil, up: LowRankFactors? = nil,
        label: String = "gatedStep"
    ) throws(VulkanError) {
        try fused(y, x, weight, norm, [gate, up], plus: nil, gated: activation, label)
    }

    private func fused(
        _ y: Tensor, _ x: Tensor, _ weight: Weight, _ norm: InputNorm?, _ adapters: [LowRankFactors?],
        plus: Tensor?, gated activation: Shader.Activation?, _ label: String
    ) throws(VulkanError) {
        let (layout, gated) = (weight.layout, activation != nil)
        let outputs = gated ? layout.rows / 2 : layout.rows
        precondition(
            x.rows == 1 && y.rows == 1 && x.width == layout.columns && y.width == outputs && outputs % 4 == 0
                && norm?.weight.count ?? x.width == x.width && plus?.count ?? outputs == outputs,
            "\(label): \(x.shape) by (\(layout.rows), \(layout.columns)) into \(y.shape)")
        for case let adapter? in adapters {
            precondition(
                adapter.down.width == x.width && adapter.up.rows == outputs
                    && adapter.up.width == adapter.down.rows && adapter.down.rows % 4 == 0,
                "\(label): an adapter of \(adapter.down.shape) and \(adapter.up.shape)")
        }
        let family = fusedFamily(weight)
        let lanes = capabilities.lanes(family)
        let tile = KernelSelection.matvecTile(m: 1, n: layout.rows, family: family, lanes: lanes)
        var constants = tile.specialization
        constants["ROWS"] = nil
        constants["ACCUMULATE"] = plus == nil ? 0 : 1
        constants["NORMED"] = norm == nil ? 0 : 1
        constants["GATED"] = gated ? 1 : 0
        constants["ACTIVATION"] = (activation ?? .silu).rawValue
        if gated { constants["GROUPS"] = 2 }
        let columns = gated ? 4 * lanes : tile.columns
        let (first, second) = (adapters[0], adapters.count > 1 ? adapters[1] : nil)
        let rank = adapters.reduce(0) { $0 + ($1?.down.rows ?? 0) }
        // What a case does not read is bound to x.
        let planes = [weight.tiles] + (weight.scales.map { [$0] } ?? [])
        let factors = [first?.down, first?.up, second?.down, second?.up].map { ($0 ?? x).slice }
        try dispatch(
            Shader.matvecFused(family: family, weight: layout.type),
            [y.slice, (plus ?? x).slice, x.slice, (norm?.weight ?? x).slice] + factors + planes,
            push: [
                layout.rows, layout.columns, first?.down.rows ?? 0, second?.down.rows ?? 0,
                first?.scaling ?? 0, second?.scaling ?? 0, norm?.epsilon ?? 0,
            ],
            specialization: constants, groups: (outputs + columns - 1) / columns,
            flops: 2 * Double(layout.rows * layout.columns + rank * (x.width + outputs)), label: label)
    }

    /// Texels of two words, of which some quantised weights' scales consist, are an extra of the device.
    private func fusedFamily(_ weight: Weight) -> Shader.Family {
        family == .texel && weight.layout.isQuantised && !capabilities.extendedTexelFormats
            ? .subgroup : family
    }
}
