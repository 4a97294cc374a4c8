// The learning rate over the steps of a run: a rise from zero, then constant, or a fall to zero along a line or a
// cosine, as Hugging Face's schedulers of the same names.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct Schedule: Sendable, Equatable {
    package enum Shape: String, Sendable, CaseIterable { case constant, linear, cosine }

    package var shape: Shape
    package var learningRate: Double
    /// Steps of the rise: the first has 1/warmupSteps of the full rate.
    package var warmupSteps: Int
    package var steps: Int

    package init(_ shape: Shape, learningRate: Double, warmupSteps: Int = 0, steps: Int) {
        self.shape = shape
        self.learningRate = learningRate
        self.warmupSteps = warmupSteps
        self.steps = steps
    }

    /// The rate of step `step`, counted from 0.
    package func rate(_ step: Int) -> Double {
        if step < warmupSteps { return learningRate * Double(step + 1) / Double(warmupSteps) }
        let progress = Double(step - warmupSteps) / Double(max(1, steps - warmupSteps))
        switch shape {
        case .constant: return learningRate
        case .linear: return learningRate * max(0, 1 - progress)
        case .cosine: return learningRate * 0.5 * (1 + cos(.pi * min(1, progress)))
        }
    }

    /// nil where the full rate is reached.
    package var warning: String? {
        guard warmupSteps > steps else { return nil }
        return
            "the warm-up takes \(warmupSteps) steps and the run has \(steps): the learning rate only comes to "
            + "\(Float(rate(steps - 1))) of \(Float(learningRate))"
    }

    package func validate() throws(ConfigError) {
        guard learningRate > 0, Float(learningRate).isFinite else {
            throw ConfigError(
                "the learning rate is \(learningRate); it must be positive (1e-4 to 1e-3 are usual)")
        }
        guard warmupSteps >= 0 else {
            throw ConfigError("there are \(warmupSteps) warm-up steps; 0 means none")
        }
    }
}

extension Schedule {
    var settings: Settings {
        var settings = Settings()
        settings.add("schedule", "\(shape.rawValue) over \(steps) steps")
        settings.add("learning rate", learningRate)
        settings.add("warm-up steps", warmupSteps)
        return settings
    }
}
