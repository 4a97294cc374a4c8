// The figures of a sweep's report: a line a series, through the means over seeds.

import Reports

extension SweepReport {
    struct Series {
        let name: SweepPoint.Series
        /// What tells it from the others.
        let label: String
        let runs: [SweepResult]
        let rates: [Rate]

        /// The runs of one learning rate.
        struct Rate {
            let learningRate: Double
            let runs: [SweepResult]
            var losses: [Double] { runs.compactMap(\.loss) }
            var diverged: Int { runs.count { $0.divergedAt != nil } }
            var isPruned: Bool { runs.contains { $0.prunedAt != nil } }
            var mean: Double { losses.mean }

            var lossesBySeed: [(seed: UInt64, loss: Double)] {
                runs.compactMap { run in run.loss.map { (run.point.seed, $0) } }
            }
        }

        init(name: SweepPoint.Series, label: String, runs: [SweepResult]) {
            (self.name, self.label, self.runs) = (name, label, runs)
            rates = Dictionary(grouping: runs, by: \.point.learningRate)
                .map { Rate(learningRate: $0.key, runs: $0.value) }
                .sorted { $0.learningRate < $1.learningRate }
        }

        /// Of the rates at which all seeds came to their end.
        var best: Rate? {
            rates.filter { $0.diverged == 0 && !$0.isPruned && !$0.losses.isEmpty }.min { $0.mean < $1.mean }
        }

        var leastMean: Double { best?.mean ?? .infinity }
    }

    /// By the names of their files. What was not looked at more than once a run has no curve.
    var figures: [(name: String, plot: SVGPlot)] {
        var figures = [(name: "loss", plot: lossPlot)]
        for (name, what, part) in [
            ("examples-right", "Examples right", \SweepResult.exampleAccuracy),
            ("tokens-right", "Tokens right", \SweepResult.tokenAccuracy),
        ] where results.contains(where: { $0.state == "finished" && $0[keyPath: part] != nil }) {
            var plot = ratePlot("\(what) against learning rate", "share of the \(what.lowercased())", part)
            plot.bounds = 0...1
            figures.append((name, plot))
        }
        for (name, what, yName, part) in [
            ("training", "Training", "training loss", \Step.trainingLoss),
            ("validation", "Validation", "validation loss", \Step.validationLoss),
            ("features-a", "‖A·x‖", "‖z_A‖", \Step.zA),
            ("features-b", "‖B·A·x‖", "‖z_B‖", \Step.zB),
        ] {
            let plot = curvePlot("\(what) at each one's best learning rate", yName, part)
            if name == "training" || plot.lines.contains(where: { $0.points.count > 1 }) {
                figures.append((name, plot))
            }
        }
        return figures
    }

    private typealias Step = SweepResult.Step

    var lossName: String {
        results.contains { $0.validationLoss != nil }
            ? "validation loss" : "training loss, last tenth of the steps"
    }

    private var lossPlot: SVGPlot {
        // Runs that got much worse than where they started say only that; they must not flatten the others.
        let start = results.compactMap { $0.curve.first?.loss }.max() ?? .infinity
        return ratePlot("Loss against learning rate", lossName, \.loss, mostY: 1.25 * start)
    }

    /// A value of the runs, with rings at the rate of the least loss.
    private func ratePlot(
        _ title: String, _ yName: String, _ value: KeyPath<SweepResult, Double?>, mostY: Double = .infinity
    ) -> SVGPlot {
        SVGPlot(
            title: title, xName: "learning rate", yName: yName, isLogarithmic: true, mostY: mostY,
            lines: series.compactMap { series in
                let drawn = series.rates.map { rate in
                    let runs = rate.runs.filter { $0.prunedAt == nil }
                    return (rate.learningRate, runs.compactMap { $0[keyPath: value] })
                }.filter { !$0.1.isEmpty }
                let line = SVGPlot.Line(
                    name: series.label, points: drawn.map { SVGPlot.Point(x: $0.0, of: $0.1) },
                    missing: series.rates.filter { $0.diverged > 0 }.map(\.learningRate),
                    best: drawn.firstIndex { $0.0 == series.best?.learningRate })
                return line.points.isEmpty && line.missing.isEmpty ? nil : line
            })
    }

    /// A part of the steps, where every seed has it.
    private func curvePlot(_ title: String, _ yName: String, _ part: KeyPath<Step, Double?>) -> SVGPlot {
        SVGPlot(
            title: title, xName: "step", yName: yName, isLogarithmic: false,
            lines: series.compactMap { series in
                guard let best = series.best, let steps = best.runs.map(\.curve.count).min() else {
                    return nil
                }
                let points = (0..<steps).compactMap { index -> SVGPlot.Point? in
                    let values = best.runs.compactMap { $0.curve[index][keyPath: part] }
                    guard values.count == best.runs.count else { return nil }
                    return SVGPlot.Point(x: Double(best.runs[0].curve[index].step), of: values)
                }
                guard !points.isEmpty else { return nil }
                return SVGPlot.Line(
                    name: "\(series.label), lr \(best.learningRate.text())", points: points,
                    hasDots: points.count < 2)
            })
    }
}

extension SweepResult.Step {
    fileprivate var trainingLoss: Double? { loss }
}
