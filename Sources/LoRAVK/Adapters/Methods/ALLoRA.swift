// LoRA without α and dropout. The gradient of each row of B is multiplied by 1/√(‖row of B‖ + 1/η²). Where B is zero that is
// η; a row learns more slowly as it grows. Huang & Balestriero 2024, ALLoRA: Adaptive Learning Rate Mitigates LoRA Fatal Flaws.

import Kernels
import VulkanCompute

package struct ALLoRA: LowRankMethod {
    package let name = "allora"
    package let summary = "LoRA without alpha, rows of B learn slower as they grow (Huang & Balestriero 2024)"
    package var options = [
        NumberOption(
            "eta", 1, in: 1e-3...1e3, "what the gradient of a row of B that is zero is multiplied by")
    ]
    package let isPureLowRank = true
    package init() {}

    package func normalize(_ config: inout LoRAConfig) {
        config.usesRsLoRA = false
        config.alpha = Double(config.rank)
    }

    package func validate(_ config: LoRAConfig) throws(ConfigError) {
        guard config.dropout == 0 else {
            throw ConfigError("allora has no dropout, and the dropout is \(config.dropout); leave it away")
        }
    }

    package func transformGradients(_ layer: LoRALayer, _ encoder: CommandEncoder) throws(VulkanError) {
        guard let gradient = layer[.loraB].trainedGradient else { return }
        try encoder.alloraScale(
            gradient, loraB: layer.loraB, eta: Float(option("eta")), label: "\(layer.name) allora")
    }
}
