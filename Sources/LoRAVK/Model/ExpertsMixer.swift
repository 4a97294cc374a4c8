// A mixture of experts (Shazeer et al. 2017): a = Σ s_e·down_e(f(gate_e(n))·up_e(n)) over the experts e that a router chooses for a
// token, with scores s. It reads the branch's input n (N, C) itself; its weights are frozen, and n's gradient flows through the
// scores too.

import Kernels
import VulkanCompute

struct ExpertsMixer: Mixer {
    let routing: ExpertRouting
    let router: Weight  // (E, C)
    let gate: ExpertWeights  // E of (F, C)
    let up: ExpertWeights
    let down: ExpertWeights  // E of (C, F)
    let biases: Biases?
    let function: Shader.Activation
    /// C and F.
    let width: Int
    let hidden: Int
    /// Of the block, for labels.
    let label: String
    let savesOutput = false
    let mixesTokens = false

    struct Biases: Sendable {
        let router: Tensor  // (≥ E)
        let gate: Tensor  // (E, F)
        let up: Tensor
        let down: Tensor  // (E, C)
    }

    /// What the backward needs, one tensor after the other.
    private struct Saved {
        let logits: Tensor  // (N, ≥ E)
        let slots: ExpertSlots
        let gate: Tensor  // (S, F)
        let up: Tensor

        var tensors: [Tensor] { [logits, gate, up] + slots.tensors }
    }

    func forward(
        into a: Tensor, _ products: [Tensor], _: LayerState?, _ pass: Pass
    ) throws(VulkanError) -> [Tensor] {
        let (encoder, arena) = (pass.encoder, pass.arena)
        let saved = try gated(products[0], pass)
        let inner = arena.take(saved.gate.rows, hidden)
        try encoder.activation(function, into: inner, saved.gate, times: saved.up)
        let outer = arena.take(inner.rows, width)
        try encoder.expertProduct(into: outer, inner, down, saved.slots, label: "\(label) down")
        if let biases { try encoder.addExpertRows(biases.down, to: outer, saved.slots) }
        try encoder.combine(into: a, outer, saved.slots, isWeighted: true)
        arena.give(inner, outer)
        return saved.tensors
    }

    func recordSaved(_ products: [Tensor], _ pass: Pass) throws(VulkanError) -> [Tensor] {
        try gated(products[0], pass).tensors
    }

    private func gated(_ n: Tensor, _ pass: Pass) throws(VulkanError) -> Saved {
        let (encoder, arena) = (pass.encoder, pass.arena)
        let logits = arena.take(n.rows, router.layout.rows)
        let slots = takeSlots(n.rows, pass)
        let saved = Saved(
            logits: logits, slots: slots, gate: arena.take(slots.count, hidden),
            up: arena.take(slots.count, hidden))
        try encoder.matmul(into: logits, n, weight: router, label: "\(label) router")
        if let biases { try encoder.addRow(biases.router, to: logits, label: "\(label) router bias") }
        let scratch = arena.take(shape: slots.scratchShape(routing), dtype: .i32)
        try encoder.route(into: slots, logits, routing, scratch: scratch)
        arena.give(scratch)
        for (product, weights, bias, name) in [
            (saved.gate, gate, biases?.gate, "gate"), (saved.up, up, biases?.up, "up"),
        ] {
            try encoder.expertProduct(
                into: product, n, weights, slots, isGathered: true, label: "\(label) \(name)")
            if let bias { try encoder.addExpertRows(bias, to: product, slots) }
        }
        return saved
    }

    private func takeSlots(_ tokens: Int, _ pass: Pass) -> ExpertSlots {
        ExpertSlots(routing, tokens: tokens, pass.encoder.capabilities, pass.encoder.family) {
            pass.arena.take(shape: $0, dtype: $1)
        }
    }

    func backward(
        _ da: Tensor, output _: Tensor?, _: [Tensor], _ saved: [Tensor], _ pass: Pass
    ) throws(VulkanError) -> [Tensor] {
        let (encoder, arena) = (pass.encoder, pass.arena)
        var tensors = saved[3...].makeIterator()
        let slots = ExpertSlots(routing, tokens: da.rows, encoder.capabilities, encoder.family) { _, _ in
            guard let tensor = tensors.next() else { preconditionFailure("experts saved too few tensors") }
            return tensor
        }
        let (logits, dgate, dup) = (saved[0], saved[1], saved[2])
        let dinner = arena.take(slots.count, hidden)
        try encoder.expertProductBackward(
            into: dinner, da, down, slots, isGathered: true, label: "\(label) down dx")
        let dscores = arena.take(slots.count)
        try encoder.expertActivationBackward(
            function, intoScores: dscores, inPlaceOf: dgate, dup, dinner, slots)
        if let biases { try encoder.expertBiasBackward(addingTo: dscores, da, biases.down, slots) }
        arena.give(dinner)
        let dplaces = arena.take(slots.count, width)
        try encoder.expertProductBackward(into: dplaces, dgate, gate, slots, label: "\(label) gate dx")
        try encoder.expertProductBackward(
            into: dplaces, accumulate: true, dup, up, slots, label: "\(label) up dx")
        let dn = arena.take(da.rows, width)
        try encoder.combine(into: dn, dplaces, slots, isWeighted: false)
        arena.give(dplaces)
        let dlogits = arena.take(logits.rows, logits.width)
        try encoder.routeBackward(into: dlogits, dscores, logits: logits, slots, routing)
        try encoder.matmulBackward(addingTo: dn, dlogits, weight: router, label: "\(label) router dx")
        arena.give(dlogits, dscores)
        for tensor in saved { arena.give(tensor) }
        return [dn]
    }
}
