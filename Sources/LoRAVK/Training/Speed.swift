// Speed over the last steps, and what is left by it. A step with a shape that was not there before compiles kernels and records its
// pass, which later steps do not: it tells nothing of them.

struct Speed {
    private var all = Mean()
    private var replayed = Mean()

    private struct Mean {
        var seconds = 0.0
        var tokens = 0.0
        var steps = 0.0

        mutating func note(_ report: StepReport) {
            let memory = 0.9
            seconds = seconds * memory + report.seconds
            tokens = tokens * memory + Double(report.tokens)
            steps = steps * memory + 1
        }
    }

    var tokensPerSecond: Double {
        let mean = replayed.steps > 0 ? replayed : all
        return mean.seconds > 0 ? mean.tokens / mean.seconds : 0
    }

    /// nil until a step tells it.
    func secondsLeft(steps: Int) -> Double? {
        if steps == 0 { return 0 }
        // Where every batch has a shape of its own, all of them record.
        let mean = replayed.steps > 0 || all.steps < Self.few ? replayed : all
        return mean.steps > 0 ? mean.seconds / mean.steps * Double(steps) : nil
    }

    private static let few = 4.0

    mutating func note(_ report: StepReport) {
        all.note(report)
        if !report.isRecorded { replayed.note(report) }
    }
}
