// y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ. LoRA, s = α/R: Hu et al. 2021. rsLoRA, s = α/√R: Kalajdzievski 2023.

import Checkpoints

package struct LoRA: LowRankMethod {
    package let name = "lora"
    package let summary = "W + s·B·A, s = alpha/rank (Hu et al. 2021)"
    package let isPureLowRank = true
    package init() {}

    package func recognized(in peft: PEFTConfig) -> (any AdapterMethod)? {
        peft.kind == .lora && !peft.usesDoRA ? self : nil
    }
}

package struct RsLoRA: LowRankMethod {
    package let name = "rslora"
    package let summary = "LoRA with s = alpha/√rank, for high ranks (Kalajdzievski 2023)"
    package let isPureLowRank = true
    package init() {}

    package func normalize(_ config: inout LoRAConfig) { config.usesRsLoRA = true }
    package func recognized(in peft: PEFTConfig) -> (any AdapterMethod)? {
        peft.kind == .lora && !peft.usesDoRA && peft.usesRsLoRA ? self : nil
    }
}
