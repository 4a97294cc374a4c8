// ΔW = B·diag(c)·A·diag(w), c_i = λ/(R·‖A_i‖·‖B_i‖), w the norms of W's columns. A and B give the direction of the
// update, λ its length; all three train. As a low-rank term: D = A·diag(w), U = B·diag(c). Its gradients dD and dU give,
// with dc_i = Σ over rows of dU ⊙ B: dA = dD·diag(w) − c·dc/‖A_i‖² A, dB = dU·diag(c) − c·dc/‖B_i‖² B, dλ = Σ c·dc/λ.
// Bini, Girrbach & Akata 2025, DeLoRA.

import Checkpoints
import Kernels
import VulkanCompute

extension Adapter.Part {
    package static let lambda = Adapter.Part("lambda")
}

package struct DeLoRA: LowRankMethod {
    package let name = "delora"
    package let summary = "bounded update: direction of each rank, and one length lambda (Bini et al. 2025)"
    package var options = [
        NumberOption(
            "lambda", 15, in: 1e-6...1e6, "how far W may move at first, over the norms of its columns")
    ]
    package let savesItself = false
    package init() {}

    /// λ is the scaling.
    package func normalize(_ config: inout LoRAConfig) {
        config.usesRsLoRA = false
        config.alpha = Double(config.rank)
    }

    package func validate(_ config: LoRAConfig) throws(ConfigError) {
        guard config.start.zero != nil else {
            throw ConfigError(
                "delora needs A or B to start at zero, and the initialization \(config.start.name) "
                    + "starts with neither; use kaiming, gaussian or init-b")
        }
    }

    package func parameters(of module: AdapterModuleShape) -> [ParameterShape] {
        [.loraA(module), .loraB(module), ParameterShape(.lambda, count: 1)]
    }

    package func start(
        _ site: InitialSite, _ initialization: LoRAInitialization, using random: inout RandomNumbers
    ) throws -> [Adapter.Part: [Float]] {
        var start = try initialization.matrices(site, using: &random)
        start[.lambda] = [Float(option("lambda"))]
        return start
    }

    // MARK: Derived tensors

    private static let columns = "w"  // (I)
    private static let ones = "ones"  // (R)
    private static let down = "D"  // (R, I)
    private static let up = "U"  // (O, R)
    private static let factors = "c"  // (R)
    private static let unit = "c/λ"  // (R)
    private static let perA = "1/‖A‖²"  // (R)
    private static let perB = "1/‖B‖²"  // (R)

    package func fixedTensors(of module: AdapterModuleShape) -> [String: FixedTensor] {
        [Self.ones: .ones(module.paddedRank)]
    }

    package func derivedTensors(of module: AdapterModuleShape) -> [String: [Int]] {
        let rank = module.paddedRank
        return [
            Self.columns: [module.inFeatures], Self.down: [rank, module.inFeatures],
            Self.up: [module.outFeatures, rank], Self.factors: [rank], Self.unit: [rank], Self.perA: [rank],
            Self.perB: [rank],
        ]
    }

    package func constants(_ base: InitialSite.Base, of module: AdapterModuleShape) throws -> [String:
        [Float]]
    {
        let stored = try base.model.checkpoint.tensor(base.linear.name + ".weight")
        var squares = [Double](repeating: 0, count: stored.columns)
        for row in 0..<stored.rows {
            for (column, value) in try stored.floats(rows: row..<row + 1).enumerated() {
                squares[column] += Double(value) * Double(value)
            }
        }
        return [Self.columns: squares.map { Float($0.squareRoot()) }]
    }

    package func updateDerivedTensors(
        _ layer: LoRALayer, around base: Linear, _ encoder: CommandEncoder, _ arena: Arena
    ) throws(VulkanError) {
        let squaresB = arena.take(layer.paddedRank)
        try encoder.fill(squaresB.slice)
        try encoder.columnDots(
            addingTo: squaresB, layer.loraB, layer.loraB, by: layer.fixed(Self.ones),
            label: "\(layer.name) ‖B‖²")
        try encoder.deloraScale(
            into: layer.derived(Self.factors), unit: layer.derived(Self.unit), perA: layer.derived(Self.perA),
            perB: layer.derived(Self.perB), loraA: layer.loraA, squaresB: squaresB,
            lambda: layer[.lambda].value,
            rank: layer.rank, label: "\(layer.name) c")
        arena.give(squaresB)
        try encoder.scaleColumns(
            into: layer.derived(Self.down), layer.loraA, by: layer.derived(Self.columns),
            label: "\(layer.name) D")
        try encoder.scaleColumns(
            into: layer.derived(Self.up), layer.loraB, by: layer.derived(Self.factors),
            label: "\(layer.name) U")
    }

    // MARK: Layer

    package func term(_ layer: LoRALayer) -> LowRankTerm {
        var term = LowRankTerm(layer)
        (term.down, term.up) = (layer.derived(Self.down), layer.derived(Self.up))
        return term
    }

    package func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, saved: Tensor, _ layer: LoRALayer,
        around base: Linear, _ pass: Pass
    ) throws(VulkanError) {
        let (encoder, arena) = (pass.encoder, pass.arena)
        let rank = layer.paddedRank
        let dD = arena.take(rank, layer.inFeatures)
        let dU = arena.take(layer.outFeatures, rank)
        let (dc, takenB, takenA) = (arena.take(rank), arena.take(rank), arena.take(rank, rank))
        for tensor in [dD, dU, dc, takenA] { try encoder.fill(tensor.slice) }
        var term = term(layer)
        (term.downGradient, term.upGradient) = (dD, dU)
        try base.backward(dx, dy, x: x, h: saved, lowRank: term, pass)
        let (dA, dB) = (layer[.loraA].gradient, layer[.loraB].gradient)
        try encoder.columnDots(
            addingTo: dc, dU, layer.loraB, by: layer.fixed(Self.ones), label: "\(layer.name) dc")
        try encoder.deloraGradient(
            lambda: layer[.lambda].gradient, takenA: takenA, takenB: takenB, dc: dc,
            factors: layer.derived(Self.factors), unit: layer.derived(Self.unit),
            perA: layer.derived(Self.perA),
            perB: layer.derived(Self.perB), label: "\(layer.name) dλ")
        try encoder.scaleColumns(addingTo: dA, dD, by: layer.derived(Self.columns), label: "\(layer.name) dA")
        try encoder.matmul(.nn, addingTo: dA, takenA, layer.loraA, label: "\(layer.name) dA")
        try encoder.scaleColumns(addingTo: dB, dU, by: layer.derived(Self.factors), label: "\(layer.name) dB")
        try encoder.scaleColumns(addingTo: dB, layer.loraB, by: takenB, label: "\(layer.name) dB")
        arena.give(dD, dU, dc, takenB, takenA)
    }

    /// D and U: the plain LoRA with the same update.
    package func fileTensors(of layer: LoRALayer, in adapter: Adapter) throws -> [TensorSource] {
        try adapter.refresh()
        return try [(Adapter.Part.loraA, Self.down), (.loraB, Self.up)].compactMap { part, name in
            let shape = layer[part].shape
            return try part.filePart.map {
                TensorSource(
                    AdapterFiles.key(layer.name, $0), shape: shape.savedShape,
                    shape.unpadded(try adapter.device.values(layer.derived(name))))
            }
        }
    }
}
