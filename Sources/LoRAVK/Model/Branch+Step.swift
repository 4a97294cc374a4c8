// A branch for one token behind a cache, in as few kernels as there can be: on a software device, where starting one costs as
// much as its work. It computes what Branch.forward does.

import Kernels
import VulkanCompute

extension Branch {
    /// Replaces `x` (1, C) by y. False, with nothing recorded, where the device, a weight's size or an adapter's method asks for the
    /// general forward.
    func step(_ x: Tensor, _ state: LayerState?, _ pass: Pass) throws(VulkanError) -> Bool {
        guard x.rows == 1, !pass.isTraining, sum == nil, let output, let fused = FusedBranch(self, pass)
        else {
            return false
        }
        let (encoder, arena) = (pass.encoder, pass.arena)
        var (n, norm) = (x, InputNorm?.none)
        if let before {
            if let fused = before.fused {
                norm = fused
            } else {
                n = arena.take(1, x.width)
                try before.forward(into: n, x, pass).give(to: arena)
            }
        }
        let a = arena.take(1, mixer.width)
        if let gated = fused.gated, let function = mixer.gate {
            try encoder.gatedStep(
                into: a, n, weight: gated.weight, activation: function, norm: norm, gate: gated.gate,
                up: gated.up, label: inputs.label)
        } else {
            let row = arena.take(1, fused.rowWidth)
            if let joined = fused.joined {
                try encoder.linearStep(
                    into: row, n, weight: joined.weight, norm: norm, adapter: joined.adapter,
                    bias: joined.bias, label: inputs.label)
            } else {
                for (y, (linear, adapter)) in zip(fused.parts(of: row), zip(inputs.members, fused.adapters)) {
                    try encoder.linearStep(
                        into: y, n, weight: linear.weight, norm: norm, adapter: adapter, bias: linear.bias,
                        label: linear.name)
                }
            }
            let mixed = try mixer.forward(into: a, fused.parts(of: row), state, pass)
            arena.give(row)
            for tensor in mixed { arena.give(tensor) }
        }
        if n.slice.offset != x.slice.offset || n.slice.buffer !== x.slice.buffer { arena.give(n) }
        try step(output, x, a, fused.outputAdapter, pass)
        arena.give(a)
        return true
    }

    /// x += scale·after(output(a))
    private func step(
        _ output: Linear, _ x: Tensor, _ a: Tensor, _ adapter: LowRankFactors?, _ pass: Pass
    ) throws(VulkanError) {
        if after == nil, scale == 1 {
            return try pass.encoder.linearStep(
                addingTo: x, a, weight: output.weight, adapter: adapter, bias: output.bias, label: output.name
            )
        }
        let z = pass.arena.take(1, x.width)
        try pass.encoder.linearStep(
            into: z, a, weight: output.weight, adapter: adapter, bias: output.bias, label: output.name)
        try add(z, into: x, plus: x, pass)?.give(to: pass.arena)
        pass.arena.give(z)
    }
}

/// What a branch's step runs on: weights that lie together as one, and the adapters' factors.
private struct FusedBranch {
    /// The adapters of the inputs.
    let adapters: [LowRankFactors?]
    let outputAdapter: LowRankFactors?
    /// Both inputs of a gate.
    private(set) var gated: (weight: Weight, gate: LowRankFactors?, up: LowRankFactors?)?
    /// All inputs by one product; nil where adapters of their own, or places that cannot be bound, keep them apart.
    private(set) var joined: (weight: Weight, adapter: LowRankFactors?, bias: Tensor?)?
    private let widths: [Int]
    private let starts: [Int]
    let rowWidth: Int

    init?(_ branch: Branch, _ pass: Pass) {
        let (encoder, members) = (pass.encoder, branch.inputs.members)
        guard !members.isEmpty else { return nil }
        var adapters: [LowRankFactors?] = []
        for linear in branch.linears {
            var factors: LowRankFactors?
            if let layer = pass.adapter?.layer(linear.name) {
                guard let term = layer.method.lowRank(layer) else { return nil }
                factors = LowRankFactors(down: term.down, up: term.up, scaling: term.scaling)
            }
            guard encoder.fuses(linear.weight, [factors]) else { return nil }
            adapters.append(factors)
        }
        (outputAdapter, self.adapters) = (adapters[members.count], Array(adapters.dropLast()))
        widths = members.flatMap(\.outputs)
        let alignment = encoder.capabilities.bindingAlignment / 4
        let isAligned = widths.allSatisfy { $0 % alignment == 0 }
        var starts: [Int] = []
        var end = 0
        for width in widths {
            starts.append(end)
            end = (end + width + alignment - 1) / alignment * alignment
        }
        (self.starts, rowWidth) = (starts, end)

        let own = self.adapters
        if members.count == 1 {
            guard isAligned || widths.count == 1 else { return nil }
            joined = (members[0].weight, own[0], members[0].bias)
        } else if let whole = Weight.joined(members.map(\.weight)), encoder.fuses(whole), isAligned,
            own.allSatisfy({ $0 == nil }), members.allSatisfy({ $0.bias == nil }) || branch.inputs.bias != nil
        {
            joined = (whole, nil, branch.inputs.bias)
        }
        guard branch.mixer.gate != nil, members.allSatisfy({ $0.bias == nil }) else { return }
        if members.count == 2, let whole = Weight.joined(members.map(\.weight)), encoder.fuses(whole) {
            gated = (whole, own[0], own[1])
        } else if members.count == 1, widths.count == 2, members[0].weight.layout.rows == rowWidth {
            guard let factors = own[0] else {
                gated = (members[0].weight, nil, nil)
                return
            }
            guard widths[0] * factors.up.width % alignment == 0 else { return }
            func part(_ columns: Range<Int>) -> LowRankFactors {
                LowRankFactors(down: factors.down, up: factors.up.rows(columns), scaling: factors.scaling)
            }
            gated = (members[0].weight, part(0..<widths[0]), part(widths[0]..<widths[0] + widths[1]))
        }
    }

    /// What the inputs give, behind each other in one row.
    func parts(of row: Tensor) -> [Tensor] {
        zip(starts, widths).map { start, width in
            Tensor(row.slice.slice(start * 4, byteCount: width * 4), shape: [1, width])
        }
    }
}
