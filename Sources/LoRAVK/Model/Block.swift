// One transformer block of the Llama architecture, forward and backward:
// m = x + o(attention(rope(q(n₁)), rope(k(n₁)), v(n₁))), n₁ = rms(x);  y = m + down(silu(gate(n₂))·up(n₂)), n₂ = rms(m).
// What is cheap to compute again (the norms, the activation) is not kept for the backward.

import Kernels
import VulkanCompute

struct Block: Sendable {
    let inputNorm: Tensor  // (C)
    let qProj: Linear
    let kProj: Linear
    let vProj: Linear
    let oProj: Linear
    let postAttentionNorm: Tensor  // (C)
    let gateProj: Linear
    let upProj: Linear
    let downProj: Linear

    let heads: Int
    let kvHeads: Int
    let epsilon: Float
    let rotaryTable: Tensor  // (P, D)

    /// What reads the same input.
    var headProjections: LinearGroup { LinearGroup(qProj, kProj, vProj) }
    var gateUp: LinearGroup { LinearGroup(gateProj, upProj) }

    var linears: [Linear] { [qProj, kProj, vProj, oProj, gateProj, upProj, downProj] }
    private var width: Int { inputNorm.count }

    /// What the backward needs of the forward.
    struct Kept {
        let x: Tensor  // (N, C)
        let rstd1: Tensor  // (N)
        let q: Tensor  // (N, H·D), rotated
        let k: Tensor  // (N, KVH·D), rotated
        let v: Tensor  // (N, KVH·D)
        let attention: Tensor  // (N, H·D)
        let lse: Tensor  // (N, H)
        // From here on n rows: N, or as many as the output needs.
        let attentionRows: Tensor?  // (n, H·D), where n is not N
        let middle: Tensor  // (n, C)
        let rstd2: Tensor  // (n)
        let gate: Tensor  // (n, F)
        let up: Tensor  // (n, F)
        var h: (heads: LinearGroup.Kept, o: Tensor?, gateUp: LinearGroup.Kept, down: Tensor?)
    }

    // MARK: Forward

    /// Takes over `x` and returns y with what a backward needs; with `keep` false nothing is kept. `outputRows` (n) says of
    /// which tokens y is needed: then y is (n, C), and only keys and values are computed of the others.
    func forward(
        _ x: Tensor, keep: Bool, cache: KVCache.Layer? = nil, outputRows: Tensor? = nil, _ pass: Pass
    ) throws(VulkanError) -> (Tensor, Kept?) {
        var (middle, activation, kept) = try forwardToActivation(
            x, keep: keep, cache: cache, outputRows: outputRows, pass)
        let y = keep ? pass.arena.take(like: middle) : middle
        let hdown = try downProj.forward(
            keep ? .sum(y, plus: middle) : .addingTo(y), activation, pass)
        pass.arena.give(activation)
        if keep { kept?.h.down = hdown } else { pass.arena.give(hdown) }
        return (y, kept)
    }

    /// What a backward needs, computed again from the block's input, which it takes over.
    func recompute(_ x: Tensor, outputRows: Tensor?, _ pass: Pass) throws(VulkanError) -> Kept {
        var (_, activation, kept) = try forwardToActivation(
            x, keep: true, cache: nil, outputRows: outputRows, pass)
        kept?.h.down = try downProj.kept(of: activation, pass)
        pass.arena.give(activation)
        guard let kept else { preconditionFailure("a forward that keeps kept nothing") }
        return kept
    }

