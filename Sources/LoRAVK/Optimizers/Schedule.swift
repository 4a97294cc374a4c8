// The learning rate over the steps of a run: a rise from zero, then what the shape says.

package struct Schedule: Sendable {
    package var shape: any ScheduleShape
    package var learningRate: Double
    /// Steps of the rise: the first has 1/warmupSteps of the full rate.
    package var warmupSteps: Int
    package var steps: Int

    package init(_ shape: some ScheduleShape, learningRate: Double, warmupSteps: Int = 0, steps: Int) {
        self.shape = shape
        self.learningRate = learningRate
        self.warmupSteps = warmupSteps
        self.steps = steps
    }

    /// The rate of step `step`, counted from 0.
    package func rate(_ step: Int) -> Double {
        if step < warmupSteps { return learningRate * Double(step + 1) / Double(warmupSteps) }
        let place = SchedulePlace(
            step: step - warmupSteps, steps: max(0, steps - warmupSteps), warmup: warmupSteps)
        return learningRate * shape.factor(place)
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
        settings.add("schedule", "\(shape.description) over \(steps) steps")
        settings.add("learning rate", learningRate)
        settings.add("warm-up steps", warmupSteps)
        return settings
    }
}
