// Learning rates over a run: the values of the three shapes, the rise, the ends.

import LoRAVK
import Testing

@Suite struct ScheduleTests {
    private func rates(_ shape: some ScheduleShape, warmup: Int = 0, steps: Int = 8) -> [Double] {
        let schedule = Schedule(shape, learningRate: 2, warmupSteps: warmup, steps: steps)
        return (0..<steps).map(schedule.rate)
    }

    private func expectClose(_ got: [Double], _ want: [Double]) {
        #expect(got.count == want.count)
        for (a, b) in zip(got, want) { #expect(abs(a - b) < 1e-12, "\(got), not \(want)") }
    }

    @Test func constantStaysConstant() { expectClose(rates(.constant), .init(repeating: 2, count: 8)) }

    @Test func linearFallsInEqualParts() {
        expectClose(rates(.linear), [2, 1.75, 1.5, 1.25, 1, 0.75, 0.5, 0.25])
    }

    @Test func cosineIsHalfWayDownInTheMiddle() {
        let rates = rates(.cosine)
        #expect(rates[0] == 2)
        #expect(abs(rates[4] - 1) < 1e-12)
        expectClose([rates[2]], [1 + 0.5.squareRoot()])  // 1 + cos(π/4)
        #expect(zip(rates, rates.dropFirst()).allSatisfy { $0 > $1 })
    }

    @Test func theRiseReachesTheFullRate() {
        for shape in Registries.schedules.all {
            let rates = rates(shape, warmup: 4)
            expectClose(Array(rates.prefix(4)), [0.5, 1, 1.5, 2])
            #expect(rates[4] == 2, "\(shape)")
        }
        expectClose(Array(rates(.linear, warmup: 4).suffix(4)), [2, 1.5, 1, 0.5])
    }

    @Test func beyondTheEndNothingIsNegative() throws {
        for shape in try ["linear", "cosine", "wsd", "polynomial", "cosine:cycles=3"].map(
            Registries.schedules.named)
        {
            let schedule = Schedule(shape, learningRate: 2, warmupSteps: 1, steps: 5)
            #expect(abs(schedule.rate(5)) < 1e-12 && schedule.rate(50) >= 0 && schedule.rate(50) < 1e-12)
        }
        let onlyRise = Schedule(.linear, learningRate: 2, warmupSteps: 5, steps: 5)
        expectClose([onlyRise.rate(4), onlyRise.rate(5)], [2, 2])
    }

    @Test func badRatesAreRefused() {
        for rate in [0, -1, .nan, .infinity, 1e300] {
            #expect(throws: ConfigError.self) {
                try Schedule(.cosine, learningRate: rate, steps: 1).validate()
            }
        }
        let error = #expect(throws: ConfigError.self) {
            try Schedule(.cosine, learningRate: 1, warmupSteps: -3, steps: 1).validate()
        }
        #expect(error?.description.contains("-3 warm-up steps") == true)
        #expect(throws: Never.self) { try Schedule(.cosine, learningRate: 1e-4, steps: 1).validate() }
    }
}
