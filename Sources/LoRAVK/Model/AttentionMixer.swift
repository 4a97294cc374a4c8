// a = softmax(cap(scale·q·kᵀ))·v of q and k, which may be normed and then rotate; each head may have a sink in its softmax. Products: q (N, H·D), k and v (N, KVH·D).

import Kernels
import VulkanCompute

struct AttentionMixer: Mixer {
    let shape: AttentionShape
    /// nil: nothing rotates.
    let rotary: Rotary?
    let queryNorm: Norm?
    let keyNorm: Norm?
    let window: Int?
    /// Scores of no key, that take their part of the softmax (H).
    let sinks: Tensor?

    struct Rotary: Sendable {
        let table: Tensor  // (P, R)
        /// Of queries, where they grow with their position.
        let queryTable: Tensor?
        let isInterleaved: Bool
    }

    var width: Int { shape.heads * shape.headSize }

    func forward(
        into a: Tensor, _ products: [Tensor], _ state: LayerState?, _ pass: Pass
    ) throws(VulkanError) -> [Tensor] {
        let (encoder, arena, batch) = (pass.encoder, pass.arena, pass.batch)
        let lse = arena.take(a.rows, shape.heads)
        let (q, queryStatistics) = try normed(products[0], queryNorm, pass)
        let (k, keyStatistics) = try normed(products[1], keyNorm, pass)
        let (v, spans) = (products[2], batch.spans(window: window))
        if case .keysAndValues(let keys, let values) = state {
            try encoder.appendToCache(
                keys: keys, values: values, rotating: q, k, v, positions: batch.positions,
                table: rotary?.table, headSize: shape.headSize, isInterleaved: rotary?.isInterleaved ?? false,
                queryTable: rotary?.queryTable, offset: batch.keyOffset)
            try encoder.attention(
                into: a, lse: lse, q: q, k: keys, v: values, spans: spans, shape: shape,
                keyOffset: batch.keyOffset, sinks: sinks)
        } else {
            try rotate(q, k, pass)
            try encoder.attention(
                into: a, lse: lse, q: q, k: k, v: v, spans: spans, shape: shape, sinks: sinks)
        }
        giveNormed(q, k, to: arena)
        return [lse] + queryStatistics + keyStatistics
    }

    func backward(
        _ da: Tensor, output: Tensor?, _ products: [Tensor], _ saved: [Tensor], _ pass: Pass
    ) throws(VulkanError) -> [Tensor] {
        guard let output else { preconditionFailure("attention's backward without its output") }
        let (encoder, arena) = (pass.encoder, pass.arena)
        let v = products[2]
        var statistics = saved.dropFirst()
        // Normed and rotated once more, where the products were saved as they came.
        let queryStatistics = queryNorm?.popSaved(from: &statistics)
        let keyStatistics = keyNorm?.popSaved(from: &statistics)
        let q = try normedAgain(products[0], queryNorm, queryStatistics, pass)
        let k = try normedAgain(products[1], keyNorm, keyStatistics, pass)
        try rotate(queryNorm == nil ? nil : q, keyNorm == nil ? nil : k, pass)
        let dq = arena.take(q.rows, q.width)
        let (dk, dv) = (arena.take(k.rows, k.width), arena.take(v.rows, v.width))
        let delta = arena.take(q.rows, shape.heads)
        try encoder.attentionBackward(
            intoQ: dq, k: dk, v: dv, delta: delta, da, out: output, lse: saved[0], q: q, k: k, v: v,
            spans: pass.batch.spans(window: window), shape: shape)
        giveNormed(q, k, to: arena)
        try rotate(dq, dk, inverse: true, pass)
        try normBackward(dq, products[0], queryNorm, queryStatistics, pass)
        try normBackward(dk, products[1], keyNorm, keyStatistics, pass)
        arena.give(delta)
        for tensor in products + saved { arena.give(tensor) }
        return [dq, dk, dv]
    }

    // MARK: Norms and rotation

    /// Of each head, or of all as one.
    private func normed(_ x: Tensor, _ norm: Norm?, _ pass: Pass) throws(VulkanError) -> (Tensor, [Tensor]) {
        guard let norm else { return (x, []) }
        let y = pass.arena.take(x.rows, x.width)
        return (y, try norm.forward(into: norm.rows(of: y), norm.rows(of: x), pass).tensors)
    }

    private func normedAgain(
        _ x: Tensor, _ norm: Norm?, _ saved: Norm.Saved?, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        guard let norm, let saved else { return x }
        let y = pass.arena.take(x.rows, x.width)
        try norm.again(into: norm.rows(of: y), norm.rows(of: x), saved, pass)
        return y
    }

    /// In place.
    private func normBackward(
        _ dy: Tensor, _ x: Tensor, _ norm: Norm?, _ saved: Norm.Saved?, _ pass: Pass
    ) throws(VulkanError) {
        guard let norm, let saved else { return }
        try norm.backward(into: norm.rows(of: dy), norm.rows(of: dy), x: norm.rows(of: x), saved, pass)
    }

    private func giveNormed(_ q: Tensor, _ k: Tensor, to arena: Arena) {
        arena.give(queryNorm == nil ? nil : q, keyNorm == nil ? nil : k)
    }

    private func rotate(
        _ q: Tensor?, _ k: Tensor?, inverse: Bool = false, _ pass: Pass
    ) throws(VulkanError) {
        guard let rotary else { return }
        for case let (heads?, table) in [(q, rotary.queryTable ?? rotary.table), (k, rotary.table)] {
            try pass.encoder.rotary(
                into: heads, heads, positions: pass.batch.positions, table: table, headSize: shape.headSize,
                isInterleaved: rotary.isInterleaved, inverse: inverse)
        }
    }

    func makeState(capacity: Int, _ device: Device, label: String) throws(VulkanError) -> LayerState? {
        let size = [capacity, shape.kvHeads * shape.headSize]
        return .keysAndValues(
            try device.makeTensor(size, label: "keys of \(label)"),
            try device.makeTensor(size, label: "values of \(label)"))
    }
}

extension Norm {
    /// Rows as wide as the norm: of (N, H·D) the heads.
    fileprivate func rows(of x: Tensor) -> Tensor { x.reshaped([x.count / width, width]) }

    fileprivate func popSaved(from tensors: inout ArraySlice<Tensor>) -> Saved {
        let rstd = tensors.removeFirst()
        return Saved(rstd: rstd, mean: bias == nil ? nil : tensors.removeFirst())
    }
}
