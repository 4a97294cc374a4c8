// What one or several runs did, as a page: a table of the runs, and a curve of each of their numbers, the runs over one another.

import Checkpoints

package struct RunReport {
    let runs: [RunLog]
    /// Runs are still being written: the page loads itself again.
    let isLive: Bool

    package init(_ runs: [RunLog], isLive: Bool = false) { (self.runs, self.isLive) = (runs, isLive) }

    /// The curves that a run of any kind has, in their order. Others follow by their own names.
    private static let titles = [
        ("loss", "Training loss"), ("validation_loss", "Validation loss"), ("learning_rate", "Learning rate"),
        ("grad_norm", "Norm of the gradient"), ("tokens_per_second", "Tokens a second"),
    ]
    /// What the table tells, or the other numbers say.
    private static let withoutCurve: Set<String> = ["tokens", "seconds"]
    /// As many points as a page is wide: of a longer run a point is the mean of some steps.
    private static let mostPoints = 400

    package var html: String {
        var body = [
            HTMLPage.table(
                [
                    "run", "steps", "training loss", "best validation loss", "at step", "tokens", "tokens/s",
                    "time",
                ],
                zip(names, runs).map(row))
        ]
        if runs.allSatisfy(\.lines.isEmpty) { body.append(HTMLPage.paragraph("No step is done yet.")) }
        let grouped = runs.map { $0.curve("loss").count }.max() ?? 0 > Self.mostPoints
        if grouped {
            body.append(
                HTMLPage.paragraph(
                    "Lines are means of neighbouring steps; bands reach from the least to the greatest."))
        }
        body += plots.map(\.figure)
        let samples = zip(names, runs).flatMap(samples)
        if !samples.isEmpty { body += [HTMLPage.heading("Samples")] + samples }
        for (name, run) in zip(names, runs) where !run.settings.isEmpty {
            body.append(HTMLPage.heading(name))
            body.append(HTMLPage.table(["setting", "value"], run.settings.map { [$0.key, $0.value] }))
        }
        return HTMLPage(
            title: runs.count == 1 ? "Run \(names[0])" : "\(runs.count) runs", refresh: isLive ? 5 : nil,
            body: body
        ).text
    }

    /// The folders' names, or their paths where two have the same.
    private var names: [String] {
        Set(runs.map(\.name)).count == runs.count ? runs.map(\.name) : runs.map(\.folder)
    }

    private var plots: [SVGPlot] {
        var keys = Self.titles.map(\.0)
        for run in runs {
            for key in run.keys where !keys.contains(key) && !Self.withoutCurve.contains(key) {
                keys.append(key)
            }
        }
        return keys.compactMap { key in
            let lines = zip(names, runs).compactMap { name, run -> SVGPlot.Line? in
                let curve = run.curve(key)
                guard !curve.isEmpty else { return nil }
                let points = Self.points(curve)
                return SVGPlot.Line(name: name, points: points, hasDots: points.count < 60)
            }
            guard !lines.isEmpty else { return nil }
            let title = Self.titles.first { $0.0 == key }?.1 ?? key
            return SVGPlot(
                title: title, xName: "step", yName: title.lowercased(), isLogarithmic: false, lines: lines)
        }
    }

    private static func points(_ curve: [(step: Int, value: Double)]) -> [SVGPlot.Point] {
        let size = (curve.count + mostPoints - 1) / mostPoints
        return stride(from: 0, to: curve.count, by: size).map { start in
            let part = curve[start..<min(start + size, curve.count)]
            return SVGPlot.Point(x: part.map { Double($0.step) }.mean, of: part.map(\.value))
        }
    }

    private func row(_ name: String, _ run: RunLog) -> [String] {
        let losses = run.curve("loss").map(\.value)
        let best = run.curve("validation_loss").min { $0.value < $1.value }
        let (tokens, seconds) = (total("tokens", run), total("seconds", run))
        return [
            name, "\(run.lines.last?.step ?? 0)",
            losses.isEmpty ? "" : losses.suffix(max(1, losses.count / 10)).map(\.self).mean.text(),
            best?.value.text() ?? "", best.map { "\($0.step)" } ?? "", "\(Int(tokens))",
            seconds > 0 ? Self.rate(tokens / seconds) : "", "\(Int(seconds.rounded())) s",
        ]
    }

    private static func rate(_ value: Double) -> String {
        value < 100 ? value.text(digits: 3) : "\(Int(value.rounded()))"
    }

    private func total(_ key: String, _ run: RunLog) -> Double {
        run.curve(key).reduce(0) { $0 + $1.value.clamped(to: 0...1e15) }.clamped(to: 0...1e15)
    }

    /// What the model answered at the last step that asked it.
    private func samples(_ name: String, _ run: RunLog) -> [String] {
        guard let last = run.lines.last(where: { !$0.samples.isEmpty }) else { return [] }
        return last.samples.flatMap {
            [HTMLPage.paragraph("\(name), step \(last.step): \($0.prompt)"), "<pre>\($0.text.escaped)</pre>"]
        }
    }
}
