// What happens between the layers that read a branch's input and the one that writes its output. It has no layers that can be adapted, so
// it knows nothing of adapters.

import Kernels
import VulkanCompute

protocol Mixer: Sendable {
    /// Width of what it gives.
    var width: Int { get }
    /// The backward takes the forward's output (attention), or computes it again (activations).
    var savesOutput: Bool { get }
    /// What it gives of a token depends on other tokens.
    var mixesTokens: Bool { get }
    /// Its inputs and its output lie in rows that spread over a processor's cache.
    var spreadsRows: Bool { get }
    /// f in f(first)·second, where it is nothing else: a fused kernel then applies it.
    var gate: Shader.Activation? { get }

    /// Records `a` (N, W) from the inputs' products (N, …), which it may overwrite, or, where the branch has no inputs, from its normed
    /// x. Returns what else a backward needs.
    func forward(
        into a: Tensor, _ products: [Tensor], _ state: LayerState?, _ pass: Pass
    ) throws(VulkanError) -> [Tensor]

    /// What a forward returns, without its output.
    func recordSaved(_ products: [Tensor], _ pass: Pass) throws(VulkanError) -> [Tensor]

    /// Records the products' gradients and returns them. Takes over `products` and `saved`. Where `savesOutput` is false, `a` is nil
    /// and is recorded again in place of `da`.
    func backward(
        _ da: Tensor, output a: Tensor?, _ products: [Tensor], _ saved: [Tensor], _ pass: Pass
    ) throws(VulkanError) -> [Tensor]

    /// What generation keeps from token to token, with room for so many.
    func makeState(capacity: Int, _ device: Device, label: String) throws(VulkanError) -> LayerState?
}

extension Mixer {
    var savesOutput: Bool { true }
    var mixesTokens: Bool { true }
    var spreadsRows: Bool { false }
    var gate: Shader.Activation? { nil }
    func makeState(capacity: Int, _ device: Device, label: String) throws(VulkanError) -> LayerState? { nil }

    func recordSaved(_ products: [Tensor], _ pass: Pass) throws(VulkanError) -> [Tensor] {
        let a = take(products[0].rows, width, pass.arena)
        defer { pass.arena.give(a) }
        return try forward(into: a, products, nil, pass)
    }

    func take(_ rows: Int, _ width: Int, _ arena: Arena) -> Tensor {
        spreadsRows ? arena.takeSpread(rows, width) : arena.take(rows, width)
    }
}

/// What generation keeps of a branch.
enum LayerState {
    /// (S, KVH·D) each: room for the tokens so far and the new ones.
    case keysAndValues(Tensor, Tensor)
    /// (L, C): what a convolution of L taps needs of the last tokens.
    case past(Tensor)

    /// As a recording sees it that ends with token `count`.
    func seeing(_ count: Int) -> LayerState {
        switch self {
        case .keysAndValues(let keys, let values):
            .keysAndValues(keys.rows(0..<count), values.rows(0..<count))
        case .past: self
        }
    }
}
