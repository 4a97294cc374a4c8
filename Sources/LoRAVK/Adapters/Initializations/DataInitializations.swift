// Starts in what the layers see on training data.

/// What of the data an initialisation looks at, and how: every value is a number of one of its options.
extension LoRAInitialization {
    private static let lookingAt = [
        NumberOption("samples", 32, in: 1...1e6, "examples of the training data to look at"),
        NumberOption("iterations", 2, in: 0...100, "of the subspace iteration, each once over the samples"),
    ]

    /// A from the right singular vectors of the layer's inputs, B zero; ranks go where the inputs' variance is. Paischer et al.
    /// 2024, EVA: Parameter Efficient Fine-tuning via Explained Variance Adaptation.
    package static let eva = LoRAInitialization(
        name: "eva",
        summary: "A from the strongest directions of the layer's inputs, B zero; ranks redistributed",
        options: lookingAt + [
            NumberOption(
                "rho", 2, in: 1...16, "a layer gets at most rho times the rank; 1: all get the rank"),
            NumberOption("centre", 1, in: 0...1, "1: the inputs less their mean, as in PEFT; 0: as they are"),
        ],
        zero: .loraB, sight: .inputs
    ) { _, site, _ in
        guard let seen = site.seen else { preconditionFailure("EVA starts from data") }
        return [.loraA: Array(seen.vt.prefix(site.rank * site.inFeatures))]
    }

    /// G = U·S·Vᵀ the gradient of W: A the first R rows of Vᵀ, B the next R columns of U, of the size O^¼/√γ, so that the first
    /// step of A and B moves W within the 2R strongest directions of G. Wang, Yu & Li 2024, LoRA-GA.
    package static let loraGA = LoRAInitialization(
        name: "lora-ga",
        summary: "A and B from the strongest directions of W's first gradient, and taken off W",
        options: lookingAt + [
            NumberOption("gamma", 16, in: 1e-3...1e6, "A and B are of the size out^¼/√gamma")
        ],
        startsInWeight: true, sight: .gradients(perRank: 2)
    ) { this, site, _ in
        let seen = try site.gradient(perRank: 2, for: this)
        let size = Float(
            Double(site.outFeatures).squareRoot().squareRoot() / this.option("gamma").squareRoot())
        return [
            .loraA: seen.vt.prefix(site.rank * site.inFeatures).map { $0 * size },
            .loraB: (0..<site.outFeatures).flatMap { row in
                (site.rank..<2 * site.rank).map { seen.u[row * seen.rank + $0] * size }
            },
        ]
    }
}

extension LoRAInitialization {
    /// G = U·S·Vᵀ the gradient of W: B = −σ·U·√(S/S₁), A = σ·√(S/S₁)·Vᵀ, so that s·B·A points where the loss falls fastest and
    /// A and B have no other direction to turn from. Xu et al. 2025, Understanding the Learning Dynamics of LoRA.
    package static let spectral = LoRAInitialization(
        name: "spectral",
        summary: "A and B small, in the strongest directions of W's first gradient, and taken off W",
        options: lookingAt + [
            NumberOption("scale", 0.1, in: 1e-6...1e3, "the norm of the first row of A and column of B")
        ],
        startsInWeight: true, sight: .gradients(perRank: 1)
    ) { this, site, _ in
        let seen = try site.gradient(perRank: 1, for: this)
        let sizes = seen.s.map { this.option("scale") * Double($0 / seen.s[0]).squareRoot() }
        return [
            .loraA: seen.vt.enumerated().map { Float(Double($1) * sizes[$0 / site.inFeatures]) },
            .loraB: seen.u.enumerated().map { Float(-Double($1) * sizes[$0 % seen.rank]) },
        ]
    }
}

extension InitialSite {
    /// Singular triplets of the gradient of W, `perRank` times as many as the layer has ranks.
    fileprivate func gradient(
        perRank: Int, for initialization: LoRAInitialization
    ) throws(ConfigError) -> SingularTriplets {
        guard let seen else { preconditionFailure("\(initialization.name) starts from data") }
        guard seen.rank == perRank * rank else {
            throw ConfigError(
                "the rank is \(rank), and \(initialization.name) takes \(perRank * rank) singular vectors; a layer of "
                    + "\(inFeatures) inputs and \(outFeatures) outputs has fewer: use a smaller rank")
        }
        return seen
    }
}

/// The ranks of EVA: of all layers' directions those that explain most of their layer's variance, as many as the budget
/// allows, and of one layer at most `limit`.
package func redistributedRanks(explained: [[Double]], budget: Int, limit: Int) -> [Int] {
    let candidates = explained.enumerated().flatMap { layer, parts in
        parts.prefix(limit).map { (layer: layer, part: $0) }
    }
    var ranks = [Int](repeating: 0, count: explained.count)
    // Ties go to the first layer: the order is the same everywhere.
    let order = candidates.indices.sorted {
        (candidates[$0].part, $1) > (candidates[$1].part, $0)
    }
    for index in order.prefix(budget) { ranks[candidates[index].layer] += 1 }
    return ranks
}
