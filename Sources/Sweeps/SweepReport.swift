// What a sweep found: results.csv and curves.csv for programs, report.html (well-formed XML too, nothing beside it needed)
// for people.

import Checkpoints
import LoRAVK

package struct SweepReport {
    private let results: [SweepResult]
    private let settings: [(key: String, value: String)]
    private let series: [Series]

    package init(_ results: [SweepResult], settings: [(key: String, value: String)]) {
        (self.results, self.settings) = (results, settings)
        var order: [SweepPoint.Series] = []
        var runs: [SweepPoint.Series: [SweepResult]] = [:]
        for result in results {
            if runs[result.point.series] == nil { order.append(result.point.series) }
            runs[result.point.series, default: []].append(result)
        }
        series = order.map { Series(name: $0, runs: runs[$0] ?? []) }
    }

    /// Writes the three files, each whole or not at all.
    package func write(to folder: String) throws(FileError) {
        try AtomicFile.write(resultsCSV, to: "\(folder)/results.csv")
        try AtomicFile.write(curvesCSV, to: "\(folder)/curves.csv")
        try AtomicFile.write(html, to: "\(folder)/report.html")
    }

    /// The best rate of each series, in the order of the grid.
    package var best: [(series: SweepPoint.Series, learningRate: Double, loss: Double)] {
        series.compactMap { series in series.best.map { (series.name, $0.learningRate, $0.mean) } }
    }

    // MARK: CSV

    private var resultsCSV: String {
        let names =
            "method,init,rank,lr,seed,state,diverged_at,train_loss,validation_loss,accuracy,parameters,seconds_per_step"
        return lines(
            names,
            results.map { result in
                result.point.csv + [
                    result.divergedAt == nil ? "finished" : "diverged",
                    result.divergedAt.map { "\($0)" } ?? "",
                    result.trainLoss.csv, result.validationLoss.csv, result.accuracy.csv,
                    "\(result.parameters)",
                    "\(result.secondsPerStep)",
                ]
            })
    }

    private var curvesCSV: String {
        lines(
            "method,init,rank,lr,seed,step,loss,step_lr,grad_norm",
            results.flatMap { result in
                result.curve.map { step in
                    result.point.csv + [
                        "\(step.step)", "\(step.loss)", "\(step.learningRate)", "\(step.gradientNorm)",
                    ]
                }
            })
    }

    private func lines(_ head: String, _ rows: [[String]]) -> String {
        ([head] + rows.map { $0.map(\.csvField).joined(separator: ",") }).joined(separator: "\r\n") + "\r\n"
    }

    // MARK: Figures

    private struct Series {
        let name: SweepPoint.Series
        let runs: [SweepResult]
        let rates: [Rate]

        /// The runs of one learning rate.
        struct Rate {
            let learningRate: Double
            let runs: [SweepResult]
            var losses: [Double] { runs.compactMap(\.loss) }
            var diverged: Int { runs.count { $0.divergedAt != nil } }
            var mean: Double { losses.mean }
        }

        init(name: SweepPoint.Series, runs: [SweepResult]) {
            (self.name, self.runs) = (name, runs)
            rates = Dictionary(grouping: runs, by: \.point.learningRate)
                .map { Rate(learningRate: $0.key, runs: $0.value) }
                .sorted { $0.learningRate < $1.learningRate }
        }

        /// Of the rates at which no seed diverged.
        var best: Rate? {
            rates.filter { $0.diverged == 0 && !$0.losses.isEmpty }.min { $0.mean < $1.mean }
        }
    }

    private var lossName: String {
        results.contains { $0.validationLoss != nil }
            ? "validation loss" : "training loss, last tenth of the steps"
    }

    private var lossPlot: SVGPlot {
        // Runs that got much worse than where they started say only that; they must not flatten the others.
        let start = results.compactMap { $0.curve.first?.loss }.max() ?? .infinity
        return SVGPlot(
            title: "Loss against learning rate", xName: "learning rate", yName: lossName, isLogarithmic: true,
            mostY: 1.25 * start,
            lines: series.map { series in
                let drawn = series.rates.filter { !$0.losses.isEmpty }
                return SVGPlot.Line(
                    name: "\(series.name)",
                    points: drawn.map { rate in
                        SVGPlot.Point(
                            x: rate.learningRate, y: rate.mean, low: rate.losses.min() ?? 0,
                            high: rate.losses.max() ?? 0)
                    },
                    missing: series.rates.filter { $0.diverged > 0 }.map(\.learningRate),
                    best: drawn.firstIndex { $0.learningRate == series.best?.learningRate })
            })
    }

    private var curvePlot: SVGPlot {
        SVGPlot(
            title: "Training at each one's best learning rate", xName: "step", yName: "training loss",
            isLogarithmic: false,
            lines: series.compactMap { series in
                guard let best = series.best, let steps = best.runs.map(\.curve.count).min() else {
                    return nil
                }
                let points = (0..<steps).map { step in
                    let losses = best.runs.map { $0.curve[step].loss }
                    return SVGPlot.Point(
                        x: Double(step + 1), y: losses.mean, low: losses.min() ?? 0, high: losses.max() ?? 0)
                }
                return SVGPlot.Line(
                    name: "\(series.name), lr \(best.learningRate.text())", points: points, hasDots: steps < 2
                )
            })
    }

    // MARK: HTML

    private var html: String {
        """
        <!DOCTYPE html>
        <html xmlns="http://www.w3.org/1999/xhtml" lang="en">
        <head><meta charset="utf-8"/><title>Sweep</title><style>
        body { font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
        table { border-collapse: collapse; margin: 1em 0 } td, th { padding: 0.2em 0.7em; border-bottom: 1px solid #ddd; text-align: right }
        td:first-child, th:first-child { text-align: left } svg { width: 100%; height: auto }
        </style></head>
        <body>
        <h1>Sweep</h1>
        <p>\(results.count) runs are done, \(results.count { $0.divergedAt != nil }) of them diverged. Lines are means over seeds, bands reach
        from the least to the greatest; rings mark the best learning rate, crosses rates at which a run diverged.</p>
        \(lossPlot.svg)
        \(curvePlot.svg)
        <h2>Best learning rates</h2>
        \(table(
            ["series", "best lr", lossName + ", mean", "deviation", "accuracy", "seeds", "diverged", "parameters", "s a step"],
            series.map(bestRow)))
        <h2>All runs</h2>
        \(table(
            ["series", "lr", "seed", lossName, "accuracy", "state"],
            results.map { result in
                [
                    "\(result.point.series)", result.point.learningRate.text(digits: 6), "\(result.point.seed)",
                    result.loss.map { $0.text(digits: 6) } ?? "", result.accuracy.map { $0.text() } ?? "",
                    result.divergedAt.map { "diverged at step \($0)" } ?? "finished",
                ]
            }))
        <h2>Settings</h2>
        \(table(["setting", "value"], settings.map { [$0.key, $0.value] }))
        </body>
        </html>

        """
    }

    private func bestRow(_ series: Series) -> [String] {
        let diverged = "\(series.rates.reduce(0) { $0 + $1.diverged }) of \(series.runs.count)"
        guard let best = series.best else {
            return ["\(series.name)", "", "", "", "", "", diverged, "\(series.runs[0].parameters)", ""]
        }
        let accuracies = best.runs.compactMap(\.accuracy)
        return [
            "\(series.name)", best.learningRate.text(digits: 6), best.mean.text(digits: 6),
            best.losses.deviation.text(digits: 2), accuracies.isEmpty ? "" : accuracies.mean.text(),
            "\(best.runs.count)", diverged, "\(series.runs[0].parameters)",
            best.runs.map(\.secondsPerStep).mean.text(digits: 3),
        ]
    }

    private func table(_ head: [String], _ rows: [[String]]) -> String {
        func row(_ cells: [String], _ kind: String) -> String {
            "<tr>" + cells.map { "<\(kind)>\($0.escaped)</\(kind)>" }.joined() + "</tr>"
        }
        return (["<table>", row(head, "th")] + rows.map { row($0, "td") } + ["</table>"]).joined(
            separator: "\n")
    }
}

extension SweepPoint {
    fileprivate var csv: [String] { [method, initialization, "\(rank)", "\(learningRate)", "\(seed)"] }
}

extension Double? {
    fileprivate var csv: String { map { "\($0)" } ?? "" }
}

extension String {
    /// Quoted where it must be (RFC 4180).
    fileprivate var csvField: String {
        contains { ",\"\r\n".contains($0) } ? "\"\(replacing("\"", with: "\"\""))\"" : self
    }
}
