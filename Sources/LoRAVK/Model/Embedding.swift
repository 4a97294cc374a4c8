// Tokens to the residual stream: x = W[id].

import Kernels
import VulkanCompute

struct Embedding: Sendable {
    let weight: Weight  // (V, C)

    /// (N, C)
    func forward(_ pass: Pass) throws(VulkanError) -> Tensor {
        let x = pass.arena.take(pass.tokens, weight.layout.columns)
        try pass.encoder.embedding(into: x, pass.batch.tokens, weight: weight)
        return x
    }
}
