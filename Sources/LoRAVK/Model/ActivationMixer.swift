// a = f(x)·gate, or f(x). It is cheap to compute again and is not saved; its backward works in place.

import Kernels
import VulkanCompute

struct ActivationMixer: Mixer {
    let width: Int
    let function: Shader.Activation
    let isGated: Bool
    let savesOutput = false
    let mixesTokens = false
    let spreadsRows = true

    var gate: Shader.Activation? { isGated ? function : nil }

    func forward(
        into a: Tensor, _ products: [Tensor], _: LayerState?, _ pass: Pass
    ) throws(VulkanError) -> [Tensor] {
        try pass.encoder.activation(function, into: a, products[0], times: isGated ? products[1] : nil)
        return []
    }

    func backward(
        _ da: Tensor, output _: Tensor?, _ products: [Tensor], _: [Tensor], _ pass: Pass
    ) throws(VulkanError) -> [Tensor] {
        let gate = isGated ? products[1] : nil
        try pass.encoder.activationBackward(
            function, intoX: products[0], gate: gate, activation: da, da, x: products[0], gate: gate)
        return products
    }
}
