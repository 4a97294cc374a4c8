// y = x·Wᵀ + x·Aᵀ·Uᵀ, U = diag(b)·B·diag(d). All layers share A and B, which are random and frozen. Only the vectors b (out)
// and d (R) train. From dU = dyᵀ·(x·Aᵀ): db_o = Σ over ranks of dU ⊙ B ⊙ d, dd_k = Σ over rows of b ⊙ dU ⊙ B.
// Kopiczko, Blankevoort & Asano 2023, VeRA: Vector-based Random Matrix Adaptation.

import Checkpoints
import Kernels
import VulkanCompute

extension Adapter.Part {
    package static let veraD = Adapter.Part("d", as: .veraD)
    package static let veraB = Adapter.Part("b", as: .veraB)
    package static let sharedA = shared(.veraA)
    package static let sharedB = shared(.veraB)
}

package struct VeRA: LowRankMethod {
    package let name = "vera"
    package let summary =
        "random A and B that all layers share; two vectors a layer train (Kopiczko et al. 2023)"
    package var options: [NumberOption]
    package init(d: Double = 0.1) {
        options = [NumberOption("d", d, in: 1e-6...1e6, "what the entries of d start as")]
    }

    /// d is the scaling.
    package func normalize(_ config: inout LoRAConfig) {
        config.usesRsLoRA = false
        config.alpha = Double(config.rank)
    }

    package func validate(_ config: LoRAConfig) throws(ConfigError) {
        try refuseInitialization(config)
    }

    package func describe(_ peft: inout PEFTConfig, _ config: LoRAConfig) {
        peft.kind = .vera
        peft.veraStart = option("d")
        peft.veraKey = Int(Self.key(config.seed))
    }

    package func recognized(in peft: PEFTConfig) -> (any AdapterMethod)? {
        peft.kind == .vera ? VeRA(d: peft.veraStart) : nil
    }

    /// The part of a seed that PyTorch's generator takes.
    private static func key(_ seed: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: seed) }

    // MARK: Parameters

    package func parameters(of module: AdapterModuleShape) -> [ParameterShape] {
        [
            ParameterShape(.veraD, count: module.rank, stored: module.paddedRank),
            ParameterShape(.veraB, count: module.outFeatures),
        ]
    }

    package func start(
        _ site: InitialSite, _ initialization: LoRAInitialization, using random: inout RandomNumbers
    ) throws -> [Adapter.Part: [Float]] {
        [.veraD: [Float](repeating: Float(option("d")), count: site.rank)]
    }

    package func shared(with module: AdapterModuleShape) -> [ParameterShape] {
        [
            ParameterShape(
                .sharedA, rows: module.rank, columns: module.inFeatures, storedRows: module.paddedRank),
            ParameterShape(
                .sharedB, rows: module.outFeatures, columns: module.rank, storedColumns: module.paddedRank),
        ]
    }

    /// kaiming_uniform(a = 0), with the numbers that PEFT draws from its key: PEFT draws them again instead of reading them.
    package func startShared(_ matrices: inout [Adapter.Part: SharedMatrix], seed: UInt64) {
        var generator = MersenneTwister(seed: Self.key(seed))
        for part in [Adapter.Part.sharedA, .sharedB] {
            guard var matrix = matrices[part] else { continue }
            let bound = Float((6 / Double(matrix.columns)).squareRoot())
            matrix.values = matrix.values.map { _ in generator.uniform(within: bound) }
            matrices[part] = matrix
        }
    }

    // MARK: Derived tensors

    private static let up = "U"  // (O, R)
    private static let ones = "ones"  // (R)

    package func fixedTensors(of module: AdapterModuleShape) -> [String: FixedTensor] {
        [Self.ones: .ones(module.paddedRank)]
    }

    package func derivedTensors(of module: AdapterModuleShape) -> [String: [Int]] {
        [Self.up: [module.outFeatures, module.paddedRank]]
    }

    package func updateDerivedTensors(
        _ layer: LoRALayer, around base: Linear, _ encoder: CommandEncoder, _ arena: Arena
    ) throws(VulkanError) {
        try encoder.veraScale(
            into: layer.derived(Self.up), layer.shared(.sharedB), b: layer[.veraB].value,
            d: layer[.veraD].value, label: "\(layer.name) U")
    }

    // MARK: Layer

    package func term(_ layer: LoRALayer) -> LowRankTerm {
        LowRankTerm(
            down: layer.shared(.sharedA), up: layer.derived(Self.up), scaling: 1, dropout: layer.dropout)
    }

    package func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, saved: Tensor, _ layer: LoRALayer,
        around base: Linear, _ pass: Pass
    ) throws(VulkanError) {
        let (encoder, arena) = (pass.encoder, pass.arena)
        var term = term(layer)
        guard let db = layer[.veraB].trainedGradient, let dd = layer[.veraD].trainedGradient else {
            return try base.backward(dx, dy, x: x, h: saved, lowRank: term, pass)
        }
        let dU = arena.take(layer.outFeatures, layer.paddedRank)
        try encoder.fill(dU.slice)
        term.upGradient = dU
        try base.backward(dx, dy, x: x, h: saved, lowRank: term, pass)
        try encoder.veraGradient(
            addingTo: db, scaling: dU, layer.shared(.sharedB), b: layer[.veraB].value,
            d: layer[.veraD].value, label: "\(layer.name) db")
        try encoder.columnDots(
            addingTo: dd.reshaped([layer.paddedRank]), dU, layer.shared(.sharedB),
            by: layer.fixed(Self.ones), label: "\(layer.name) dd")
        arena.give(dU)
    }
}
