// One branch of a block, forward and backward: y = sum(x + scale·after(output(mixer(inputs(before(x)))))). All weights and all decisions
// about memory are here; what kind of branch it is, is its mixer's. What is cheap to compute again is not saved for the backward.

import Kernels
import VulkanCompute

struct Branch: Sendable {
    let before: Norm?
    /// None: the mixer reads the normed x.
    let inputs: LinearGroup
    let mixer: any Mixer
    /// nil: what the mixer gives is the branch's.
    let output: Linear?
    /// Of the output, before it is added.
    let after: Norm?
    let scale: Float
    /// Of x and what was added to it.
    let sum: Norm?

    var linears: [Linear] { inputs.members + (output.map { [$0] } ?? []) }
    private var hasInputs: Bool { !inputs.members.isEmpty }

    /// What the backward needs of the forward.
    struct Saved {
        let x: Tensor  // (N, C)
        let norm: Norm.Saved?
        let products: [Tensor]  // (N, …), of the inputs
        let mixed: [Tensor]  // the mixer's
        let a: Tensor?  // (N, W), where the mixer needs it
        let selected: Tensor?  // (n, W): the rows of a that the output needs, where they are not all
        let inputs: LinearGroup.Saved
        var output: Tensor?
        var z: Tensor?  // (n, C), the output in front of `after`
        var zNorm: Norm.Saved?
        var s: Tensor?  // (n, C), what `sum` reads
        var sumNorm: Norm.Saved?
    }

    /// The output is added as it comes, by its own product.
    private var addsOutput: Bool { after == nil && scale == 1 }

    // MARK: Forward

    /// Takes over `x` (N, C) and returns y with what a backward needs; with `saves` false nothing is saved. `rows` (n) says of
    /// which tokens y is needed: then y is (n, C).
    func forward(
        _ x: Tensor, saves: Bool, _ state: LayerState? = nil, rows: Tensor? = nil, _ pass: Pass
    ) throws(VulkanError) -> (Tensor, Saved?) {
        var (a, residual, saved) = try mix(x, saves: saves, state, rows: rows, pass)
        let isInPlace = !saves || rows != nil
        let y = isInPlace ? residual : pass.arena.take(like: residual)
        var h: Tensor?
        if let output, addsOutput {
            h = try output.forward(isInPlace ? .addingTo(y) : .sum(y, plus: residual), a, pass)
        } else {
            let z = output == nil ? a : pass.arena.take(y.rows, y.width)
            h = try output?.forward(.into(z), a, pass)
            let norm = try add(z, into: y, plus: residual, pass)
            if after != nil { saved?.z = z }
            saved?.zNorm = norm
            if !saves || after == nil { pass.arena.give(z) }
            if !saves { norm?.give(to: pass.arena) }
        }
        if !saves { pass.arena.give(h) }
        if output != nil, !saves || !mixer.savesOutput { pass.arena.give(a) }
        saved?.output = h
        guard let sum else { return (y, saved) }
        let normed = pass.arena.take(like: y)
        let statistics = try sum.forward(into: normed, y, pass)
        if saves {
            saved?.s = y
            saved?.sumNorm = statistics
        } else {
            statistics.give(to: pass.arena)
            pass.arena.give(y)
        }
        return (normed, saved)
    }

    /// y = residual + scale·after(z)
    func add(
        _ z: Tensor, into y: Tensor, plus residual: Tensor, _ pass: Pass
    ) throws(VulkanError) -> Norm.Saved? {
        if let after { return try after.forward(into: y, plus: residual, z, pass) }
        try pass.encoder.add(into: y, residual, z, scaledBy: scale)
        return nil
    }

    /// What a backward needs, computed again from the branch's input, which it takes over.
    func recompute(_ x: Tensor, rows: Tensor?, _ pass: Pass) throws(VulkanError) -> Saved {
        if sum != nil {
            // The norm's backward needs the sum.
            let (y, saved) = try forward(x, saves: true, rows: rows, pass)
            pass.arena.give(y)
            guard let saved else { preconditionFailure("a forward that saves saved nothing") }
            return saved
        }
        guard output != nil || after != nil else {
            let (products, norm, h) = try read(x, pass)
            let mixed = try mixer.recordSaved(products, pass)
            for product in products { pass.arena.give(product) }
            return Saved(x: x, norm: norm, products: [], mixed: mixed, a: nil, selected: nil, inputs: h)
        }
        let (a, residual, saved) = try mix(x, saves: true, nil, rows: rows, pass)
        guard var saved else { preconditionFailure("a forward that saves saved nothing") }
        if let after {
            // The norm's backward needs what it read.
            let z = output == nil ? a : pass.arena.take(a.rows, x.width)
            saved.output = try output?.forward(.into(z), a, pass)
            let norm = after.takeSaved(rows: z.rows, pass.arena)
            let n = pass.arena.take(z.rows, z.width)
            try after.again(into: n, z, norm, pass)
            pass.arena.give(n)
            (saved.z, saved.zNorm) = (z, norm)
        } else {
            saved.output = try output?.recordSaved(of: a, pass)
        }
        if rows != nil {
            pass.arena.give(residual)
        } else if output != nil, !mixer.savesOutput {
            pass.arena.give(a)
        }
        return saved
    }

