// a = f(gate)·up. It is cheap to compute again and is not saved; its backward works in place.

import Kernels
import VulkanCompute

struct ActivationMixer: Mixer {
    let width: Int
    let savesOutput = false
    let spreadsRows = true
    var gate: Shader.Activation? { .silu }

    func forward(
        into a: Tensor, _ products: [Tensor], _: LayerState?, _ pass: Pass
    ) throws(VulkanError) -> [Tensor] {
        try pass.encoder.swiGLU(into: a, gate: products[0], up: products[1])
        return []
    }

    func backward(
        _ da: Tensor, output _: Tensor?, _ products: [Tensor], _: [Tensor], _ pass: Pass
    ) throws(VulkanError) -> [Tensor] {
        try pass.encoder.swiGLUBackward(
            intoGate: products[0], up: products[1], activation: da, da, gate: products[0], up: products[1])
        return products
    }
}
