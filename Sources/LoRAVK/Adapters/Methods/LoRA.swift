// y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ. LoRA, s = α/R: Hu et al. 2021. rsLoRA, s = α/√R: Kalajdzievski 2023.

package struct LoRA: AdapterMethod {
    package let name = "lora"
    package let summary = "W + s·B·A, s = alpha/rank (Hu et al. 2021)"
    package let isLowRankAlone = true
    package init() {}
}

package struct RsLoRA: AdapterMethod {
    package let name = "rslora"
    package let summary = "LoRA with s = alpha/√rank, for high ranks (Kalajdzievski 2023)"
    package let isLowRankAlone = true
    package init() {}

    package func settle(_ config: inout LoRAConfig) { config.usesRsLoRA = true }
}
