// One half random, the other zero. Init[A] (A random with variance Θ(1/in), B = 0) is stable at larger learning rates than
// Init[B] (B random with variance Θ(1/R), A = 0): Hayou, Ghosh & Yu 2024, The Impact of Initialization on LoRA Finetuning Dynamics.

extension LoRAInitialization {
    /// kaiming_uniform(a = √5), PEFT's default.
    package static let kaiming = LoRAInitialization(
        name: "kaiming", summary: "Init[A]: A uniform in ±1/√in, B zero (PEFT's default)", zero: .loraB
    ) { _, site, random in
        let bound = 1 / Double(site.inFeatures).squareRoot()
        return [.loraA: uniform(site.rank * site.inFeatures, within: bound, &random)]
    }

    package static let gaussian = LoRAInitialization(
        name: "gaussian", summary: "Init[A]: A normal with deviation 1/rank, B zero", zero: .loraB,
        peftName: "gaussian"
    ) { _, site, random in
        [.loraA: normal(site.rank * site.inFeatures, deviation: 1 / Double(site.rank), &random)]
    }

    package static let initB = LoRAInitialization(
        name: "init-b", summary: "Init[B]: B uniform in ±1/√rank, A zero", zero: .loraA
    ) { _, site, random in
        let bound = 1 / Double(site.rank).squareRoot()
        return [.loraB: uniform(site.outFeatures * site.rank, within: bound, &random)]
    }

    package static let initBGaussian = LoRAInitialization(
        name: "init-b-gaussian", summary: "Init[B]: B normal with variance 1/rank, A zero", zero: .loraA
    ) { _, site, random in
        let deviation = 1 / Double(site.rank).squareRoot()
        return [.loraB: normal(site.outFeatures * site.rank, deviation: deviation, &random)]
    }
}

private func uniform(_ count: Int, within bound: Double, _ random: inout RandomNumbers) -> [Float] {
    (0..<count).map { _ in Float((2 * random.uniform() - 1) * bound) }
}

func normal(_ count: Int, deviation: Double, _ random: inout RandomNumbers) -> [Float] {
    (0..<count).map { _ in Float(random.normal() * deviation) }
}
