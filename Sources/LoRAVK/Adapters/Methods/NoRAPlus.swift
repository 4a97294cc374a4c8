// LoRA that starts as NoRA, with the gradients of ScaledGD: dA ← P·dA, P = (Bᵀ·B + ε·1)⁻¹, and dB ← dB·Q, Q = (A·Aᵀ + ε·1)⁻¹.
// P and Q are divided by their norms. A step then moves B·A equally far for any lengths of A and B. Li et al. 2024, On the
// Crucial Role of Initialization for Matrix Factorization.

import Kernels
import VulkanCompute

package struct NoRAPlus: LowRankMethod {
    package let name = "nora+"
    package let summary = "LoRA started as nora, gradients preconditioned by ScaledGD (Li et al. 2024)"
    package var options = [
        NumberOption("damping", 1e-6, in: 1e-12...1e6, "added to the diagonals of BᵀB and AAᵀ")
    ]
    package let isPureLowRank = true
    package init() {}

    package var defaultInitialization: LoRAInitialization { .nora }

    package func validate(_ config: LoRAConfig) throws(ConfigError) {
        guard config.start.name == LoRAInitialization.nora.name else {
            throw ConfigError(
                "nora+ starts as nora, and the initialization is \(config.start.name); leave --init away")
        }
        guard config.rank <= CommandEncoder.largestInverse else {
            throw ConfigError(
                "the rank is \(config.rank), and nora+ takes at most \(CommandEncoder.largestInverse)")
        }
    }

    private static let gram = "gram"  // (R, R)
    private static let inverse = "inverse"  // (R, R)
    private static let dA = "dA"  // (R, I)
    private static let dB = "dB"  // (O, R)

    package func derivedTensors(of module: AdapterModuleShape) -> [String: [Int]] {
        let rank = module.paddedRank
        return [
            Self.gram: [rank, rank], Self.inverse: [rank, rank], Self.dA: [rank, module.inFeatures],
            Self.dB: [module.outFeatures, rank],
        ]
    }

    package func transformGradients(_ layer: LoRALayer, _ encoder: CommandEncoder) throws(VulkanError) {
        guard let dA = layer[.loraA].trainedGradient, let dB = layer[.loraB].trainedGradient else { return }
        let label = "\(layer.name) nora+"
        let (gram, inverse) = (layer.derived(Self.gram), layer.derived(Self.inverse))
        func invert() throws(VulkanError) {
            try encoder.unitInverse(
                into: inverse, gram, rank: layer.rank, damping: Float(option("damping")), label: label)
        }
        try encoder.matmul(.tn, into: gram, layer.loraB, layer.loraB, label: label)
        try invert()
        try encoder.matmul(.nn, into: layer.derived(Self.dA), inverse, dA, label: label)
        try encoder.matmul(.nt, into: gram, layer.loraA, layer.loraA, label: label)
        try invert()
        try encoder.matmul(.nn, into: layer.derived(Self.dB), dB, inverse, label: label)
        try encoder.copy(into: dA.slice, from: layer.derived(Self.dA).slice)
        try encoder.copy(into: dB.slice, from: layer.derived(Self.dB).slice)
    }
}
