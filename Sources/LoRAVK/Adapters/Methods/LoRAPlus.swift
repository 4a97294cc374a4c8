// LoRA whose B learns faster than A: ηB = ratio·ηA. Hayou, Ghosh & Yu 2024, LoRA+.

package struct LoRAPlus: LowRankMethod {
    package let name = "lora+"
    package let summary = "LoRA with a learning rate of B that is ratio times that of A (Hayou et al. 2024)"
    package var options = [
        NumberOption("ratio", 16, in: 1e-3...1e6, "the learning rate of B over that of A")
    ]
    package let isPureLowRank = true
    package init() {}

    package func learningRate(of part: Adapter.Part) -> Double { part == .loraB ? option("ratio") : 1 }
}
