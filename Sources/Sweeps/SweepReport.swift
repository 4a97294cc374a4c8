// What a sweep found: results.csv and curves.csv for programs, report.html (well-formed XML too, nothing beside it needed) and
// its figures as files for people.

import Checkpoints
import LoRAVK
import Reports

package struct SweepReport {
    let results: [SweepResult]
    private let settings: [(key: String, value: String)]
    let series: [Series]

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

    /// Writes the files, each whole or not at all.
    package func write(to folder: String) throws(FileError) {
        try AtomicFile.write(resultsCSV, to: "\(folder)/results.csv")
        try AtomicFile.write(curvesCSV, to: "\(folder)/curves.csv")
        let figures = figures
        for (name, plot) in figures { try AtomicFile.write(plot.svg + "\n", to: "\(folder)/\(name).svg") }
        try AtomicFile.write(html(figures.map { $0.plot }), to: "\(folder)/report.html")
    }

    /// The best rate of each series, in the order of the grid.
    package var best: [(series: SweepPoint.Series, learningRate: Double, loss: Double)] {
        series.compactMap { series in series.best.map { (series.name, $0.learningRate, $0.mean) } }
    }

    // MARK: CSV

    private var resultsCSV: String {
        let names =
            "method,init,rank,lr,seed,state,diverged_at,train_loss,validation_loss,accuracy,example_accuracy,"
            + "parameters,memory_bytes,seconds_per_step"
        return lines(
            names,
            results.map { result in
                result.point.csv + [
                    result.divergedAt == nil ? "finished" : "diverged",
                    result.divergedAt.map { "\($0)" } ?? "",
                    result.trainLoss.csv, result.validationLoss.csv, result.accuracy.csv,
                    result.exampleAccuracy.csv,
                    "\(result.parameters)", "\(result.memory)", "\(result.secondsPerStep)",
                ]
            })
    }

    private var curvesCSV: String {
        lines(
            "method,init,rank,lr,seed,step,loss,step_lr,grad_norm,validation_loss,z_a,z_b",
            results.flatMap { result in
                result.curve.map { step in
                    result.point.csv + [
                        "\(step.step)", "\(step.loss)", "\(step.learningRate)", "\(step.gradientNorm)",
                        step.validationLoss.csv, step.zA.csv, step.zB.csv,
                    ]
                }
            })
    }

    private func lines(_ head: String, _ rows: [[String]]) -> String {
        ([head] + rows.map { $0.map(\.csvField).joined(separator: ",") }).joined(separator: "\r\n") + "\r\n"
    }

    // MARK: HTML

    private func html(_ figures: [SVGPlot]) -> String {
        let about = """
            \(results.count) runs are done, \(results.count { $0.divergedAt != nil }) of them diverged. Lines are means over seeds, bands reach \
            from the least to the greatest; rings mark the best learning rate, crosses rates at which a run diverged. Accuracy is the share of \
            the validation's examples whose every target is the model's first choice; z_A = A·x and z_B = B·A·x are measured on a batch of them, \
            as the mean over layers of the root mean square of their norms.
            """
        let best = HTMLPage.table(
            [
                "series", "best lr", lossName + ", mean", "deviation", "accuracy", "deviation", "seeds",
                "diverged",
                "parameters", "MB of the device", "s a step",
            ],
            series.map(bestRow))
        let all = HTMLPage.table(
            ["series", "lr", "seed", lossName, "accuracy", "of tokens", "state"],
            results.map { result in
                [
                    "\(result.point.series)", result.point.learningRate.text(digits: 6),
                    "\(result.point.seed)",
                    result.loss.map { $0.text(digits: 6) } ?? "",
                    result.exampleAccuracy.map { $0.text() } ?? "",
                    result.accuracy.map { $0.text() } ?? "",
                    result.divergedAt.map { "diverged at step \($0)" } ?? "finished",
                ]
            })
        let settings = HTMLPage.table(["setting", "value"], settings.map { [$0.key, $0.value] })
        return HTMLPage(
            title: "Sweep",
            body: [HTMLPage.paragraph(about)] + figures.map(\.svg) + [
                HTMLPage.heading("Best learning rates"), best, HTMLPage.heading("All runs"), all,
                HTMLPage.heading("Settings"), settings,
            ]
        ).text
    }

    private func bestRow(_ series: Series) -> [String] {
        let diverged = "\(series.rates.reduce(0) { $0 + $1.diverged }) of \(series.runs.count)"
        let costs = [
            "\(series.runs[0].parameters)", (Double(series.runs[0].memory) / 1e6).text(),
            (series.best?.runs ?? series.runs).map(\.secondsPerStep).mean.text(digits: 3),
        ]
        guard let best = series.best else {
            return ["\(series.name)", "", "", "", "", "", "", diverged] + costs
        }
        let accuracies = best.runs.compactMap(\.exampleAccuracy)
        return [
            "\(series.name)", best.learningRate.text(digits: 6), best.mean.text(digits: 6),
            best.losses.deviation.text(digits: 2), accuracies.isEmpty ? "" : accuracies.mean.text(),
            accuracies.isEmpty ? "" : accuracies.deviation.text(digits: 2),
            "\(best.runs.count)", diverged,
        ] + costs
    }
}

extension SweepPoint {
    fileprivate var csv: [String] { [method, initialization, "\(rank)", "\(learningRate)", "\(seed)"] }
}

extension Double? {
    fileprivate var csv: String { map { "\($0)" } ?? "" }
}

extension String {
    /// Quoted where it must be (RFC 4180), and behind an apostrophe where a spreadsheet would compute it.
    fileprivate var csvField: String {
        let text = first.map { "=+-@".contains($0) } == true && Double(self) == nil ? "'\(self)" : self
        return text.contains { ",\"\r\n".contains($0) } ? "\"\(text.replacing("\"", with: "\"\""))\"" : text
    }
}
