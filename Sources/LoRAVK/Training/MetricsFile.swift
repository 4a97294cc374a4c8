// One JSON object a step, flushed at once: what was reached is on disk whatever happens.

import Checkpoints

final class MetricsFile {
    private let file: AppendingFile

    /// Begins the file anew.
    init(_ path: String) throws(FileError) { file = try AppendingFile(path) }

    /// Goes on behind what is there, if anything is.
    init(continuing path: String) throws(FileError) { file = try AppendingFile(path, continues: true) }

    /// Goes on behind the lines of the first `steps` steps; what a run wrote after them is dropped.
    init(_ path: String, after steps: Int) throws(FileError) {
        let lines = try FileSystem.contents(ofExisting: path)?.split(separator: UInt8(ascii: "\n")) ?? []
        let kept = lines.filter { line in Self.step(line).map { $0 <= steps } ?? false }
        try AtomicFile.write(kept.flatMap { $0 + [UInt8(ascii: "\n")] }, to: path)
        file = try AppendingFile(path, continues: true)
    }

    /// nil for a line that is none, such as one whose writing was cut.
    private static func step(_ line: ArraySlice<UInt8>) -> Int? {
        guard case .object(let object) = try? JSON.parse(Array(line), path: "metrics"),
            case .integer(let step) = object["step"]
        else { return nil }
        return step
    }

    func append(_ progress: RunProgress) throws(FileError) {
        var line = JSON.Object()
        line["step"] = .integer(progress.step)
        line["loss"] = .double(progress.report.loss)
        line["learning_rate"] = .double(progress.learningRate)
        line["grad_norm"] = .double(progress.report.gradientNorm)
        line["tokens"] = .integer(progress.report.tokens)
        line["seconds"] = .double(progress.report.seconds)
        line["tokens_per_second"] = .double(progress.tokensPerSecond)
        for (name, value) in progress.report.metrics.values { line[name] = .double(value) }
        if let loss = progress.validationLoss { line["validation_loss"] = .double(loss) }
        for (name, value) in progress.validation?.metrics.values ?? [] {
            line["validation_\(name)"] = .double(value)
        }
        if let features = progress.features {
            (line["z_a"], line["z_b"]) = (.double(features.zA), .double(features.zB))
        }
        if !progress.samples.isEmpty {
            line["samples"] = .array(
                progress.samples.map { sample in
                    .object(["prompt": .string(sample.prompt), "text": .string(sample.answer)])
                })
        }
        try file.append(JSON.object(line).text(.compact) + "\n")
    }
}
