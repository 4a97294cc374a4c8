// Only R rows (or columns) of W train: W + B·A. One of the two matrices selects the rows or columns and is frozen. The other
// starts at zero and trains. Kowsher et al. 2024, RoCoFT: Efficient Finetuning of Large Language Models with Row-Column Updates.

package struct RoCoFT: LowRankMethod {
    package enum Side: Sendable { case rows, columns }

    package let side: Side
    package let isPureLowRank = true
    package init(_ side: Side) { self.side = side }

    package var name: String { side == .rows ? "rocoft" : "rocoft-columns" }
    package var summary: String {
        "trains as many \(side == .rows ? "rows" : "columns") of W as the rank says (Kowsher et al. 2024)"
    }

    private var chosen: Adapter.Part { side == .rows ? .loraB : .loraA }

    /// The update has the size of the rows themselves: s = 1.
    package func normalize(_ config: inout LoRAConfig) {
        config.usesRsLoRA = false
        config.alpha = Double(config.rank)
    }

    package func validate(_ config: LoRAConfig) throws(ConfigError) {
        try refuseInitialization(config)
    }

    package func learningRate(of part: Adapter.Part) -> Double { part == chosen ? 0 : 1 }

    package func start(
        _ site: InitialSite, _ initialization: LoRAInitialization, using random: inout RandomNumbers
    ) throws -> [Adapter.Part: [Float]] {
        let count = side == .rows ? site.outFeatures : site.inFeatures
        guard site.rank <= count else {
            throw ConfigError("\(name): the rank is \(site.rank), and a layer has only \(count) \(side)")
        }
        let indices = Array(0..<count).shuffled(using: &random).prefix(site.rank).sorted()
        var values = [Float](repeating: 0, count: count * site.rank)
        for (rank, index) in indices.enumerated() {
            values[side == .rows ? index * site.rank + rank : rank * count + index] = 1
        }
        return [chosen: values]
    }
}
