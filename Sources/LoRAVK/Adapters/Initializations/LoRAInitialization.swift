// How A (R, in) and B (out, R) start, so that training starts from the pretrained model: with B·A = 0, or with s·B·A taken off
// the weight. A new initialisation is a value in one file, and one line in the list here.

import VulkanCompute

package struct LoRAInitialization: Named {
    /// As the command line has it: `init-b`.
    package let name: String
    package let summary: String
    package var options: [NumberOption] = []
    /// The matrix that starts at zero, if one does.
    package var zero: Adapter.Part?
    /// B·A is not zero: as many ranks again, frozen, take the start off: s·[B, −B₀]·[A; A₀].
    package var startsInWeight = false
    /// What PEFT calls it in init_lora_weights, where loading may say so.
    package var peftName: String?
    /// What it looks at of the training data, if it does.
    package var sight: DataSight?
    let make: @Sendable (Self, InitialSite, inout RandomNumbers) throws -> [Adapter.Part: [Float]]

    /// A and B row by row; what is left out is zero.
    package func matrices(
        _ site: InitialSite, using random: inout RandomNumbers
    ) throws -> [Adapter.Part: [Float]] {
        try make(self, site, &random)
    }
}

extension Registries {
    package static let initializations = Registry<LoRAInitialization>(
        "initialization",
        [
            .kaiming, .gaussian, .initB, .initBGaussian, .orthogonal, .pissa, .olora, .nora, .eva, .loraGA,
            .spectral,
        ])
}

/// The layer whose matrices start.
package struct InitialSite: Sendable {
    /// Ranks that train.
    package let rank: Int
    package let inFeatures: Int
    package let outFeatures: Int
    package let scaling: Double
    /// The frozen layer, for what starts from its weight.
    package let base: Base?
    /// What the method finds constant about the layer, by its names.
    package let constants: [String: [Float]]
    /// What the initialisation saw in the training data.
    var seen: SingularTriplets?

    package struct Base: Sendable {
        package let linear: Linear
        package let model: Transformer
    }

    package init(
        rank: Int, inFeatures: Int, outFeatures: Int, scaling: Double, base: Base? = nil,
        constants: [String: [Float]] = [:]
    ) {
        (self.rank, self.inFeatures, self.outFeatures) = (rank, inFeatures, outFeatures)
        self.scaling = scaling
        self.base = base
        self.constants = constants
    }
}
