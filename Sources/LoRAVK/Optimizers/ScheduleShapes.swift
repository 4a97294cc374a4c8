// The schedules, as Hugging Face's of the same names have them behind the rise.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct ConstantRate: ScheduleShape {
    package let name = "constant"
    package let summary = "the full rate to the end"

    package init() {}

    package func factor(_ place: SchedulePlace) -> Double { 1 }
}

package struct LinearDecay: ScheduleShape {
    package let name = "linear"
    package let summary = "a fall along a line"
    package var options = [NumberOption.floor]

    package init() {}

    package func factor(_ place: SchedulePlace) -> Double { aboveFloor(1 - place.progress) }
}

package struct CosineDecay: ScheduleShape {
    package let name = "cosine"
    package let summary = "a fall along half a cosine; with cycles, from the top again and again"
    package var options = [
        .floor, NumberOption("cycles", 1, in: 1...1e6, "falls, each from the full rate"),
    ]

    package init() {}

    package func factor(_ place: SchedulePlace) -> Double {
        let turns = option("cycles") * place.progress
        let turn = place.progress < 1 ? turns - turns.rounded(.down) : 1
        return aboveFloor(0.5 * (1 + cos(.pi * turn)))
    }
}

/// Warm-up, stable, decay. Hu et al. 2024, MiniCPM.
package struct WarmupStableDecay: ScheduleShape {
    package let name = "wsd"
    package let summary = "the full rate, and a fall in the last part"
    package var options = [
        NumberOption("decay", 0.2, in: 0...1, "the part of all steps that it falls in"), .floor,
        NumberOption("cosine", 1, in: 0...1, "0: along a line"),
    ]

    package func factor(_ place: SchedulePlace) -> Double {
        let falling = min(
            place.steps, Int((option("decay") * Double(place.steps + place.warmup)).rounded()))
        let step = place.step - (place.steps - falling)
        guard step >= 0 else { return 1 }
        let progress = min(1, Double(step) / Double(max(1, falling)))
        return aboveFloor(option("cosine") == 0 ? 1 - progress : 0.5 * (1 + cos(.pi * progress)))
    }
}

package struct InverseSquareRootDecay: ScheduleShape {
    package let name = "inverse_sqrt"
    package let summary = "a fall as 1/√step"
    package var options = [
        NumberOption(
            "timescale", 0, in: 0...1e9,
            "steps of the scale that it falls at; 0: those of the warm-up, or 10000 without one")
    ]

    package func factor(_ place: SchedulePlace) -> Double {
        let own = option("timescale")
        let scale = own > 0 ? own : place.warmup > 0 ? Double(place.warmup) : 10_000
        return 1 / ((Double(place.step) + scale) / scale).squareRoot()
    }
}

package struct PolynomialDecay: ScheduleShape {
    package let name = "polynomial"
    package let summary = "a fall along a power of what is left"
    package var options = [NumberOption("power", 1, in: 0.01...100, "which power"), .floor]

    package func factor(_ place: SchedulePlace) -> Double {
        aboveFloor(pow(1 - place.progress, option("power")))
    }
}

extension ScheduleShape where Self == ConstantRate {
    package static var constant: ConstantRate { ConstantRate() }
}
extension ScheduleShape where Self == LinearDecay { package static var linear: LinearDecay { LinearDecay() } }
extension ScheduleShape where Self == CosineDecay { package static var cosine: CosineDecay { CosineDecay() } }
