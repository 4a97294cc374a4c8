// Tokens to the residual stream: x = norm(scale·W[id] (+ P[position])), and in training NEFTune's noise.

import Kernels
import VulkanCompute

struct Embedding: Sendable {
    /// The tensor's name; an adapter may have a copy of its own, which trains.
    let name: String
    let weight: Weight  // (V, C)
    let scale: Float
    /// Learned positions (P, C), with what all tokens have beside them.
    let positions: Weight?
    let norm: Norm?

    /// (N, C)
    func forward(_ pass: Pass) throws(VulkanError) -> Tensor {
        var x = pass.arena.take(pass.tokens, weight.layout.columns)
        if let own = pass.adapter?.whole(name) {
            try pass.encoder.gatherRows(into: x, own.value, index: pass.batch.tokens, label: "embedding")
            if scale != 1 { try pass.encoder.scale(into: x, x, by: scale) }
        } else {
            try pass.encoder.embedding(into: x, pass.batch.tokens, weight: weight, scaledBy: scale)
        }
        if let positions {
            try pass.encoder.embedding(
                addingTo: x, pass.batch.positions, weight: positions, label: "positions")
        }
        if let norm {
            let n = pass.arena.take(x.rows, x.width)
            try norm.forward(into: n, x, pass, label: "embedding norm").give(to: pass.arena)
            pass.arena.give(x)
            x = n
        }
        if pass.isTraining, pass.noise > 0 {
            try pass.encoder.embeddingNoise(
                into: x, x, spans: pass.batch.spans(window: nil), alpha: pass.noise, state: pass.state)
        }
        return x
    }

    /// Records the gradient of the adapter's own copy, from that of x.
    func backward(_ dx: Tensor, _ pass: Pass) throws(VulkanError) {
        guard let own = pass.adapter?.whole(name) else { return }
        try pass.encoder.embeddingGradient(
            addingTo: own.gradient, dx, ids: pass.batch.tokens, scaledBy: scale)
    }
}
