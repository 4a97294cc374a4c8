// Starts in the weight itself. PiSSA's and OLoRA's strongest directions train, and the frozen rest stays behind; W is not changed
// (it may be quantised), the start is taken off again by as many frozen ranks: W + s·(B·A − B₀·A₀).

extension LoRAInitialization {
    /// W = U·S·Vᵀ, A = √(S/s)·Vᵀ, B = U·√(S/s) of the R largest singular values. Meng, Wang & Zhang 2024, PiSSA.
    package static let pissa = LoRAInitialization(
        name: "pissa", summary: "A and B from the largest singular values of W, which are taken off W",
        options: [
            NumberOption(
                "iterations", 0, in: 0...100, "of a randomised decomposition, 4 are usual; 0: the exact one")
        ],
        startsInWeight: true
    ) { this, site, random in
        let iterations = Int(this.option("iterations"))
        let factors: SingularTriplets
        if iterations == 0 {
            let base = try site.weight()
            factors = try SingularTriplets(
                try base.values(), rows: site.outFeatures, columns: site.inFeatures, rank: site.rank,
                of: base.linear.name)
        } else {
            factors = try SingularTriplets(site, iterations: iterations, using: &random)
        }
        let roots = factors.s.map { (Double($0) / site.scaling).squareRoot() }
        return [
            .loraA: factors.vt.enumerated().map { Float(Double($1) * roots[$0 / site.inFeatures]) },
            .loraB: factors.u.enumerated().map { Float(Double($1) * roots[$0 % site.rank]) },
        ]
    }

    /// W = Q·R, B the first columns of Q, A the first rows of R. Büyükakyüz 2024, OLoRA.
    package static let olora = LoRAInitialization(
        name: "olora", summary: "A and B from the QR decomposition of W, and taken off W",
        startsInWeight: true
    ) { _, site, _ in
        let base = try site.weight()
        let weight = try base.values()
        // The first columns of Q come from those of W alone; the first rows of R are their products with W.
        var q = (0..<site.rank).flatMap { column in
            (0..<site.outFeatures).map { weight[$0 * site.inFeatures + column] }
        }
        try orthonormalise(&q, site.rank, site.outFeatures, of: base.linear.name)
        let b = (0..<site.outFeatures).flatMap { row in (0..<site.rank).map { q[$0 * site.outFeatures + row] }
        }
        return [.loraA: try base.transposedTimes(q, count: site.rank), .loraB: b]
    }

    /// A = σ/s·Ω·W, Ω (R, O) normal: Nyström's sketch, by which the rows of A are within what W's rows span; B zero, so that
    /// nothing is taken off W. Li et al. 2024, On the Crucial Role of Initialization for Matrix Factorization.
    package static let nora = LoRAInitialization(
        name: "nora", summary: "A a random mixture of W's rows (Nyström), B zero",
        options: [sigma], zero: .loraB
    ) { this, site, random in
        let mixture = normal(
            site.rank * site.outFeatures, deviation: this.option(sigma.name) / site.scaling, &random)
        return [.loraA: try site.weight().transposedTimes(mixture, count: site.rank)]
    }

    private static let sigma = NumberOption(
        "sigma", 0.02, in: 1e-6...1e3, "the deviation of the mixture, times s")

    /// A and B both random, and orthogonal to each other: B·A = 0. R is even. As PEFT's, from
    /// https://datta0.github.io/posts/rethink-lora-init/
    package static let orthogonal = LoRAInitialization(
        name: "orthogonal", summary: "A and B random in orthogonal directions, so that B·A = 0; an even rank"
    ) { _, site, random in
        let rank = site.rank
        guard rank % 2 == 0 else {
            throw ConfigError("the rank is \(rank); the orthogonal initialization needs an even one")
        }
        var q = normal(rank * rank, deviation: 1, &random)
        try orthonormalise(&q, rank, rank, of: "orthogonal")
        // A mixes the even rows of q, B the odd ones.
        func mixed(_ count: Int, _ parity: Int) -> [Float] {
            let weights = normal(count * rank / 2, deviation: 0.1, &random)
            return (0..<count).flatMap { row in
                (0..<rank).map { column in
                    (0..<rank / 2).reduce(Float(0)) { sum, k in
                        sum + weights[row * rank / 2 + k] * q[(2 * k + parity) * rank + column]
                    }
                }
            }
        }
        let a = mixed(site.inFeatures, 0)  // (I, R)
        return [
            .loraA: (0..<rank).flatMap { row in (0..<site.inFeatures).map { a[$0 * rank + row] } },
            .loraB: mixed(site.outFeatures, 1),
        ]
    }
}