    /// What the mixer reads.
    private func read(
        _ x: Tensor, _ pass: Pass
    ) throws(VulkanError) -> (products: [Tensor], norm: Norm.Saved?, h: LinearGroup.Saved) {
        let arena = pass.arena
        var (n, norm) = (x, Norm.Saved?.none)
        if let before {
            n = arena.take(x.rows, x.width)
            norm = try before.forward(into: n, x, pass)
        }
        guard hasInputs else { return ([before == nil ? try pass.copy(x) : n], norm, .apart([])) }
        let whole = inputs.members.map { mixer.take(x.rows, $0.outFeatures, arena) }
        let h = try inputs.forward(into: whole, n, pass)
        if before != nil { arena.give(n) }
        return (try split(whole, pass), norm, h)
    }

    /// Everything up to what the output layer reads: a and x, of the rows that are needed, and what is saved.
    private func mix(
        _ x: Tensor, saves: Bool, _ state: LayerState?, rows: Tensor?, _ pass: Pass
    ) throws(VulkanError) -> (a: Tensor, residual: Tensor, saved: Saved?) {
        let arena = pass.arena
        let (products, norm, h) = try read(x, pass)
        let a = mixer.take(x.rows, mixer.width, arena)
        let mixed = try mixer.forward(into: a, products, state, pass)
        if !saves || !hasInputs { for product in products { arena.give(product) } }
        if !saves {
            for tensor in mixed { arena.give(tensor) }
            norm?.give(to: arena)
            inputs.give(h, to: arena)
        }
        let selected = try rows.map { rows throws(VulkanError) in try pass.gather(a, rows) }
        let residual = try rows.map { rows throws(VulkanError) in try pass.gather(x, rows) }
        if rows != nil, !saves { arena.give(x) }
        if rows != nil, !(saves && mixer.savesOutput) { arena.give(a) }
        let saved = Saved(
            x: x, norm: norm, products: hasInputs ? products : [], mixed: mixed,
            a: mixer.savesOutput ? a : nil,
            selected: selected, inputs: h)
        return (selected ?? a, residual ?? x, saves ? saved : nil)
    }

    /// What one product gives for several: q, k and v apart. Takes over `products`.
    private func split(_ products: [Tensor], _ pass: Pass) throws(VulkanError) -> [Tensor] {
        var parts: [Tensor] = []
        for (product, linear) in zip(products, inputs.members) {
            guard linear.outputs.count > 1 else {
                parts.append(product)
                continue
            }
            for columns in linear.columns {
                let part = mixer.take(product.rows, columns.count, pass.arena)
                try pass.encoder.copyColumns(
                    into: part, product.columns(columns), label: "\(linear.name) parts")
                parts.append(part)
            }
            pass.arena.give(product)
        }
        return parts
    }

    /// The gradients of the products from those of their parts. Takes over `parts`.
    private func joined(_ parts: [Tensor], _ pass: Pass) throws(VulkanError) -> [Tensor] {
        var gradients: [Tensor] = []
        var parts = parts[...]
        for linear in inputs.members {
            guard linear.outputs.count > 1 else {
                gradients.append(parts.removeFirst())
                continue
            }
            let whole = mixer.take(parts[parts.startIndex].rows, linear.outFeatures, pass.arena)
            for columns in linear.columns {
                let part = parts.removeFirst()
                try pass.encoder.copyColumns(
                    into: whole.columns(columns), part, label: "\(linear.name) parts")
                pass.arena.give(part)
            }
            gradients.append(whole)
        }
        return gradients
    }

    // MARK: Backward

