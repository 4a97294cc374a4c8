// Linear layers that read the same input. Where their adapters are low-rank terms alone, of one rank, whose matrices lie behind each
// other (Adapter lays them so), all h are one product, and so are all dD: the input is read once instead of once a layer.

import Kernels
import VulkanCompute

struct LinearGroup {
    let members: [Linear]
    /// All biases behind each other; nil: there are none.
    let bias: Tensor?

    var label: String {
        members.map { $0.name.split(separator: ".").last.map(String.init) ?? "" }.joined(separator: ", ")
    }

    /// What a forward saves: h of all, columns of one matrix (N, n·R), or each layer's own.
    enum Saved {
        case together(Tensor)
        case apart([Tensor?])
    }

    /// Records the members' outputs.
    func forward(into outputs: [Tensor], _ x: Tensor, _ pass: Pass) throws(VulkanError) -> Saved {
        guard let stack = Stack(members, pass) else {
            var kept: [Tensor?] = []
            for (linear, y) in zip(members, outputs) { kept.append(try linear.forward(.into(y), x, pass)) }
            return .apart(kept)
        }
        let h = pass.arena.take(x.rows, stack.down.rows)
        try pass.encoder.loraDown(
            into: h, x, loraA: stack.down, scaling: stack.scaling, label: "\(members[0].name)… h")
        for (index, (linear, y)) in zip(members, outputs).enumerated() {
            let term = LoRATerm(h: stack.part(h, index), matrix: stack.terms[index].up)
            try linear.base(.into(y), x, term, pass)
            try linear.addBias(.into(y), pass)
        }
        return .together(h)
    }

    /// Records the gradients of the adapters (adding to them) and that of x. Gives `saved` back.
    func backward(
        _ dx: GradientDestination, _ gradients: [Tensor], x: Tensor, _ saved: Saved, _ pass: Pass
    ) throws(VulkanError) {
        func destination(_ index: Int) -> GradientDestination {
            if index > 0, case .into(let dx) = dx { .addingTo(dx) } else { dx }
        }
        switch saved {
        case .apart(let kept):
            for (index, (linear, dy)) in zip(members, gradients).enumerated() {
                try linear.backward(destination(index), dy, x: x, h: kept[index], pass)
            }
        case .together(let h):
            guard let stack = Stack(members, pass) else {
                preconditionFailure("the forward of \(members[0].name) found its terms together")
            }
            let g = pass.arena.take(h.rows, h.width)
            for (index, (linear, dy)) in zip(members, gradients).enumerated() {
                let (term, part) = (stack.terms[index], stack.part(g, index))
                try linear.gradient(into: part, dy, term, pass)
                try linear.baseBackward(
                    destination(index), dy, LoRATerm(h: part, matrix: term.down), pass)
                try linear.upGradient(dy, h: stack.part(h, index), term, pass)
            }
            if let gradient = stack.downGradient {
                try pass.encoder.loraGradientA(
                    addingTo: gradient, g: g, x: x, label: "\(members[0].name)… dA")
            }
            pass.arena.give(g, h)
        }
    }

    func give(_ saved: Saved, to arena: Arena) {
        switch saved {
        case .together(let h): arena.give(h)
        case .apart(let kept): for h in kept { arena.give(h) }
        }
    }

    /// The members' terms as one.
    private struct Stack {
        let terms: [LowRankTerm]
        let down: Tensor  // (n·R, I)
        let downGradient: Tensor?  // (n·R, I)
        var scaling: Float { terms[0].scaling }

        /// Nil where they are not together. Few rows take kernels that want h alone, and features are looked at layer by layer.
        init?(_ linears: [Linear], _ pass: Pass) {
            let terms = linears.compactMap { $0.termAlone(pass) }
            guard terms.count == linears.count, pass.tokens > CommandEncoder.fewRows, pass.features == nil,
                terms.allSatisfy({ $0.scaling == terms[0].scaling && $0.up.width == terms[0].up.width }),
                let down = Tensor(stacking: terms.map(\.down))
            else { return nil }
            let gradients = terms.compactMap(\.downGradient)
            downGradient = Tensor(stacking: gradients)
            guard gradients.isEmpty || downGradient?.rows == down.rows else { return nil }
            self.terms = terms
            self.down = down
        }

        func part(_ whole: Tensor, _ index: Int) -> Tensor {
            let rank = terms[0].up.width
            return whole.columns(index * rank..<(index + 1) * rank)
        }
    }
}

extension Tensor {
    /// Matrices that lie behind each other in one buffer, as one; nil where they do not.
    fileprivate init?(stacking matrices: [Tensor]) {
        guard let first = matrices.first else { return nil }
        var end = first.slice.range.lowerBound
        for matrix in matrices {
            guard matrix.slice.buffer === first.slice.buffer, matrix.slice.range.lowerBound == end,
                matrix.width == first.width, matrix.pitch == first.width
            else { return nil }
            end = matrix.slice.range.upperBound
        }
        let whole = BufferSlice(
            buffer: first.slice.buffer, offset: first.slice.offset, byteCount: end - first.slice.offset)
        self.init(whole, shape: [matrices.reduce(0) { $0 + $1.rows }, first.width])
    }
}
