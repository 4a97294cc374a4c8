extension Registries {
    package static let objectives = Registry<any Objective>(
        "objective",
        [
            CausalLM(), DPO(.sigmoid), DPO(.hinge), DPO(.ipo), SimPO(), ORPO(), KTO(),
            MultipleNegatives(), CosineSimilarity(), Triplet(),
            Classification(.single), Classification(.multi), Classification(.regression), RewardModel(),
        ])
}
