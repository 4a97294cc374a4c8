extension Registries {
    package static let optimizers = Registry<any Optimizer>(
        "optimizer", [AdamW(), AdamW8bit(), Lion(), SGD(), Adafactor(), Muon()])
}
