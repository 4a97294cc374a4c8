// Products of rows that lie expert by expert with their experts' frozen weights: y = x·W_eᵀ and dx = dy·W_e. Only weights of
// experts that have rows are read, and work is in proportion to the rows, but for one tile of an expert that is not full.

import VulkanCompute

/// Weights W_e (O, I) of E experts, one behind the other.
package struct ExpertWeights: Sendable {
    package let whole: Weight  // (E·O, I)
    package let experts: Int

    package init(_ whole: Weight, experts: Int) {
        precondition(
            whole.layout.rows % (4 * experts) == 0, "(\(whole.layout.rows), …) of \(experts) experts")
        (self.whole, self.experts) = (whole, experts)
    }

    var outFeatures: Int { whole.layout.rows / experts }  // O
    var inFeatures: Int { whole.layout.columns }  // I

    func experts(_ range: Range<Int>) -> Weight {
        whole.rows(range.lowerBound * outFeatures..<range.upperBound * outFeatures)
    }
}

extension WeightLayout {
    /// Of the rows of `experts` weights, runs of experts whose weights fit one binding; nil where not even the fewest that can be
    /// bound alone do.
    package func expertSpans(
        _ experts: Int, _ family: Shader.Family, _ capabilities: Capabilities
    ) -> [Range<Int>]? {
        let planes = [
            (bandTileByteCount * rows / 4 / experts, tileTexelByteCount),
            (bandScaleByteCount * rows / 4 / experts, scaleByteCount),
        ].filter { $0.0 > 0 }
        let most =
            planes.map { size, texel in
                min(
                    capabilities.maxStorageBufferRange / size,
                    family == .texel ? capabilities.maxTexelBufferElements / (size / texel) : .max)
            }.min() ?? 0
        if most >= experts { return [0..<experts] }
        var granule = 1
        while planes.contains(where: { $0.0 * granule % capabilities.bindingAlignment != 0 }) { granule *= 2 }
        let size = most / granule * granule
        guard size > 0 else { return nil }
        return stride(from: 0, to: experts, by: size).map { $0..<min($0 + size, experts) }
    }
}

extension CommandEncoder {
    /// y (S, O) = x·W_eᵀ; `x` (S, I), or where `isGathered` (N, I), a row a token.
    package func expertProduct(
        into y: Tensor, _ x: Tensor, _ weights: ExpertWeights, _ slots: ExpertSlots, isGathered: Bool = false,
        label: String = "experts"
    ) throws(VulkanError) {
        try product(.nt, y, x, weights, slots, isGathered, accumulate: false, label)
    }

    /// dx (S, I) = dy·W_e, or dx += that; `dy` (S, O), or where `isGathered` (N, O), a row a token.
    package func expertProductBackward(
        into dx: Tensor, accumulate: Bool = false, _ dy: Tensor, _ weights: ExpertWeights,
        _ slots: ExpertSlots, isGathered: Bool = false, label: String = "experts dx"
    ) throws(VulkanError) {
        try product(.nn, dx, dy, weights, slots, isGathered, accumulate: accumulate, label)
    }

