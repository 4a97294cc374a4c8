extension Registries {
    package static let methods = Registry<any AdapterMethod>(
        "adapter method",
        [
            LoRA(), RsLoRA(), LoRAPlus(), LoRAFA(), DoRA(), DeLoRA(), ALLoRA(), NoRAPlus(), RoCoFT(.rows),
            RoCoFT(.columns), VeRA(),
        ])
}
