import ArgumentParser
import Checkpoints
import LoRAVK
import Tokenizer

struct Merge: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Fold an adapter into its model and say what that loses. Needs no GPU.",
        discussion: """
            Writes a GGUF file where --out ends in .gguf, else what the model is. Of a GGUF model the weights keep their types. What an \
            adapter learns is often smaller than the steps of a quantised type, though: such weights become the first of q8_0, \
            f16 and f32 that keeps it, unless --type says otherwise. The report says how much of the update came through.

              lora-vk merge --model MODEL.gguf --adapter my-adapter --out merged.gguf
              lora-vk merge --model MODEL-FOLDER --adapter my-adapter --type q4_k_m --out merged.gguf
              llama-cli -m merged.gguf          (or: ollama create my-model -f Modelfile, with a line FROM ./merged.gguf)
            """)

    @OptionGroup var files: ExportOptions

    @Option(help: "What to write.")
    var out: String?

    @Option(
        help: """
            Make a folder to hand on: the merged GGUF file, the adapter, a Modelfile for Ollama and a model card. --out then names the \
            file in it.
            """,
        completion: .directory)
    var pushInto: String?

    @Option(
        help: """
            How weights are stored: \(FileType.allValueStrings.joined(separator: ", ")); a folder takes f32, f16 and bf16. \
            Of a GGUF model types to q8_0 that are no mixes are for merged weights alone, K-quants for all tensors, as llama.cpp mixes them.
            """)
    var type: FileType?

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
        let target = try target
        let (model, adapter) = try files.open(writing: target)
        var config = MergeConfig()
        if let type { config.store(as: type, model) }
        config.maxShardBytes = try shardBytes(maxShardSize)
        let report = try interruptible { observer in
            guard let pushInto else {
                return try LoRAVK.Merge.write(
                    adapter, into: model, to: target, config: config, observer: observer)
            }
            return try ModelFolder.write(
                adapter, into: model, to: pushInto, name: FileSystem.name(of: target), config: config,
                observer: observer)
        }
        Terminal.error("saved \(pushInto ?? target)")
        print(report, target)
        if let check { try compare(check, with: target) }
    }

    /// The file or folder to write; in the folder of `--push-into` a GGUF file.
    private var target: String {
        get throws {
            guard let pushInto else {
                guard let out else { throw ValidationError("Missing expected argument '--out <out>'") }
                return out
            }
            let name = out ?? "model-\(type?.argument ?? "merged").gguf"
            guard name.lowercased().hasSuffix(".gguf"), !name.contains("/") else {
                throw ConfigError(
                    "--out is '\(name)'; with --push-into it is the name of a file in that folder, which ends in .gguf"
                )
            }
            return "\(pushInto)/\(name)"
        }
    }

    private func print(_ report: MergeReport, _ target: String) {
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
        if !report.total.isKept { warn(report, target) }
    }

    private func warn(_ report: MergeReport, _ target: String) {
        let loss = report.total
        let what =
            loss.kept < MergeReport.enough
            ? "only \(percent(loss.kept)) of the update came through rounding"
            : "rounding changed the weights \(times(loss)) times as much as the adapter did, at random"
        let remedy = report.better.map {
            "merge again with --type \($0.type.argument), which keeps \(percent($0.loss.kept)) and adds \(times($0.loss)) times"
        }
        Terminal.error(
            "lora-vk: warning: \(target) may not answer as the adapter does: \(what)"
                + (remedy.map { "; \($0)" } ?? ""))
    }

    private func times(_ loss: UpdateLoss) -> String { Terminal.number(loss.relativeError, digits: 2) }

    private func line(_ type: StorageType, _ loss: UpdateLoss) -> String {
        "\(type.name) keeps \(percent(loss.kept)) of the update, rounding error \(percent(loss.relativeError)) of it"
    }

    private func percent(_ part: Double) -> String { Terminal.number(100 * part) + " %" }

    /// Tokens of the answers that are compared.
    private static let answerTokens = 16

    /// Logits of every place of a text, and the likeliest answer to it, with the adapter and merged, on a device.
    private func compare(_ text: String, with target: String) throws {
        var options = try ModelOptions.parse(
            ["--model", files.model] + (device.map { ["--device", $0] } ?? []))
        let (model, adapter, tokenizer) = try options.open(adapter: files.adapter)
        let tokens = tokenizer.encode(text)
        let separate = try run(tokens, model, adapter)
        let plain = try run(tokens, options.open().model, nil)
        options.model = target
        let merged = try run(tokens, options.open().model, nil)
        Terminal.print(
            "largest difference of logits over \(tokens.count) tokens  "
                + "\(Terminal.number(difference(separate.logits, merged.logits))); the adapter's own is "
                + Terminal.number(difference(separate.logits, plain.logits)))
        let same = zip(separate.answer, merged.answer).prefix { $0 == $1 }.count
        Terminal.print(
            same == Self.answerTokens
                ? "the likeliest answer is the same, \(same) tokens"
                : "the likeliest answer is another from its token \(same + 1) on")
    }

    private func run(
        _ tokens: [Int32], _ model: Transformer, _ adapter: Adapter?
    ) throws -> (logits: [Float], answer: [Int32]) {
        let limit = model.spec.contextLength - Self.answerTokens
        guard !tokens.isEmpty, tokens.count < limit else {
            throw ConfigError(
                "the text of --check has \(tokens.count) tokens; it must have 1 to \(limit - 1)")
        }
        let generator = try Generator(model, adapter, capacity: tokens.count + Self.answerTokens + 1)
        var logits: [Float] = []
        var last: [Float] = []
        for token in tokens {
            last = try generator.append([token])
            logits += last
        }
        var answer: [Int32] = []
        while answer.count < Self.answerTokens {
            let best = Int32(last.indices.max { last[$0] < last[$1] } ?? 0)
            answer.append(best)
            last = try generator.append([best])
        }
        return (logits, answer)
    }

    private func difference(_ a: [Float], _ b: [Float]) -> Double {
        zip(a, b).reduce(0) { max($0, Double(abs($1.0 - $1.1))) }
    }
}
