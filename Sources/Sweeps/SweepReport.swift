// What a sweep found: results.csv and curves.csv for programs (SweepTables.swift), report.html (well-formed XML too, nothing beside
// it needed) and its figures as files for people.

import Checkpoints
import LoRAVK
import Reports

package struct SweepReport {
    package let results: [SweepResult]
    /// What holds for all runs.
    let settings: [(key: String, value: String)]
    let series: [Series]

    package init(_ results: [SweepResult], settings: [(key: String, value: String)]) {
        self.results = results
        self.settings = settings.map { ($0.key, Self.plain($0.value)) }
        var order: [SweepPoint.Series] = []
        var runs: [SweepPoint.Series: [SweepResult]] = [:]
        for result in results {
            if runs[result.point.series] == nil { order.append(result.point.series) }
            runs[result.point.series, default: []].append(result)
        }
        // What all series share need not be said of each.
        let varying = Set(
            order.first.map { first in
                order.flatMap { Set($0.settings).symmetricDifference(first.settings).map(\.name) }
            } ?? [])
        series = order.map { name in
            Series(
                name: name, label: name.label { varying.isEmpty || varying.contains($0) },
                runs: runs[name] ?? [])
        }
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

    // MARK: HTML

    private func html(_ figures: [SVGPlot]) -> String {
        var body = [HTMLPage.paragraph(about)] + figures.map(\.figure)
        body += [
            HTMLPage.heading("Best learning rates"), HTMLPage.paragraph(aboutBest),
            HTMLPage.table(
                [
                    "series", "lr", lossName + ", mean", "±\u{A0}(95\u{A0}%)", "deviation", "examples right",
                    "tokens right", "seeds",
                ],
                series.map(bestRow)),
        ]
        if let comparison { body += comparison }
        body += [
            HTMLPage.heading("Costs"),
            HTMLPage.table(
                ["series", "parameters", "MB of the device", "s a step", "runs", "diverged", "pruned"],
                series.map(costs)),
            HTMLPage.heading("All runs"),
            HTMLPage.table(
                ["series", "lr", "seed", lossName, "examples right", "tokens right", "state"],
                results.map(row)),
            HTMLPage.heading("Settings of all runs"),
            HTMLPage.table(["setting", "value"], settings.map { [$0.key, $0.value] }),
        ]
        return HTMLPage(title: title, body: body).text
    }

    private func setting(_ key: String) -> String? { settings.first { $0.key == key }?.value }

    /// A text without JSON's quotes, and nothing for null.
    private static func plain(_ json: String) -> String {
        switch try? JSON.parse(Array(json.utf8), path: "settings") {
        case .string(let text): text
        case .null: ""
        default: json
        }
    }

    private var title: String {
        func name(_ key: String) -> String? { setting(key).map(FileSystem.name) }
        return "Sweep" + (name("model").map { " of \($0)" } ?? "") + (name("data").map { " on \($0)" } ?? "")
    }

    private var about: String {
        let steps = results.filter { $0.state == "finished" }.map(\.curve.count)
        let range = Set([steps.min(), steps.max()].compactMap(\.self)).sorted().map { "\($0)" }
        return (setting("begun").map { "Begun on \($0). " } ?? "")
            + "\(results.count) runs"
            + (range.isEmpty ? "" : " of \(range.joined(separator: " to ")) steps")
            + " are done; \(results.count { $0.divergedAt != nil }) diverged and \(results.count { $0.prunedAt != nil }) were pruned. "
            + "Lines are means over seeds, and bands reach from the least to the greatest. Rings mark the best learning rate, crosses "
            + "rates at which a run diverged. Numbers appear where the pointer rests. z_A = A·x and z_B = B·A·x are measured on a batch "
            + "of the validation data, as the mean over layers of the root mean square of their norms."
    }

    private var aboutBest: String {
        "“Examples right” is the share of the validation's examples whose every target is the model's first choice, "
            + "“tokens right” that of the targets. ± is Student's 95 % interval of the mean over the seeds."
    }

    private func bestRow(_ series: Series) -> [String] {
        guard let best = series.best else { return [series.label] + [String](repeating: "", count: 7) }
        func mean(_ value: KeyPath<SweepResult, Double?>) -> String {
            let values = best.runs.compactMap { $0[keyPath: value] }
            return values.isEmpty ? "" : values.mean.text()
        }
        return [
            series.label, best.learningRate.text(digits: 6), best.mean.text(digits: 6),
            best.losses.halfInterval?.text(digits: 2) ?? "", best.losses.deviation.text(digits: 2),
            mean(\.exampleAccuracy), mean(\.tokenAccuracy), "\(best.losses.count)",
        ]
    }

    /// The series of the least mean loss against each other, seed by seed; nil where no two have two seeds in common.
    private var comparison: [String]? {
        guard let first = series.filter({ $0.best != nil }).min(by: { $0.leastMean < $1.leastMean }),
            let best = first.best
        else { return nil }
        let rows = series.filter { $0.name != first.name }.compactMap { other -> [String]? in
            guard let rate = other.best else { return nil }
            let losses = Dictionary(best.lossesBySeed) { $1 }
            let differences = rate.lossesBySeed.compactMap { seed, loss in losses[seed].map { loss - $0 } }
            guard let half = differences.halfInterval else { return nil }
            return [
                other.label, differences.mean.text(digits: 3), half.text(digits: 2),
                differences.pOfZeroMean?.text(digits: 2) ?? "", "\(differences.count)",
            ]
        }
        guard !rows.isEmpty else { return nil }
        return [
            HTMLPage.heading("Against \(first.label)"),
            HTMLPage.paragraph(
                "How much higher each loss is than that of the best series, each at its best learning rate, over the seeds that both "
                    + "have. p is that of the paired t-test; it is not corrected for the number of comparisons, nor for the choice of "
                    + "the learning rates by the same losses."),
            HTMLPage.table(["series", "difference, mean", "±\u{A0}(95\u{A0}%)", "p", "seeds"], rows),
        ]
    }

    private func costs(_ series: Series) -> [String] {
        [
            series.label, "\(series.runs[0].parameters)", (Double(series.runs[0].memory) / 1e6).text(),
            (series.best?.runs ?? series.runs).map(\.secondsPerStep).mean.text(digits: 3),
            "\(series.runs.count)", "\(series.runs.count { $0.divergedAt != nil })",
            "\(series.runs.count { $0.prunedAt != nil })",
        ]
    }

    private func row(_ result: SweepResult) -> [String] {
        [
            series.first { $0.name == result.point.series }?.label ?? "",
            result.point.learningRate.text(digits: 6), "\(result.point.seed)",
            result.lastLoss.map { $0.text(digits: 6) } ?? "",
            result.exampleAccuracy.map { $0.text() } ?? "", result.tokenAccuracy.map { $0.text() } ?? "",
            result.state + ((result.divergedAt ?? result.prunedAt).map { " at step \($0)" } ?? ""),
        ]
    }
}

extension SweepStore {
    /// Writes the report anew, one process at a time.
    @discardableResult
    package func publishReport() throws -> SweepReport {
        var report = SweepReport([], settings: [])
        try publish { results in
            report = SweepReport(results, settings: try settings())
            try report.write(to: folder)
        }
        return report
    }
}
