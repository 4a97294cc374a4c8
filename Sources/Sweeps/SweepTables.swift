// results.csv and curves.csv: a column a setting, those that all runs share behind the results.

import LoRAVK

extension SweepReport {
    var resultsCSV: String {
        let names = [
            "state", "diverged_at", "train_loss", "validation_loss", "token_accuracy", "example_accuracy",
            "parameters", "memory_bytes", "seconds_per_step", "pruned_at",
        ]
        let shared = settings.filter { !pointNames.contains($0.key) && $0.key != SweepStore.begunKey }
        return lines(
            pointNames + names + shared.map(\.key),
            results.map { result in
                row(result.point) + [
                    result.state, result.divergedAt.csv, result.trainLoss.csv, result.validationLoss.csv,
                    result.tokenAccuracy.csv, result.exampleAccuracy.csv, "\(result.parameters)",
                    "\(result.memory)", "\(result.secondsPerStep)", result.prunedAt.csv,
                ] + shared.map(\.value)
            })
    }

    var curvesCSV: String {
        lines(
            pointNames + ["step", "loss", "step_lr", "grad_norm", "validation_loss", "z_a", "z_b"],
            results.flatMap { result in
                result.curve.map { step in
                    row(result.point) + [
                        "\(step.step)", "\(step.loss)", "\(step.learningRate)", "\(step.gradientNorm)",
                        step.validationLoss.csv, step.zA.csv, step.zB.csv,
                    ]
                }
            })
    }

    /// method, init, rank, lr and seed, then what else varies, in the order in which it appears.
    private var pointNames: [String] {
        var names = ["method", "init", "rank", "lr", "seed"]
        for series in series {
            for other in series.name.others where !names.contains(other.name) { names.append(other.name) }
        }
        return names
    }

    private func row(_ point: SweepPoint) -> [String] {
        let values = Dictionary(point.settings.map { ($0.name, $0.value) }) { $1 }
        return pointNames.map { values[$0] ?? "" }
    }

    private func lines(_ head: [String], _ rows: [[String]]) -> String {
        ([head] + rows).map { $0.map(\.csvField).joined(separator: ",") }.joined(separator: "\r\n") + "\r\n"
    }
}

extension Optional where Wrapped: CustomStringConvertible {
    fileprivate var csv: String { map(\.description) ?? "" }
}

extension String {
    /// Quoted where it must be (RFC 4180), and behind an apostrophe where a spreadsheet would compute it.
    fileprivate var csvField: String {
        let text = first.map { "=+-@".contains($0) } == true && Double(self) == nil ? "'\(self)" : self
        return text.contains { ",\"\r\n".contains($0) } ? "\"\(text.replacing("\"", with: "\"\""))\"" : text
    }
}
