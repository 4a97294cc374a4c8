// A branch for one token behind a cache, in as few kernels as there can be: on a software device, where starting one costs as
// much as its work. It computes what Branch.forward does.

import Kernels
import VulkanCompute

extension Branch {
    /// Replaces `x` (1, C) by y. False, with nothing recorded, where the device, a weight's size or an adapter's method asks for the
    /// general forward.
    func step(_ x: Tensor, _ state: LayerState?, _ pass: Pass) throws(VulkanError) -> Bool {
        guard x.rows == 1, !pass.isTraining, let fused = FusedBranch(self, pass) else { return false }
        let (encoder, arena) = (pass.encoder, pass.arena)
        let norm = before.map { InputNorm(weight: $0.weight, epsilon: $0.epsilon) }
        let a = arena.take(1, mixer.width)
        if let weight = fused.gated {
            try encoder.gatedStep(
                into: a, x, weight: weight, norm: norm, gate: fused.adapters[0], up: fused.adapters[1],
                label: inputs.label)
        } else {
            let row = arena.take(1, fused.rowWidth)
            let products = fused.products(of: row)
            if let weight = fused.joined {
                try encoder.linearStep(into: row, x, weight: weight, norm: norm, label: inputs.label)
            } else {
                for (index, linear) in inputs.members.enumerated() {
                    try encoder.linearStep(
                        into: products[index], x, weight: linear.weight, norm: norm,
                        adapter: fused.adapters[index], label: linear.name)
                }
            }
            let mixed = try mixer.forward(into: a, products, state, pass)
            arena.give(row)
            for tensor in mixed { arena.give(tensor) }
        }
        try encoder.linearStep(
            addingTo: x, a, weight: output.weight, adapter: fused.outputAdapter, label: output.name)
        arena.give(a)
        return true
    }
}

/// What a branch's step runs on: weights that lie together as one, and the adapters' factors.
private struct FusedBranch {
    /// The adapters of the inputs.
    let adapters: [LowRankFactors?]
    let outputAdapter: LowRankFactors?
    /// Both inputs of a gate.
    let gated: Weight?
    /// All inputs; nil where adapters of their own, or places that cannot be bound, keep them apart.
    let joined: Weight?
    private let widths: [Int]
    private let starts: [Int]
    let rowWidth: Int

    init?(_ branch: Branch, _ pass: Pass) {
        let (encoder, members) = (pass.encoder, branch.inputs.members)
        var adapters: [LowRankFactors?] = []
        for linear in branch.linears {
            switch linear.factors(pass) {
            case .none: adapters.append(nil)
            case .some(let factors?): adapters.append(factors)
            case .some(nil): return nil
            }
            guard encoder.fuses(linear.weight, [adapters[adapters.count - 1]]) else { return nil }
        }
        (outputAdapter, self.adapters) = (adapters[members.count], Array(adapters.dropLast()))
        let whole = Weight.joined(members.map(\.weight)).flatMap { encoder.fuses($0) ? $0 : nil }
        widths = members.map(\.outFeatures)
        gated = branch.mixer.gate != nil && members.count == 2 ? whole : nil
        let alignment = encoder.capabilities.bindingAlignment / 4
        let isAligned = widths.allSatisfy { $0 % alignment == 0 }
        joined = isAligned && self.adapters.allSatisfy { $0 == nil } ? whole : nil
        var starts: [Int] = []
        var end = 0
        for width in widths {
            starts.append(end)
            end = (end + width + alignment - 1) / alignment * alignment
        }
        self.starts = starts
        rowWidth = end
    }

    /// What the inputs give, behind each other in one row.
    func products(of row: Tensor) -> [Tensor] {
        zip(starts, widths).map { start, width in
            Tensor(row.slice.slice(start * 4, byteCount: width * 4), shape: [1, width])
        }
    }
}

extension Linear {
    /// The adapter's factors: nil where there is no adapter, .some(nil) where it is more than a low-rank term.
    fileprivate func factors(_ pass: Pass) -> LowRankFactors?? {
        guard let layer = pass.adapter?.layer(name) else { return .none }
        guard let term = layer.method.lowRank(layer) else { return .some(nil) }
        return .some(LowRankFactors(down: term.down, up: term.up, scaling: term.scaling))
    }
}
