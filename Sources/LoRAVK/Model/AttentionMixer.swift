// a = softmax(scale·q·kᵀ)·v of rotated q and k, which may be normed first. Products: q (N, H·D), k and v (N, KVH·D).

import Kernels
import VulkanCompute

struct AttentionMixer: Mixer {
    let heads: Int
    let kvHeads: Int
    let headSize: Int
    let rotaryTable: Tensor?  // (P, R)
    let queryNorm: Norm?
    let keyNorm: Norm?
    let window: Int?

    var width: Int { heads * headSize }

    func forward(
        into a: Tensor, _ products: [Tensor], _ state: LayerState?, _ pass: Pass
    ) throws(VulkanError) -> [Tensor] {
        let (encoder, arena, batch) = (pass.encoder, pass.arena, pass.batch)
        let lse = arena.take(a.rows, heads)
        let (q, queryStatistics) = try normed(products[0], queryNorm, pass)
        let (k, keyStatistics) = try normed(products[1], keyNorm, pass)
        let v = products[2]
        if case .keysAndValues(let keys, let values) = state, let rotaryTable {
            try encoder.appendToCache(
                keys: keys, values: values, rotating: q, k, v, positions: batch.positions,
                table: rotaryTable, offset: batch.keyOffset)
            try encoder.attention(
                into: a, lse: lse, q: q, k: keys, v: values, spans: batch.spans,
                heads: heads, kvHeads: kvHeads, keyOffset: batch.keyOffset)
        } else {
            try rotate([q, k], pass)
            try encoder.attention(
                into: a, lse: lse, q: q, k: k, v: v, spans: batch.spans, heads: heads, kvHeads: kvHeads)
        }
        if queryNorm != nil { arena.give(q) }
        if keyNorm != nil { arena.give(k) }
        return [lse] + queryStatistics + keyStatistics
    }

    func backward(
        _ da: Tensor, output: Tensor?, _ products: [Tensor], _ saved: [Tensor], _ pass: Pass
    ) throws(VulkanError) -> [Tensor] {
        guard let output else { preconditionFailure("attention's backward without its output") }
        let (encoder, arena, batch) = (pass.encoder, pass.arena, pass.batch)
        let (q, k, v) = (products[0], products[1], products[2])
        let (dq, dk, dv) = (
            arena.take(q.rows, q.width), arena.take(k.rows, k.width), arena.take(v.rows, v.width)
        )
        let delta = arena.take(q.rows, heads)
        try encoder.attentionBackward(
            intoQ: dq, k: dk, v: dv, delta: delta, da, out: output, lse: saved[0], q: q, k: k, v: v,
            spans: batch.spans, heads: heads, kvHeads: kvHeads)
        try rotate([dq, dk], inverse: true, pass)
        arena.give(q, k, v, delta)
        for tensor in saved { arena.give(tensor) }
        return [dq, dk, dv]
    }

    private func normed(_ x: Tensor, _ norm: Norm?, _ pass: Pass) throws(VulkanError) -> (Tensor, [Tensor]) {
        guard let norm else { return (x, []) }
        let y = pass.arena.take(x.rows, x.width)
        let shape = [x.count / norm.width, norm.width]
        let saved = try norm.forward(into: y.reshaped(shape), x.reshaped(shape), pass)
        return (y, [saved.rstd])
    }

    private func rotate(_ tensors: [Tensor], inverse: Bool = false, _ pass: Pass) throws(VulkanError) {
        guard let rotaryTable else { return }
        for heads in tensors {
            try pass.encoder.rotary(
                into: heads, heads, positions: pass.batch.positions, table: rotaryTable, inverse: inverse)
        }
    }

    func makeState(capacity: Int, _ device: Device, label: String) throws(VulkanError) -> LayerState? {
        let shape = [capacity, kvHeads * headSize]
        return .keysAndValues(
            try device.makeTensor(shape, label: "keys of \(label)"),
            try device.makeTensor(shape, label: "values of \(label)"))
    }
}
