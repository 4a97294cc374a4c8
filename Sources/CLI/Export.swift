import ArgumentParser
import Checkpoints
import LoRAVK

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write an adapter as llama.cpp (GGUF) or mlx-lm loads it. Needs no GPU.",
        discussion: """
            MODEL is what the adapter belongs to, as a GGUF file or a Hugging Face folder; only its names and shapes count.

              lora-vk export --model MODEL.gguf --adapter my-adapter --out my-adapter.gguf
              llama-cli -m MODEL.gguf --lora my-adapter.gguf

              lora-vk export --model MODEL-FOLDER --adapter my-adapter --format mlx --out my-mlx-adapter
              mlx_lm.generate --model MODEL-FOLDER --adapter-path my-mlx-adapter --prompt "Hello!"
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable { case gguf, mlx }

    @OptionGroup var files: ExportOptions

    @Option(help: "What to write.")
    var out: String

    @Option(help: "Whose: gguf is a file for llama.cpp, mlx a folder for mlx-lm.")
    var format = Format.gguf

    @Option(
        help:
            "How the matrices of a GGUF file are stored: \(GGUFExport.types.map(\.argument).joined(separator: ", "))."
    )
    var type: StorageType = .f32

    func run() throws {
        let (model, adapter) = try files.open(writing: out)
        if format == .mlx {
            try interruptible { observer in
                try MLXExport.write(adapter, for: model, to: out, observer: observer)
            }
            return Terminal.error(
                "saved \(out), \(adapter.modules.count) modules; try: mlx_lm.generate --model MODEL-FOLDER --adapter-path \(Terminal.quoted(out))"
            )
        }
        try interruptible { observer in
            try GGUFExport.write(adapter, for: model, type: type, to: out, observer: observer)
        }
        Terminal.error(
            "saved \(out), \(adapter.modules.count) modules; try: llama-cli -m MODEL.gguf --lora \(Terminal.quoted(out))"
        )
    }
}

/// What `export` and `merge` take.
struct ExportOptions: ParsableArguments {
    @Option(help: "The model: a GGUF file or a Hugging Face folder.")
    var model: String

    @Option(
        help: ArgumentHelp(
            "The adapter (a PEFT folder), or several with their weights, which are summed.",
            valueName: "path[=weight],…"))
    var adapter: AdapterMix

    @Flag(help: "Replace the file OUT if it is there.")
    var overwrite = false

    func open(writing out: String) throws -> (Checkpoint, AdapterFiles) {
        Interrupt.install()
        try refuseExisting(out, overwrite: overwrite)
        let base = try Checkpoint.open(path: model)
        let files = try AdapterFiles.open(adapter, for: base)
        for warning in files.warnings(for: base) { Terminal.error("lora-vk: warning: \(warning)") }
        return (base, files)
    }
}

func refuseExisting(_ out: String, overwrite: Bool) throws {
    if FileSystem.isFile(out), !overwrite {
        throw FileError(
            out, "is there already", remedy: "choose another name, or replace it with --overwrite")
    }
}

/// Runs an export that shows how far it is and ends, with the signal's exit code, when one arrives.
func interruptible<Result>(_ body: (ExportObserver) throws -> Result) throws -> Result {
    let observer = ExportObserver(
        shouldStop: { Interrupt.isRequested },
        onTensor: { done, total in
            if Terminal.isInteractive { Terminal.status("\(done)/\(total) tensors") }
        })
    defer { Terminal.endStatus() }
    do {
        return try Interruption.during(isRequested: { Interrupt.isRequested }) { try body(observer) }
    } catch {
        guard let signal = Interrupt.signal else { throw error }
        Terminal.error("lora-vk: \(error)")
        throw CommandExit(code: 128 + signal)
    }
}

extension StorageType: ExpressibleByArgument {
    /// Small letters here: q4_0.
    public init?(argument: String) {
        guard let type = StorageType.allCases.first(where: { $0.argument == argument.lowercased() }) else {
            return nil
        }
        self = type
    }

    var argument: String { name.lowercased() }
    public var defaultValueDescription: String { argument }
    public static var allValueStrings: [String] { allCases.filter(\.isWritable).map(\.argument) }
}