    private func product(
        _ op: Shader.Op, _ y: Tensor, _ x: Tensor, _ weights: ExpertWeights, _ slots: ExpertSlots,
        _ isGathered: Bool, accumulate: Bool, _ label: String
    ) throws(VulkanError) {
        let (outputs, inputs) =
            op == .nt
            ? (weights.outFeatures, weights.inFeatures) : (weights.inFeatures, weights.outFeatures)
        precondition(
            y.shape == [slots.count, outputs] && x.shape == [isGathered ? slots.tokens : slots.count, inputs]
                && [x, y].allSatisfy { $0.pitch == $0.width } && outputs % 4 == 0 && inputs % 4 == 0,
            "\(label): \(x.shape) to \(y.shape) by \(weights.experts) of (\(weights.outFeatures), \(weights.inFeatures))"
        )
        let layout = weights.whole.layout
        let family = expertFamily(layout, weights.experts, isGathered ? x : nil)
        guard let experts = layout.expertSpans(weights.experts, family, capabilities) else {
            preconditionFailure("\(label): an expert's weight does not fit a binding")
        }
        let tile = KernelSelection.expertTile(slots.tileRows, n: outputs, family, capabilities)
        let constants = tile.specialization.merging([
            "GATHERED": isGathered ? 1 : 0, "ACCUMULATE": accumulate ? 1 : 0,
        ]) { $1 }
        let shader =
            family == .shared
            ? Shader.matmulExpertsShared(op: op, weight: layout.type)
            : Shader.matmulExperts(op: op, family: family, weight: layout.type)
        let rowBytes = [outputs * 4] + (isGathered ? [] : [inputs * 4])
        for span in capabilities.spans(of: slots.count, rowByteCounts: rowBytes, family: family) {
            let part = y.rows(span)
            for experts in experts {
                let weight = weights.experts(experts)
                try dispatch(
                    shader,
                    [part, part, isGathered ? x : x.rows(span), slots.tiles, slots.order].map(\.slice)
                        + [weight.tiles] + (weight.scales.map { [$0] } ?? []),
                    push: [
                        span.count, outputs, inputs, span.lowerBound, experts.lowerBound, experts.count,
                        slots.used, inputs / 4, outputs / 4, 0, Float(1),
                    ],
                    specialization: constants,
                    groups: slots.tiles.rows * ((outputs + tile.columns - 1) / tile.columns),
                    flops: 2 * Double(span.count) * Double(experts.count) / Double(weights.experts)
                        * Double(outputs * inputs),
                    possibleFlops: experts.count == weights.experts
                        ? 0 : 2 * Double(span.count) * Double(outputs * inputs),
                    label: label)
            }
        }
    }

    private func expertFamily(_ layout: WeightLayout, _ experts: Int, _ whole: Tensor?) -> Shader.Family {
        guard family == .texel else { return family }
        let fits =
            (whole?.byteCount ?? 0) <= capabilities.maxTexelBufferElements * 16
            && layout.expertSpans(experts, .texel, capabilities) != nil
        return fits && (capabilities.extendedTexelFormats || !layout.isQuantised) ? .texel : .subgroup
    }
}

extension KernelSelection {
    /// Rows of a tile, where an expert has about slots / experts rows. A tile costs what unpacking a weight costs, as much as the
    /// products of some rows, and half of an expert's last tile is for nothing.
    static func expertRows(
        slots: Int, _ experts: Int, _ family: Shader.Family, _ capabilities: Capabilities
    ) -> Int {
        let best = (12 * Double(slots) / Double(experts)).squareRoot()
        let sizes = family == .shared ? [16, 32] : [1, 2, 4, 8, 16, 32]
        return sizes.last { Double($0) <= best * 1.4 } ?? sizes[0]
    }

    /// A tile of `rows` rows, 1 or what `expertRows` said, for an output of n columns.
    static func expertTile(
        _ rows: Int, n: Int, _ family: Shader.Family, _ capabilities: Capabilities
    ) -> MatmulTile {
        if family == .shared {
            let tileK: UInt32 = capabilities.maxSharedMemory >= 20 << 10 ? 32 : 16
            return sharedTile(
                m: rows, n: n, capabilities,
                chosen: sharedSides(rows <= 16 ? 16 : 32, 64, tileK, 4, 4))
        }
        let lanes = capabilities.subgroupSize
        let groups = lanes <= 8 && rows >= 8 && n >= 8 * 8 * lanes ? 2 : 1
        return MatmulTile(
            rows: rows, columns: 4 * lanes * groups,
            specialization: [
                "LANES": UInt32(lanes), "ROWS": UInt32(rows), "GROUPS": UInt32(groups),
                "STEPS": rows < 8 ? 4 : 1, "SUMMED": sumsSteps(capabilities) ? 1 : 0,
            ])
    }
}