    /// Everything up to what down_proj reads: m, silu(gate)·up, and what is kept of all that.
    private func forwardToActivation(
        _ x: Tensor, keep: Bool, cache: KVCache.Layer?, outputRows: Tensor?, _ pass: Pass
    ) throws(VulkanError) -> (middle: Tensor, activation: Tensor, kept: Kept?) {
        let (encoder, arena) = (pass.encoder, pass.arena)
        let n1 = arena.take(x.rows, width)
        let rstd1 = arena.take(x.rows)
        try encoder.rmsNorm(into: n1, rstd: rstd1, x, weight: inputNorm, epsilon: epsilon)
        let q = arena.take(x.rows, qProj.outFeatures)
        let k = arena.take(x.rows, kProj.outFeatures)
        let v = arena.take(x.rows, vProj.outFeatures)
        let hHeads = try headProjections.forward(into: [q, k, v], n1, pass)
        arena.give(n1)

        let attention = arena.take(x.rows, qProj.outFeatures)
        let lse = arena.take(x.rows, heads)
        if let cache {
            try encoder.appendToCache(
                keys: cache.keys, values: cache.values, rotating: q, k, v, positions: pass.batch.positions,
                table: rotaryTable, offset: pass.batch.keyOffset)
            try encoder.attention(
                into: attention, lse: lse, q: q, k: cache.keys, v: cache.values, spans: pass.batch.spans,
                heads: heads, kvHeads: kvHeads, keyOffset: pass.batch.keyOffset)
        } else {
            for heads in [q, k] {
                try encoder.rotary(into: heads, heads, positions: pass.batch.positions, table: rotaryTable)
            }
            try encoder.attention(
                into: attention, lse: lse, q: q, k: k, v: v, spans: pass.batch.spans, heads: heads,
                kvHeads: kvHeads)
        }
        if !keep { arena.give(q, k, v, lse, rstd1) }

        let attentionRows = try outputRows.map { rows throws(VulkanError) in try pass.gather(attention, rows)
        }
        var residual = x
        if let outputRows {
            residual = try pass.gather(x, outputRows)
            if !keep { arena.give(x) }
        }
        let inPlace = !keep || outputRows != nil
        let middle = inPlace ? residual : arena.take(like: residual)
        let ho = try oProj.forward(
            inPlace ? .addingTo(middle) : .sum(middle, plus: residual), attentionRows ?? attention, pass)
        if !keep { arena.give(attention, attentionRows) }
        let n2 = arena.take(middle.rows, width)
        let rstd2 = arena.take(middle.rows)
        try encoder.rmsNorm(into: n2, rstd: rstd2, middle, weight: postAttentionNorm, epsilon: epsilon)
        let gate = arena.takeSpread(middle.rows, gateProj.outFeatures)
        let up = arena.takeSpread(middle.rows, upProj.outFeatures)
        let hGateUp = try gateUp.forward(into: [gate, up], n2, pass)
        arena.give(n2)
        let activation = arena.takeSpread(middle.rows, gateProj.outFeatures)
        try encoder.activation(.silu, into: activation, gate, times: up)
        guard keep else {
            arena.give(gate, up, rstd2, ho)
            headProjections.give(hHeads, to: arena)
            gateUp.give(hGateUp, to: arena)
            return (middle, activation, nil)
        }
        let kept = Kept(
            x: x, rstd1: rstd1, q: q, k: k, v: v, attention: attention, lse: lse,
            attentionRows: attentionRows, middle: middle, rstd2: rstd2, gate: gate, up: up,
            h: (hHeads, ho, hGateUp, nil))
        return (middle, activation, kept)
    }

    // MARK: Backward

    /// Takes over `dx`, the gradient of y, and returns that of x; gives `kept` back. Where nothing below needs a gradient,
    /// the work stops at the lowest adapted layer of this block.
    func backward(
        _ dx: Tensor, _ kept: Kept, inputNeeded: Bool, outputRows: Tensor?, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        let needed = Needed(self, pass.adapter, inputNeeded)
        let arena = pass.arena
        var dx = dx
        try backwardMLP(dx, kept, needed, pass)

        if needed.attentionOutput {
            var dAttention = arena.take(dx.rows, qProj.outFeatures)
            try oProj.backward(
                needed.heads ? .into(dAttention) : .none, dx, x: kept.attentionRows ?? kept.attention,
                h: kept.h.o, pass)
            if needed.heads {
                if let outputRows {
                    dAttention = try pass.scatter(dAttention, outputRows, rows: kept.x.rows)
                    dx = try pass.scatter(dx, outputRows, rows: kept.x.rows)
                }
                try backwardHeads(dx, dAttention, kept, needed, pass)
            }
            arena.give(dAttention)
        } else {
            arena.give(kept.h.o)
        }
        if !needed.heads { headProjections.give(kept.h.heads, to: arena) }
        arena.give(
            kept.x, kept.rstd1, kept.q, kept.k, kept.v, kept.attention, kept.lse, kept.attentionRows,
            kept.middle, kept.rstd2)
        return dx
    }

