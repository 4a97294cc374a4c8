// W' = m ⊙ (W + s·B·A) / n by rows, n = ‖W + s·B·A‖ by rows. m trains; n is a constant to the gradient. With y₀ the output of
// the plain LoRA layer: y = y₀ ⊙ (m/n), dy₀ = dy ⊙ (m/n), dm = Σ over tokens of dy ⊙ y₀ / n. m/n scales W's product too, so
// the update is no low-rank term. Liu et al. 2024, DoRA: Weight-Decomposed Low-Rank Adaptation.

import Checkpoints
import Kernels
import VulkanCompute

extension Adapter.Part {
    package static let magnitude = Adapter.Part("magnitude", as: .magnitude)
}

package struct DoRA: AdapterMethod {
    package let name = "dora"
    package let summary = "LoRA of W's directions, and the length of each row apart (Liu et al. 2024)"
    package init() {}

    package func describe(_ peft: inout PEFTConfig, _ config: LoRAConfig) { peft.usesDoRA = true }
    package func recognized(in peft: PEFTConfig) -> (any AdapterMethod)? {
        peft.kind == .lora && peft.usesDoRA ? self : nil
    }

    package func parameters(of module: AdapterModuleShape) -> [ParameterShape] {
        [.loraA(module), .loraB(module), ParameterShape(.magnitude, count: module.outFeatures)]
    }

    package func start(
        _ site: InitialSite, _ initialization: LoRAInitialization, using random: inout RandomNumbers
    ) throws -> [Adapter.Part: [Float]] {
        var start = try initialization.matrices(site, using: &random)
        start[.magnitude] = site.constants[Self.squares]?.map { $0.squareRoot() }
        return start
    }

    // MARK: Derived tensors

    private static let squares = "‖W‖²"  // (O) of the rows
    private static let identity = "identity"  // (R, R)
    private static let scale = "m/n"  // (O)
    private static let inverse = "1/n"  // (O)

    package func fixedTensors(of module: AdapterModuleShape) -> [String: FixedTensor] {
        [Self.identity: .identity(module.paddedRank)]
    }

    package func derivedTensors(of module: AdapterModuleShape) -> [String: [Int]] {
        let rows = module.outFeatures
        return [Self.squares: [rows], Self.scale: [rows], Self.inverse: [rows]]
    }

    package func constants(_ base: InitialSite.Base, of module: AdapterModuleShape) throws -> [String:
        [Float]]
    {
        let stored = try base.model.checkpoint.tensor(base.linear.name + ".weight")
        let squares = try (0..<stored.rows).map { row in
            Float(try stored.floats(rows: row..<row + 1).reduce(0.0) { $0 + Double($1) * Double($1) })
        }
        return [Self.squares: squares]
    }

    /// n² = ‖W‖² + 2s⟨W, B·A⟩ + s²‖B·A‖² by rows, as ‖W‖² + s·⟨B, U⟩ with U = 2·W·Aᵀ + s·B·(A·Aᵀ): W + s·B·A is never made.
    package func updateDerivedTensors(
        _ layer: LoRALayer, around base: Linear, _ encoder: CommandEncoder, _ arena: Arena
    ) throws(VulkanError) {
        let rank = layer.paddedRank
        let products = arena.take(rank, layer.outFeatures)
        let gram = arena.take(rank, rank)
        let u = arena.take(layer.outFeatures, rank)
        try encoder.matmul(into: products, layer.loraA, weight: base.weight, label: "\(layer.name) A·Wᵀ")
        try encoder.matmul(.nt, into: gram, layer.loraA, layer.loraA, label: "\(layer.name) A·Aᵀ")
        try encoder.matmul(
            .nn, into: u, layer.loraB, gram, scale: layer.scaling, label: "\(layer.name) B·A·Aᵀ")
        try encoder.matmul(
            .tn, addingTo: u, products, layer.fixed(Self.identity), scale: 2, label: "\(layer.name) W·Aᵀ")
        try encoder.doraScale(
            into: layer.derived(Self.scale), inverse: layer.derived(Self.inverse),
            magnitude: layer[.magnitude].value, squares: layer.derived(Self.squares), loraB: layer.loraB,
            u: u,
            scaling: layer.scaling, label: "\(layer.name) norms")
        arena.give(products, gram, u)
    }

    // MARK: Layer

    /// What a backward needs: h (N, R), then y₀ (N, O) in the same tensor.
    private struct Saved {
        let h: Tensor
        let y0: Tensor

        init(_ whole: Tensor, _ rows: Int, _ layer: LoRALayer) {
            let start = Self.start(rows, layer)
            h = Tensor(whole.slice, shape: [rows, layer.paddedRank])
            y0 = Tensor(
                whole.slice.slice(start * 4, byteCount: rows * layer.outFeatures * 4),
                shape: [rows, layer.outFeatures])
        }

        static func take(_ rows: Int, _ layer: LoRALayer, _ arena: Arena) -> Tensor {
            arena.take(start(rows, layer) + rows * layer.outFeatures)
        }

        /// The first place for y₀ that may be bound.
        private static func start(_ rows: Int, _ layer: LoRALayer) -> Int {
            (rows * layer.paddedRank + 63) / 64 * 64
        }
    }

    package func forward(
        _ y: Destination, _ x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        let whole = try recordSaved(of: x, layer, around: base, pass)
        let (y0, scale) = (Saved(whole, x.rows, layer).y0, layer.derived(Self.scale))
        let label = "\(layer.name) m/n"
        switch y {
        case .into(let y): try pass.encoder.scaleColumns(into: y, y0, by: scale, label: label)
        case .addingTo(let y): try pass.encoder.scaleColumns(addingTo: y, y0, by: scale, label: label)
        case .sum(let y, let plus):
            try pass.encoder.copy(into: y.slice, from: plus.slice)
            try pass.encoder.scaleColumns(addingTo: y, y0, by: scale, label: label)
        }
        return whole
    }

    package func recordSaved(
        of x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        let whole = Saved.take(x.rows, layer, pass.arena)
        let saved = Saved(whole, x.rows, layer)
        let term = LowRankTerm(layer)
        try base.down(into: saved.h, x, term, pass)
        try base.base(.into(saved.y0), x, LoRATerm(h: saved.h, matrix: term.up), pass)
        return whole
    }

    package func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, saved whole: Tensor, _ layer: LoRALayer,
        around base: Linear, _ pass: Pass
    ) throws(VulkanError) {
        let saved = Saved(whole, x.rows, layer)
        if let gradient = layer[.magnitude].trainedGradient {
            try pass.encoder.columnDots(
                addingTo: gradient.reshaped([layer.outFeatures]), dy, saved.y0,
                by: layer.derived(Self.inverse),
                label: "\(layer.name) dm")
        }
        let dy0 = pass.arena.take(dy.rows, dy.width)
        try pass.encoder.scaleColumns(
            into: dy0, dy, by: layer.derived(Self.scale), label: "\(layer.name) dy·m/n")
        // This gives `whole` back, since h is its beginning.
        try base.backward(dx, dy0, x: x, h: saved.h, lowRank: LowRankTerm(layer), pass)
        pass.arena.give(dy0)
    }
}
