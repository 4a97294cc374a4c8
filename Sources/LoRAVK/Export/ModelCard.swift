// README.md of a merged model: what it is, how to run it, how the adapter was trained, what the merge kept, and the base's licence.

import Checkpoints

struct ModelCard {
    private let adapter: AdapterFiles
    private let model: Checkpoint
    private let report: MergeReport
    private let file: String

    init(_ adapter: AdapterFiles, _ model: Checkpoint, _ report: MergeReport, file: String) {
        (self.adapter, self.model, self.report, self.file) = (adapter, model, report, file)
    }

    var text: String {
        get throws(FileError) {
            let base = FileSystem.name(of: FileSystem.resolved(model.path) ?? model.path)
            let licence = try licence
            let head =
                ["---"] + (licence.map { ["license: \($0)"] } ?? [])
                + ["base_model: \(base)", "tags:", "- lora", "- lora-vk", "---"]
            let name = String(file.dropLast(".gguf".count))
            return """
                \(head.joined(separator: "\n"))

                # \(name)

                \(base), finetuned with LoRA and merged by LoRA-VK.

                - `\(file)`: the merged model, with tokenizer and chat template
                - `adapter/`: the adapter alone, a PEFT folder
                - `Modelfile`: for Ollama

                ```
                llama-cli -m \(file)
                ollama create \(name.lowercased()) -f Modelfile && ollama run \(name.lowercased())
                ```

                ## Training

                \(try training.map { "- \($0)" }.joined(separator: "\n"))

                ## Merge

                \(merge.map { "- \($0)" }.joined(separator: "\n"))

                ## Licence

                \(licence.map { "The base model's: \($0)." } ?? "That of the base model, which its files do not name.")

                """
        }
    }

    private var training: [String] {
        get throws(FileError) {
            let config = adapter.config
            var lines = [
                "method: \(config.usesDoRA ? "DoRA" : config.kind.rawValue), rank \(config.rank), alpha \(config.alpha.short), "
                    + "dropout \(config.dropout.short)",
                "adapted: \(Set(adapter.modules.map { $0.name.split(separator: ".").last ?? "" }).sorted().joined(separator: ", "))"
                    + " (\(adapter.modules.count) layers)",
            ]
            let metrics = try metrics
            guard let last = metrics.last, let first = metrics.first else {
                return lines + ["losses: not kept with the adapter"]
            }
            let tokens = metrics.reduce(0) { $0 + ($1.number("tokens") ?? 0) }
            lines.append("steps: \(metrics.count), tokens: \(tokens.short)")
            if let rate = metrics.compactMap({ $0.number("learning_rate") }).max() {
                lines.append("largest learning rate: \(rate.short)")
            }
            if let before = first.number("loss"), let after = last.number("loss") {
                lines.append("training loss: \(before.short) in the first step, \(after.short) in the last")
            }
            let looks = metrics.compactMap { $0.number("validation_loss") }
            if let after = looks.last, let best = looks.min() {
                lines.append("validation loss: \(after.short) at the end, \(best.short) at best")
            }
            return lines
        }
    }

    private var merge: [String] {
        report.byType.map { type, modules, loss in
            "\(modules) layers as \(type.name): \((100 * loss.kept).short) % of the update kept, rounding error "
                + "\((100 * loss.relativeError).short) % of it"
        }
    }

    private var metrics: [JSON.Object] {
        get throws(FileError) {
            let lines = try FileSystem.contents(ofExisting: "\(adapter.folder)/metrics.jsonl")
            return (lines ?? []).split(separator: UInt8(ascii: "\n")).compactMap { line in
                if case .object(let object) = try? JSON.parse(Array(line), path: "metrics.jsonl") {
                    object
                } else {
                    nil
                }
            }
        }
    }

    /// `general.license`, or what the card of a folder has at its head; nil where neither is there.
    private var licence: String? {
        get throws(FileError) {
            if let metadata = model.metadata {
                return try metadata.optionalString("general.license")?.firstLine
            }
            guard let card = try FileSystem.contents(ofExisting: "\(model.path)/README.md", limit: 1 << 22)
            else {
                return nil
            }
            let head = String(decoding: card, as: UTF8.self).split(separator: "\n").prefix(60)
            return head.first { $0.hasPrefix("license:") }.map {
                String($0.dropFirst("license:".count)).firstLine
            }
        }
    }
}

extension String {
    /// Of what a file says, so that it stays in its line.
    fileprivate var firstLine: String {
        String(split(separator: "\n").first ?? "").printable(keeping: "").split(separator: " ").joined(
            separator: " ")
    }
}

extension Double {
    /// Four digits of it.
    fileprivate var short: String {
        guard isFinite, self != 0 else { return "0" }
        if self == rounded(), magnitude < 1e15 { return String(Int(self)) }
        var unit = 1.0
        while magnitude / unit >= 10_000 { unit *= 10 }
        while magnitude / unit < 1000 { unit /= 10 }
        let value = (self / unit).rounded() * unit
        return "\(Float(value))"
    }
}

extension JSON.Object {
    fileprivate func number(_ key: String) -> Double? {
        switch self[key] {
        case .double(let number): number
        case .integer(let number): Double(number)
        default: nil
        }
    }
}