    /// Takes over `dx`, the gradient of y, and returns that of x; gives `saved` back. Without `needsInput` nothing below has use for
    /// the gradient of x, and the work stops at the adapted layers of this branch.
    func backward(
        _ dx: Tensor, _ saved: Saved, needsInput: Bool, rows: Tensor?, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        let arena = pass.arena
        var dx = try sumGradient(dx, saved, pass)
        let needsProducts = needsInput || inputs.members.contains { $0.isAdapted(pass) }
        guard let output else { return try backwardMixer(dx, saved, pass) }
        let dz = try outputGradient(dx, saved, pass)
        var da = mixer.take(dx.rows, mixer.width, arena)
        var gradients: [Tensor] = []
        if let a = saved.selected ?? saved.a {
            try output.backward(needsProducts ? .into(da) : .none, dz, x: a, h: saved.output, pass)
            if needsProducts {
                if let rows {
                    da = try pass.scatter(da, rows, rows: saved.x.rows)
                    dx = try pass.scatter(dx, rows, rows: saved.x.rows)
                }
                gradients = try mixer.backward(da, output: saved.a, saved.products, saved.mixed, pass)
            }
        } else if needsProducts {
            try output.backward(
                into: da, dz, h: saved.output,
                again: { (a) throws(VulkanError) in try mixer.again(into: a, saved, pass) },
                inPlace: { () throws(VulkanError) in
                    gradients = try mixer.backward(da, output: nil, saved.products, saved.mixed, pass)
                }, pass)
        } else {
            try mixer.again(into: da, saved, pass)
            try output.backward(.none, dz, x: da, h: saved.output, pass)
        }
        arena.give(da, saved.a, saved.selected)
        arena.give(addsOutput ? nil : dz, saved.z)
        saved.zNorm?.give(to: arena)
        if needsProducts {
            gradients = try joined(gradients, pass)
            try backwardInputs(dx, gradients, saved, needsInput: needsInput, pass)
            for gradient in gradients { arena.give(gradient) }
        } else {
            for tensor in saved.products + saved.mixed { arena.give(tensor) }
            inputs.give(saved.inputs, to: arena)
        }
        saved.norm?.give(to: arena)
        arena.give(saved.x)
        return dx
    }

    /// The backward of a branch without an output layer, of which something below needs the gradient, since it has no adapter.
    private func backwardMixer(_ dx: Tensor, _ saved: Saved, _ pass: Pass) throws(VulkanError) -> Tensor {
        let dz = try outputGradient(dx, saved, pass)
        let gradients = try mixer.backward(dz, output: saved.a, saved.products, saved.mixed, pass)
        pass.arena.give(addsOutput ? nil : dz, saved.z, saved.a)
        saved.zNorm?.give(to: pass.arena)
        try backwardInputs(dx, gradients, saved, needsInput: true, pass)
        for gradient in gradients { pass.arena.give(gradient) }
        saved.norm?.give(to: pass.arena)
        pass.arena.give(saved.x)
        return dx
    }

    /// The gradient of what `sum` read. Takes over `dy`.
    private func sumGradient(_ dy: Tensor, _ saved: Saved, _ pass: Pass) throws(VulkanError) -> Tensor {
        guard let sum, let s = saved.s, let statistics = saved.sumNorm else { return dy }
        let ds = pass.arena.take(like: dy)
        try sum.backward(into: ds, dy, x: s, statistics, pass)
        statistics.give(to: pass.arena)
        pass.arena.give(dy, s)
        return ds
    }

    /// dz of y = x + scale·after(z); dx itself where z is added as it comes.
    private func outputGradient(
        _ dx: Tensor, _ saved: Saved, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        if addsOutput { return dx }
        let dz = pass.arena.take(dx.rows, dx.width)
        if let after, let z = saved.z, let norm = saved.zNorm {
            try after.backward(into: dz, dx, x: z, norm, pass)
        } else {
            try pass.encoder.scale(into: dz, dx, by: scale)
        }
        return dz
    }

    private func backwardInputs(
        _ dx: Tensor, _ gradients: [Tensor], _ saved: Saved, needsInput: Bool, _ pass: Pass
    ) throws(VulkanError) {
        guard hasInputs else {
            guard let before, let norm = saved.norm else {
                return try pass.encoder.add(gradients[0], addingTo: dx)
            }
            return try before.backward(addingTo: dx, gradients[0], x: saved.x, norm, pass)
        }
        guard let before, let norm = saved.norm else {
            return try inputs.backward(
                needsInput ? .addingTo(dx) : .none, gradients, x: saved.x, saved.inputs, pass)
        }
        let (n, dn) = (pass.arena.take(dx.rows, dx.width), pass.arena.take(dx.rows, dx.width))
        try before.again(into: n, saved.x, norm, pass)
        try inputs.backward(needsInput ? .into(dn) : .none, gradients, x: n, saved.inputs, pass)
        if needsInput { try before.backward(addingTo: dx, dn, x: saved.x, norm, pass) }
        pass.arena.give(n, dn)
    }
}

extension Mixer {
    /// The forward's output once more, of a mixer that saves nothing else.
    fileprivate func again(into a: Tensor, _ saved: Branch.Saved, _ pass: Pass) throws(VulkanError) {
        let mixed = try forward(into: a, saved.products, nil, pass)
        precondition(mixed.isEmpty, "a mixer that does not save its output saves nothing")
    }
}
