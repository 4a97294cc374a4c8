// An optimizer and what is said beside it, whichever it is.

package struct OptimizerConfig: Sendable {
    package var optimizer: any Optimizer = Defaults.optimizer
    /// Decoupled: a step takes learning rate · weight decay off every parameter.
    package var weightDecay = Defaults.weightDecay
    /// Gradients are scaled down to this global norm; nil: never.
    package var maxGradientNorm: Double?

    package init() {}

    var settings: Settings {
        var settings = Settings()
        settings.add("optimizer", optimizer.description)
        settings.add("weight decay", weightDecay)
        if let maxGradientNorm {
            settings.add("largest gradient norm", maxGradientNorm)
        } else {
            settings.add("largest gradient norm", "none")
        }
        return settings
    }

    package func validate() throws(ConfigError) {
        func require(_ condition: Bool, _ text: String) throws(ConfigError) {
            if !condition { throw ConfigError(text) }
        }
        try require(
            weightDecay >= 0 && weightDecay < 1, "the weight decay is \(weightDecay); it must be 0 to 1")
        if let norm = maxGradientNorm {
            try require(
                norm > 0 && norm.isFinite, "the gradient norm to clip at is \(norm); it must be positive")
        }
    }
}
