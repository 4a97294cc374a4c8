// Tokens to the residual stream: x = norm(scale·W[id] (+ P[position])).

import Kernels
import VulkanCompute

struct Embedding: Sendable {
    let weight: Weight  // (V, C)
    let scale: Float
    /// Learned positions (P, C), with what all tokens have beside them.
    let positions: Weight?
    let norm: Norm?

    /// (N, C)
    func forward(_ pass: Pass) throws(VulkanError) -> Tensor {
        let x = pass.arena.take(pass.tokens, weight.layout.columns)
        try pass.encoder.embedding(into: x, pass.batch.tokens, weight: weight, scaledBy: scale)
        if let positions {
            try pass.encoder.embedding(
                addingTo: x, pass.batch.positions, weight: positions, label: "positions")
        }
        guard let norm else { return x }
        let n = pass.arena.take(x.rows, x.width)
        try norm.forward(into: n, x, pass, label: "embedding norm").give(to: pass.arena)
        pass.arena.give(x)
        return n
    }
}
