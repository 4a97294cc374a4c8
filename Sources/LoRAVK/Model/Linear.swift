// A frozen linear layer, perhaps with an adapter, whose method then runs the whole layer: y = x·Wᵀ, dx = dy·W, and what
// the method adds. W has no gradient.

import Kernels
import VulkanCompute

package struct Linear: Sendable {
    /// Hugging Face's name of the module.
    package let name: String
    package let inFeatures: Int
    /// Widths of what one product gives: several where q, k and v or gate and up are one matrix.
    let outputs: [Int]
    package let weight: Weight
    let bias: Tensor?  // (O), frozen
    /// Layer and place in it, which key the random numbers of dropout.
    package let layer: Int
    package let site: Int

    package var outFeatures: Int { outputs.reduce(0, +) }

    /// The columns of a product that are each output's.
    var columns: [Range<Int>] {
        var end = 0
        return outputs.map { width in
            defer { end += width }
            return end..<end + width
        }
    }

    /// Records y, overwriting or adding to what is there. Returns what the adapter keeps, which the caller gives back after
    /// the backward (or at once, if there is none).
    func forward(_ y: Destination, _ x: Tensor, _ pass: Pass) throws(VulkanError) -> Tensor? {
        var kept: Tensor?
        if let lora = pass.adapter?.layer(name) {
            try pass.features?.record(lora, x, pass)
            kept = try lora.method.forward(y, x, lora, around: self, pass)
        } else {
            try base(y, x, nil, pass)
        }
        try addBias(y, pass)
        return kept
    }

    /// The bias stands outside of what an adapter's method does with W's product.
    func addBias(_ y: Destination, _ pass: Pass) throws(VulkanError) {
        guard let bias else { return }
        switch y {
        case .into(let y), .addingTo(let y), .sum(let y, _):
            try pass.encoder.addRow(bias, to: y, label: "\(name) bias")
        }
    }

    /// The layer's adapter, where it is this term and nothing else, without dropout.
    func termAlone(_ pass: Pass) -> LowRankTerm? {
        guard let lora = pass.adapter?.layer(name), lora.method.isPureLowRank,
            let term = lora.method.lowRank(lora), !pass.isTraining || term.dropout == 0
        else { return nil }
        return term
    }

    /// What a forward returns, without its output.
    func recordSaved(of x: Tensor, _ pass: Pass) throws(VulkanError) -> Tensor? {
        guard let lora = pass.adapter?.layer(name) else { return nil }
        return try lora.method.recordSaved(of: x, lora, around: self, pass)
    }

    /// Records the gradients of the adapter (adding to them) and of x. Gives `h`, what the forward kept, back.
    func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, h: Tensor?, _ pass: Pass
    ) throws(VulkanError) {
        guard let lora = pass.adapter?.layer(name), let h else { return try baseBackward(dx, dy, nil, pass) }
        try lora.method.backward(dx, dy, x: x, saved: h, lora, around: self, pass)
    }

    func isAdapted(_ pass: Pass) -> Bool { pass.adapter?.layer(name) != nil }

    /// The same for an x that was not saved. `dx` gets its gradient, and x itself once `inPlace` has run, which takes the gradient over
    /// and puts x in its place. `again` records x elsewhere, for an adapter that needs x beside its gradient.
    func backward(
        into dx: Tensor, _ dy: Tensor, h: Tensor?, again: (Tensor) throws(VulkanError) -> Void,
        inPlace: () throws(VulkanError) -> Void, _ pass: Pass
    ) throws(VulkanError) {
        guard let h else {
            try baseBackward(.into(dx), dy, nil, pass)
            return try inPlace()
        }
        if let term = termAlone(pass) {
            let g = try inputGradient(.into(dx), dy, term, isDropped: false, pass)
            try inPlace()
            try parameterGradients(dy, x: dx, h: h, g: g, term, pass)
            return pass.arena.give(g, h)
        }
        let x = pass.arena.take(like: dx)
        try again(x)
        try backward(.into(dx), dy, x: x, h: h, pass)
        pass.arena.give(x)
        try inPlace()
    }

    /// y = x·Wᵀ (+ h·Uᵀ)
    package func base(
        _ y: Destination, _ x: Tensor, _ term: LoRATerm?, _ pass: Pass
    ) throws(VulkanError) {
        switch y {
        case .into(let y): try pass.encoder.matmul(into: y, x, weight: weight, lora: term, label: name)
        case .addingTo(let y):
            try pass.encoder.matmul(addingTo: y, x, weight: weight, lora: term, label: name)
        case .sum(let y, let plus):
            try pass.encoder.matmul(into: y, x, weight: weight, lora: term, plus: plus, label: name)
        }
    }

    /// dx = dy·W (+ g·D)
    package func baseBackward(
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
}
