// Successive halving (Jamieson & Talwalkar 2016): all configurations train for a part of their steps, the best 1/η of them go on to
// η times as many, and so on to the end. A configuration is all seeds of one set of options, judged by their mean loss.
//
//   factor η = 3, rungs 2, 90 steps, 18 configurations:   18 to step 10, 6 to step 30, 2 to step 90

import LoRAVK

package struct Halving: Named, Equatable {
    package let name = "halving"
    package let summary =
        "the best 1/factor of all configurations go on from each rung; Jamieson & Talwalkar 2016"
    package var options = [
        NumberOption("factor", 3, in: 2...100, "how many times fewer go on, for as many times more steps"),
        NumberOption("rungs", 2, in: 1...10, "how often it is decided who goes on"),
    ]

    package init() {}

    package var rungs: Int { Int(options["rungs"]) }

    /// The step at which rung `rung` (from 0) of a run of so many steps is decided.
    package func step(_ rung: Int, of steps: Int) -> Int {
        var step = Double(steps)
        for _ in rung..<rungs { step /= options["factor"] }
        return max(1, Int(step.rounded(.up)))
    }

    /// How many of so many configurations go on after it.
    package func survivors(_ rung: Int, of count: Int) -> Int {
        var rest = Double(count)
        for _ in 0...rung { rest /= options["factor"] }
        return max(1, Int(rest.rounded(.up)))
    }

    /// The places of those that go on, in their order; of equal losses the first. One without a loss never does.
    package func choose(_ losses: [Double?], rung: Int, of count: Int) -> [Int] {
        let ranked = losses.indices.filter { losses[$0] != nil }
            .sorted { (losses[$0] ?? 0, $0) < (losses[$1] ?? 0, $1) }
        return ranked.prefix(survivors(rung, of: count)).sorted()
    }
}

extension Registries {
    /// How runs that promise little are ended early.
    package static let prunings = Registry<Halving>("way of pruning", [Halving()])
}
