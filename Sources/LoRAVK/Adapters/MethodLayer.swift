// How a method runs around a frozen linear layer. A method whose update is one low-rank term conforms to LowRankMethod:
// training and generation then compute the same term. Any other method records forward and backward itself.

import Kernels
import VulkanCompute

package protocol MethodLayer: Sendable {
    /// The layer's whole update as one low-rank term, or nil. Generation computes this term in a fused kernel instead of
    /// `forward`, so only a LowRankMethod gives one.
    func lowRank(_ layer: LoRALayer) -> LowRankTerm?
    /// Whether the backward, too, is that of the term and nothing else. A block may then compute the terms of layers with
    /// the same input together, which is faster.
    var isPureLowRank: Bool { get }
    /// Records the layer's whole output, without the bias. Returns the activations that the backward needs.
    func forward(
        _ y: Destination, _ x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor
    /// Records what `forward` returns, without the output: a recomputed block runs its backward right after this.
    func recordSaved(
        of x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor
    /// Records the gradients of the parameters (adding to them) and of x. Gives `saved` back to the arena.
    func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, saved: Tensor, _ layer: LoRALayer,
        around base: Linear, _ pass: Pass
    ) throws(VulkanError)
}

extension MethodLayer {
    package func lowRank(_ layer: LoRALayer) -> LowRankTerm? { nil }
    package var isPureLowRank: Bool { false }
}

/// A method that adds one low-rank term to W's product. It states the term; forward and backward follow. A method that
/// computes D or U from its parameters has a backward of its own, but no forward: that is the term.
package protocol LowRankMethod: AdapterMethod {
    /// The layer's whole update. Plain LoRA's by default.
    func term(_ layer: LoRALayer) -> LowRankTerm
}

extension LowRankMethod {
    package func term(_ layer: LoRALayer) -> LowRankTerm { LowRankTerm(layer) }
    package func lowRank(_ layer: LoRALayer) -> LowRankTerm? { term(layer) }

    package func forward(
        _ y: Destination, _ x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        try base.forward(y, x, lowRank: term(layer), pass)
    }

    package func recordSaved(
        of x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        try base.down(x, term(layer), pass)
    }

    package func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, saved: Tensor, _ layer: LoRALayer,
        around base: Linear, _ pass: Pass
    ) throws(VulkanError) {
        try base.backward(dx, dy, x: x, h: saved, lowRank: term(layer), pass)
    }
}
