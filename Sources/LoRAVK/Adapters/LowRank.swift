// One low-rank term, in one pass over the output: y = x·Wᵀ + s·(x'·Dᵀ)·Uᵀ, x' = x or x with dropout. For plain LoRA D = A and
// U = B. With h = s·x'·Dᵀ and g = s·dy·U the backward is dx = dy·W + g·D, dD = gᵀ·x', dU = dyᵀ·h.

import Kernels
import VulkanCompute

package struct LowRankTerm: Sendable {
    package var down: Tensor  // D (R, I)
    package var up: Tensor  // U (O, R)
    package var scaling: Float
    package var dropout: Double
    /// The gradients of D and U are added here. Nil: they are not computed.
    package var downGradient: Tensor?
    package var upGradient: Tensor?

    package init(down: Tensor, up: Tensor, scaling: Float, dropout: Double) {
        (self.down, self.up, self.scaling, self.dropout) = (down, up, scaling, dropout)
    }

    package init(_ layer: LoRALayer) {
        self.init(
            down: layer.loraA, up: layer.loraB, scaling: layer.scaling, dropout: layer.dropout)
        downGradient = layer[.loraA].trainedGradient
        upGradient = layer[.loraB].trainedGradient
    }
}

extension Linear {
    /// Records y and returns h (N, R).
    package func forward(
        _ y: Destination, _ x: Tensor, lowRank term: LowRankTerm, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        let h = try down(x, term, pass)
        try base(y, x, LoRATerm(h: h, matrix: term.up), pass)
        return h
    }

    /// h = s·x'·Dᵀ (N, R)
    package func down(_ x: Tensor, _ term: LowRankTerm, _ pass: Pass) throws(VulkanError) -> Tensor {
        let h = pass.arena.take(x.rows, term.up.width)
        try down(into: h, x, term, pass)
        return h
    }

    package func down(
        into h: Tensor, _ x: Tensor, _ term: LowRankTerm, _ pass: Pass
    ) throws(VulkanError) {
        let dropped = try dropout(x, term, pass)
        try pass.encoder.loraDown(
            into: h, dropped ?? x, loraA: term.down, scaling: term.scaling, label: "\(name) h")
        pass.arena.give(dropped)
    }

    /// Records the gradients of D, U and x. Gives `h` back.
    package func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, h: Tensor, lowRank term: LowRankTerm, _ pass: Pass
    ) throws(VulkanError) {
        let dropped = try dropout(x, term, pass)
        let g = try inputGradient(dx, dy, term, isDropped: dropped != nil, pass)
        try parameterGradients(dy, x: dropped ?? x, h: h, g: g, term, pass)
        pass.arena.give(g, h, dropped)
    }

    /// Records the gradient of x and returns g (N, R).
    func inputGradient(
        _ dx: GradientDestination, _ dy: Tensor, _ term: LowRankTerm, isDropped: Bool, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        let g = pass.arena.take(dy.rows, term.up.width)
        try gradient(into: g, dy, term, pass)
        if isDropped {
            try baseBackward(dx, dy, nil, pass)
            try droppedInputGradient(dx, g, term, pass)
        } else {
            try baseBackward(dx, dy, LoRATerm(h: g, matrix: term.down), pass)
        }
        return g
    }

    /// g = s·dy·U (N, R)
    func gradient(
        into g: Tensor, _ dy: Tensor, _ term: LowRankTerm, _ pass: Pass
    ) throws(VulkanError) {
        try pass.encoder.loraDownBackward(
            into: g, dy, loraB: term.up, scaling: term.scaling, label: "\(name) g")
    }

    /// Records the gradients of D and U.
    func parameterGradients(
        _ dy: Tensor, x: Tensor, h: Tensor, g: Tensor, _ term: LowRankTerm, _ pass: Pass
    ) throws(VulkanError) {
        if let gradient = term.downGradient {
            try pass.encoder.loraGradientA(addingTo: gradient, g: g, x: x, label: "\(name) dA")
        }
        try upGradient(dy, h: h, term, pass)
    }

    func upGradient(_ dy: Tensor, h: Tensor, _ term: LowRankTerm, _ pass: Pass) throws(VulkanError) {
        guard let gradient = term.upGradient else { return }
        try pass.encoder.loraGradientB(addingTo: gradient, dy: dy, h: h, label: "\(name) dB")
    }

    /// x with dropout, or nil without dropout. Forward and backward have the same mask: it depends only on the step.
    private func dropout(_ x: Tensor, _ term: LowRankTerm, _ pass: Pass) throws(VulkanError) -> Tensor? {
        guard pass.isTraining, term.dropout > 0 else { return nil }
        let y = pass.arena.take(like: x)
        try pass.encoder.dropout(
            into: y, x, probability: term.dropout, state: pass.state, layer: layer, site: site,
            label: "\(name) dropout")
        return y
    }

    /// dx += dropout(g·D). The mask applies to the adapter's part only, so this is no part of the base's product.
    private func droppedInputGradient(
        _ dx: GradientDestination, _ g: Tensor, _ term: LowRankTerm, _ pass: Pass
    ) throws(VulkanError) {
        let target: Tensor
        switch dx {
        case .into(let dx), .addingTo(let dx): target = dx
        case .none: return
        }
        let part = pass.arena.take(like: target)
        try pass.encoder.matmul(.nn, into: part, g, term.down, label: "\(name) g·A")
        try pass.encoder.dropout(
            into: part, part, probability: term.dropout, state: pass.state, layer: layer, site: site,
            label: "\(name) dropout dx")
        try pass.encoder.add(part, addingTo: target, label: "\(name) dx")
        pass.arena.give(part)
    }
}
