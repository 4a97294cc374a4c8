// A block for one token behind a cache, in as few kernels as there can be: on a software device, where starting one costs as
// much as its work. It computes what Block.forward does.

import Kernels
import VulkanCompute

extension Block {
    /// Takes over `x` (1, C) and returns y in its place; nil, with nothing recorded, where the device, a weight's size or an
    /// adapter's method asks for the general forward.
    func step(_ x: Tensor, _ cache: KVCache.Layer, _ pass: Pass) throws(VulkanError) -> Tensor? {
        guard x.rows == 1, !pass.isTraining, let parts = StepParts(self, pass) else { return nil }
        let (encoder, arena) = (pass.encoder, pass.arena)
        let qkv = arena.take(1, parts.widths.reduce(0, +))
        let (q, k, v) = parts.heads(of: qkv)
        let inputNorm = InputNorm(weight: inputNorm, epsilon: epsilon)
        if let weight = parts.qkv {
            try encoder.linearStep(into: qkv, x, weight: weight, norm: inputNorm, label: "q, k, v")
        } else {
            for (y, linear) in zip([q, k, v], [qProj, kProj, vProj]) {
                try encoder.linearStep(
                    into: y, x, weight: linear.weight, norm: inputNorm, adapter: parts.adapters[linear.site],
                    label: linear.name)
            }
        }
        let attention = arena.take(1, qProj.outFeatures)
        let lse = arena.take(1, heads)
        try encoder.appendToCache(
            keys: cache.keys, values: cache.values, rotating: q, k, v, positions: pass.batch.positions,
            table: rotaryTable, offset: pass.batch.keyOffset)
        try encoder.attention(
            into: attention, lse: lse, q: q, k: cache.keys, v: cache.values, spans: pass.batch.spans,
            shape: attentionShape, keyOffset: pass.batch.keyOffset)
        try encoder.linearStep(
            addingTo: x, attention, weight: oProj.weight, adapter: parts.adapters[oProj.site],
            label: oProj.name)
        arena.give(qkv, attention, lse)
        let activation = arena.take(1, gateProj.outFeatures)
        try encoder.gatedStep(
            into: activation, x, weight: parts.gateUp,
            norm: InputNorm(weight: postAttentionNorm, epsilon: epsilon),
            gate: parts.adapters[gateProj.site], up: parts.adapters[upProj.site], label: "gate, up")
        try encoder.linearStep(
            addingTo: x, activation, weight: downProj.weight, adapter: parts.adapters[downProj.site],
            label: downProj.name)
        arena.give(activation)
        return x
    }
}

/// What a block's step runs on: weights that lie together as one, and the adapters' factors by the layers' sites.
private struct StepParts {
    let widths: [Int]
    /// nil where adapters of their own keep q, k and v apart.
    let qkv: Weight?
    let gateUp: Weight
    private(set) var adapters: [Int: LowRankFactors] = [:]

    init?(_ block: Block, _ pass: Pass) {
        let encoder = pass.encoder
        for linear in block.linears {
            guard let layer = pass.adapter?.layer(linear.name) else { continue }
            guard let term = layer.method.lowRank(layer) else { return nil }
            adapters[linear.site] = LowRankFactors(down: term.down, up: term.up, scaling: term.scaling)
        }
        let qkvLinears = [block.qProj, block.kProj, block.vProj]
        widths = qkvLinears.map(\.outFeatures)
        let aligned = widths.allSatisfy { $0 * 4 % encoder.capabilities.bindingAlignment == 0 }
        let adapters = adapters
        let fuses = block.linears.allSatisfy { encoder.fuses($0.weight, [adapters[$0.site]]) }
        guard aligned, fuses, let gateUp = Weight.joined([block.gateProj.weight, block.upProj.weight]),
            encoder.fuses(gateUp)
        else { return nil }
        self.gateUp = gateUp
        let joined = Weight.joined(qkvLinears.map(\.weight))
        let adapted = qkvLinears.contains { adapters[$0.site] != nil }
        qkv = joined.flatMap { !adapted && encoder.fuses($0) ? $0 : nil }
    }

    /// q, k and v, which lie behind each other in one row.
    func heads(of qkv: Tensor) -> (q: Tensor, k: Tensor, v: Tensor) {
        func part(_ first: Int, _ width: Int) -> Tensor {
            Tensor(qkv.slice.slice(first * 4, byteCount: width * 4), shape: [1, width])
        }
        return (
            part(0, widths[0]), part(widths[0], widths[1]), part(widths[0] + widths[1], widths[2])
        )
    }
}
