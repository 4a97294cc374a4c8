// Tokens to the residual stream: x = scale·W[id] (+ P[position]).

import Kernels
import VulkanCompute

struct Embedding: Sendable {
    let weight: Weight  // (V, C)
    let scale: Float
    /// Learned positions (P, C).
    let positions: Weight?

    /// (N, C)
    func forward(_ pass: Pass) throws(VulkanError) -> Tensor {
        let x = pass.arena.take(pass.tokens, weight.layout.columns)
        try pass.encoder.embedding(into: x, pass.batch.tokens, weight: weight, scaledBy: scale)
        if let positions {
            try pass.encoder.embedding(
                addingTo: x, pass.batch.positions, weight: positions, label: "positions")
        }
        return x
    }
}
