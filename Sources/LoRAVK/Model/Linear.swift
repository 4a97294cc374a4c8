// A frozen linear layer with, perhaps, a LoRA adapter: y = x·Wᵀ + s·(x'·Aᵀ)·Bᵀ, x' = x, or x with dropout.
// With h = s·x'·Aᵀ and g = s·dy·B the backward is dx = dy·W + g·A, dA = gᵀ·x', dB = dyᵀ·h. W has no gradient.

import Kernels
import VulkanCompute

package struct Linear: Sendable {
    /// Hugging Face's name of the module.
    package let name: String
    package let inFeatures: Int
    package let outFeatures: Int
    let weight: Weight
    /// Layer and place in it, which key the random numbers of dropout.
    let layer: Int
    let site: Int

    /// Records y, overwriting or adding to what is there. Returns h, which the caller gives back after the backward (or
    /// at once, if there is none).
    func forward(into y: Tensor, _ x: Tensor, _ pass: Pass) throws(VulkanError) -> Tensor? {
        let h = try down(x, pass)
        try pass.encoder.matmul(into: y, x, weight: weight, lora: term(h, pass), label: name)
        return h
    }

    func forward(addingTo y: Tensor, _ x: Tensor, _ pass: Pass) throws(VulkanError) -> Tensor? {
        let h = try down(x, pass)
        try pass.encoder.matmul(addingTo: y, x, weight: weight, lora: term(h, pass), label: name)
        return h
    }

    private func term(_ h: Tensor?, _ pass: Pass) -> LoRATerm? {
        guard let h, let lora = pass.adapter?.layer(name) else { return nil }
        return LoRATerm(h: h, matrix: lora.loraB)
    }

    /// h = s·x'·Aᵀ (N, R), or nil without an adapter.
    func down(_ x: Tensor, _ pass: Pass) throws(VulkanError) -> Tensor? {
        guard let lora = pass.adapter?.layer(name) else { return nil }
        let h = pass.arena.take(x.rows, lora.paddedRank)
        let dropped = try dropout(x, lora, pass)
        try pass.encoder.loraDown(
            into: h, dropped ?? x, loraA: lora.loraA, scaling: lora.scaling, label: "\(name) h")
        pass.arena.give(dropped)
        return h
    }

    /// x with dropout, or nil where there is none. The same in forward and backward: the mask depends only on the step.
    private func dropout(_ x: Tensor, _ lora: LoRALayer, _ pass: Pass) throws(VulkanError) -> Tensor? {
        guard pass.isTraining, lora.dropout > 0 else { return nil }
        let y = pass.arena.take(x.rows, x.width)
        try pass.encoder.dropout(
            into: y, x, probability: lora.dropout, state: pass.state, layer: layer, site: site,
            label: "\(name) dropout")
        return y
    }

    /// Records the gradients of A and B (adding to them) and of x. Gives `h` back.
    func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, h: Tensor?, _ pass: Pass
    ) throws(VulkanError) {
        guard let lora = pass.adapter?.layer(name), let h else {
            return try inputGradient(dx, dy, nil, pass)
        }
        let encoder = pass.encoder
        let g = pass.arena.take(dy.rows, lora.paddedRank)
        let dropped = try dropout(x, lora, pass)
        try encoder.loraDownBackward(
            into: g, dy, loraB: lora.loraB, scaling: lora.scaling, label: "\(name) g")
        try encoder.loraGradientA(addingTo: lora.gradientA, g: g, x: dropped ?? x, label: "\(name) dA")
        try encoder.loraGradientB(addingTo: lora.gradientB, dy: dy, h: h, label: "\(name) dB")
        if dropped == nil {
            try inputGradient(dx, dy, LoRATerm(h: g, matrix: lora.loraA), pass)
        } else {
            try inputGradient(dx, dy, nil, pass)
            try droppedInputGradient(dx, g, lora, pass)
        }
        pass.arena.give(g, h, dropped)
    }

    private func inputGradient(
        _ dx: GradientDestination, _ dy: Tensor, _ term: LoRATerm?, _ pass: Pass
    ) throws(VulkanError) {
        let label = "\(name) dx"
        switch dx {
        case .into(let dx):
            try pass.encoder.matmulBackward(into: dx, dy, weight: weight, lora: term, label: label)
        case .addingTo(let dx):
            try pass.encoder.matmulBackward(addingTo: dx, dy, weight: weight, lora: term, label: label)
        case .none: break
        }
    }

    /// dx += dropout(g·A): the mask falls on the adapter's part only, so it cannot ride in the base's pass.
    private func droppedInputGradient(
        _ dx: GradientDestination, _ g: Tensor, _ lora: LoRALayer, _ pass: Pass
    ) throws(VulkanError) {
        let target: Tensor
        switch dx {
        case .into(let dx), .addingTo(let dx): target = dx
        case .none: return
        }
        let part = pass.arena.take(g.rows, inFeatures)
        try pass.encoder.matmul(.nn, into: part, g, lora.loraA, label: "\(name) g·A")
        try pass.encoder.dropout(
            into: part, part, probability: lora.dropout, state: pass.state, layer: layer, site: site,
            label: "\(name) dropout dx")
        try pass.encoder.add(part, addingTo: target, label: "\(name) dx")
        pass.arena.give(part)
    }
}
