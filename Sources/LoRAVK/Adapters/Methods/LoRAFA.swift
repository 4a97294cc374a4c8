// LoRA with A frozen as it starts: only B trains, and dA is never computed. Zhang et al. 2023, LoRA-FA.

package struct LoRAFA: LowRankMethod {
    package let name = "lora-fa"
    package let summary = "LoRA that trains B only, A stays as it starts (Zhang et al. 2023)"
    package let isPureLowRank = true
    package init() {}

    package func learningRate(of part: Adapter.Part) -> Double { part == .loraA ? 0 : 1 }

    package func validate(_ config: LoRAConfig) throws(ConfigError) {
        guard config.start.zero != .loraA else {
            throw ConfigError(
                "lora-fa trains B only, and the initialization \(config.start.name) starts with A at zero, "
                    + "so that nothing could be learned; use kaiming, gaussian or orthogonal")
        }
    }
}
