import ArgumentParser
import Checkpoints
import LoRAVK
import Tokenizer

struct Merge: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Fold an adapter into its model and say what that loses. Needs no GPU.",
        discussion: """
            A GGUF file gives a GGUF file, a Hugging Face folder gives a folder. Weights keep their types. What an adapter learns is often smaller than the steps of a \
            quantised type, though: such weights become the first of q8_0, f16 and f32 that keeps it, unless --type says \
            otherwise. The report says how much of the update came through.

              lora-vk merge --model MODEL.gguf --adapter my-adapter --out merged.gguf
            """)

    @OptionGroup var files: ExportOptions

    @Option(
        help: """
            How merged weights are stored (of a folder all weights): \
            \(StorageType.allValueStrings.joined(separator: ", ")); a folder takes f32, f16 and bf16.
            """)
    var type: StorageType?

    @Option(help: "The most that one file of a folder holds: 5GB, 500MB, or a number of bytes.")
    var maxShardSize = "5GB"

    @Flag(help: "Report every module.")
    var each = false

    @Option(
        help:
            "Run this text through model and adapter and through the merged model, and compare their logits.")
    var check: String?

    @Option(help: "The Vulkan device for --check: its index or a part of its name.")
    var device: String?

    func run() throws {
        var config = MergeConfig()
        config.type = type
        config.maxShardBytes = try bytes(maxShardSize)
        let (model, adapter) = try files.open()
        let report = try files.interruptible { observer in
            try LoRAVK.Merge.write(adapter, into: model, to: files.out, config: config, observer: observer)
        }
        Terminal.error("saved \(files.out)")
        print(report)
        if let check { try compare(check) }
    }

    private func print(_ report: MergeReport) {
        if each {
            for module in report.modules {
                Terminal.print("\(module.name)  \(module.before.name) to \(line(module.type, module.loss))")
            }
        }
        for (type, modules, loss) in report.byType {
            Terminal.print("\(modules) modules  \(line(type, loss))")
        }
        for change in report.widened {
            let reason =
                change.loss.map { "would lose the update (\(percent($0.kept)) kept)" }
                ?? "cannot be written here"
            Terminal.error(
                "the merged weights are \(change.after.name): \(change.before.name) \(reason)"
                    + (change.loss == nil ? "" : "; --type \(change.before.argument) has the smaller file"))
        }
        if !report.total.isKept { warn(report) }
    }

    private func warn(_ report: MergeReport) {
        let loss = report.total
        let what =
            loss.kept < MergeReport.enough
            ? "only \(percent(loss.kept)) of the update came through rounding"
            : "rounding changed the weights \(times(loss)) times as much as the adapter did, at random"
        let remedy = report.better.map {
            "merge again with --type \($0.type.argument), which keeps \(percent($0.loss.kept)) and adds \(times($0.loss)) times"
        }
        Terminal.error(
            "lora-vk: warning: \(files.out) may not answer as the adapter does: \(what)"
                + (remedy.map { "; \($0)" } ?? ""))
    }

    private func times(_ loss: UpdateLoss) -> String { Terminal.number(loss.relativeError, digits: 2) }

    private func line(_ type: StorageType, _ loss: UpdateLoss) -> String {
        "\(type.name) keeps \(percent(loss.kept)) of the update, rounding error \(percent(loss.relativeError)) of it"
    }

    private func percent(_ part: Double) -> String { Terminal.number(100 * part) + " %" }

    /// Logits of every place of a text, with the adapter and merged, on a device.
    private func compare(_ text: String) throws {
        var options = try ModelOptions.parse(
            ["--model", files.model] + (device.map { ["--device", $0] } ?? []))
        let (model, adapter, tokenizer) = try options.open(adapter: files.adapter)
        let tokens = tokenizer.encode(text)
        let separate = try logits(tokens, model, adapter)
        let plain = try logits(tokens, options.open().model, nil)
        options.model = files.out
        let merged = try logits(tokens, options.open().model, nil)
        Terminal.print(
            "largest difference of logits over \(tokens.count) tokens  "
                + "\(Terminal.number(difference(separate, merged))); the adapter's own is "
                + Terminal.number(difference(separate, plain)))
    }

    private func logits(_ tokens: [Int32], _ model: Transformer, _ adapter: Adapter?) throws -> [Float] {
        let limit = model.spec.contextLength
        guard !tokens.isEmpty, tokens.count < limit else {
            throw ConfigError(
                "the text of --check has \(tokens.count) tokens; it must have 1 to \(limit - 1)")
        }
        let generator = try Generator(model, adapter, capacity: tokens.count + 1)
        return try tokens.flatMap { try generator.append([$0]) }
    }

    private func difference(_ a: [Float], _ b: [Float]) -> Double {
        zip(a, b).reduce(0) { max($0, Double(abs($1.0 - $1.1))) }
    }

    /// 5GB, 500MB, 20KB as powers of 1000, as transformers has them, or bytes.
    private func bytes(_ text: String) throws -> Int {
        let units = ["KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000]
        let unit = units.first { text.uppercased().hasSuffix($0.key) }
        let number = unit == nil ? text : String(text.dropLast(2))
        guard let count = Int(number), count > 0,
            case let (bytes, false) = count.multipliedReportingOverflow(by: unit?.value ?? 1)
        else { throw ConfigError("--max-shard-size is '\(text)'; it must be a size such as 5GB or 500MB") }
        return bytes
    }
}
