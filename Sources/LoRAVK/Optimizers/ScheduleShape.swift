// The seam between schedules and the rest: what part of the learning rate a step has.

package protocol ScheduleShape: Named {
    /// The part of the full rate at a step after the rise.
    func factor(_ place: SchedulePlace) -> Double
}

/// A step behind the rise: `step` of `steps`, from 0 on, after `warmup` others.
package struct SchedulePlace {
    package let step: Int
    package let steps: Int
    package let warmup: Int

    /// 0 at the end of the rise, 1 at the end of the run and after it.
    package var progress: Double { min(1, Double(step) / Double(max(1, steps))) }
}

extension ScheduleShape {
    /// `part` of the way from the floor to the full rate.
    func aboveFloor(_ part: Double) -> Double {
        let floor = option(NumberOption.floor.name)
        return floor == 0 ? part : floor + (1 - floor) * part
    }
}

extension NumberOption {
    /// What many schedules fall to.
    static let floor = NumberOption("floor", 0, in: 0...1, "the part of the rate that it falls to")
}

extension Registries {
    package static let schedules = Registry<any ScheduleShape>(
        "schedule",
        [
            ConstantRate(), LinearDecay(), CosineDecay(), WarmupStableDecay(), InverseSquareRootDecay(),
            PolynomialDecay(),
        ])
}