    private func backwardMLP(_ dx: Tensor, _ kept: Kept, _ needed: Needed, _ pass: Pass) throws(VulkanError) {
        let (encoder, arena) = (pass.encoder, pass.arena)
        // dActivation, and from the activation's backward on the activation itself, which that computes again.
        let activation = arena.takeSpread(dx.rows, gateProj.outFeatures)
        guard needed.mlpInput else {
            try encoder.activation(.silu, into: activation, kept.gate, times: kept.up)
            try downProj.backward(.none, dx, x: activation, h: kept.h.down, pass)
            arena.give(activation, kept.gate, kept.up)
            return gateUp.give(kept.h.gateUp, to: arena)
        }
        // In place: dGate lies where gate lay, dUp where up lay.
        func backwardActivation() throws(VulkanError) {
            try encoder.activationBackward(
                .silu, intoX: kept.gate, gate: kept.up, activation: activation, activation, x: kept.gate,
                gate: kept.up)
        }
        if let term = downProj.termAlone(pass), let h = kept.h.down {
            let g = try downProj.inputGradient(.into(activation), dx, term, isDropped: false, pass)
            try backwardActivation()
            try downProj.parameterGradients(dx, x: activation, h: h, g: g, term, pass)
            arena.give(g, h)
        } else if kept.h.down == nil {
            try downProj.baseBackward(.into(activation), dx, nil, pass)
            try backwardActivation()
        } else {
            let input = arena.take(like: activation)
            try encoder.activation(.silu, into: input, kept.gate, times: kept.up)
            try downProj.backward(.into(activation), dx, x: input, h: kept.h.down, pass)
            arena.give(input)
            try backwardActivation()
        }
        arena.give(activation)
        let (n, dn) = (arena.take(dx.rows, width), arena.take(dx.rows, width))
        try encoder.rmsNorm(
            into: n, rstd: kept.rstd2, kept.middle, weight: postAttentionNorm, epsilon: epsilon)
        let below = needed.attentionOutput
        try gateUp.backward(into: below ? dn : nil, [kept.gate, kept.up], x: n, kept.h.gateUp, pass)
        if below {
            try encoder.rmsNormBackward(
                addingTo: dx, dn, x: kept.middle, weight: postAttentionNorm, rstd: kept.rstd2)
        }
        arena.give(kept.gate, kept.up, n, dn)
    }

    private func backwardHeads(
        _ dx: Tensor, _ dAttention: Tensor, _ kept: Kept, _ needed: Needed, _ pass: Pass
    ) throws(VulkanError) {
        let (encoder, arena) = (pass.encoder, pass.arena)
        let dq = arena.take(dx.rows, qProj.outFeatures)
        let (dk, dv) = (arena.take(dx.rows, kProj.outFeatures), arena.take(dx.rows, vProj.outFeatures))
        let delta = arena.take(dx.rows, heads)
        try encoder.attentionBackward(
            intoQ: dq, k: dk, v: dv, delta: delta, dAttention, out: kept.attention, lse: kept.lse, q: kept.q,
            k: kept.k, v: kept.v, spans: pass.batch.spans, heads: heads, kvHeads: kvHeads)
        for heads in [dq, dk] {
            try encoder.rotary(
                into: heads, heads, positions: pass.batch.positions, table: rotaryTable, inverse: true)
        }
        let (n, dn) = (arena.take(dx.rows, width), arena.take(dx.rows, width))
        try encoder.rmsNorm(into: n, rstd: kept.rstd1, kept.x, weight: inputNorm, epsilon: epsilon)
        let below = needed.input
        try headProjections.backward(into: below ? dn : nil, [dq, dk, dv], x: n, kept.h.heads, pass)
        if below {
            try encoder.rmsNormBackward(addingTo: dx, dn, x: kept.x, weight: inputNorm, rstd: kept.rstd1)
        }
        arena.give(dq, dk, dv, delta, n, dn)
    }

    /// How far down a backward pass must go: to the lowest layer with an adapter.
    private struct Needed {
        let input: Bool
        let heads: Bool
        let attentionOutput: Bool
        let mlpInput: Bool

        init(_ block: Block, _ adapter: Adapter?, _ inputNeeded: Bool) {
            func adapted(_ linears: Linear...) -> Bool {
                linears.contains { adapter?.layer($0.name) != nil }
            }
            input = inputNeeded
            heads = input || adapted(block.qProj, block.kProj, block.vProj)
            attentionOutput = heads || adapted(block.oProj)
            mlpInput = attentionOutput || adapted(block.gateProj, block.upProj)
        }
    }
}
