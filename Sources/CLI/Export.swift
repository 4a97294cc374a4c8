import ArgumentParser
import Checkpoints
import LoRAVK

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write an adapter as llama.cpp loads it (GGUF). Needs no GPU.",
        discussion: """
            MODEL is what the adapter belongs to, as a GGUF file or a Hugging Face folder; only its names and shapes count.

              lora-vk export --model MODEL.gguf --adapter my-adapter --out my-adapter.gguf
              llama-cli -m MODEL.gguf --lora my-adapter.gguf
            """)

    @OptionGroup var files: ExportOptions

    @Option(help: "How the matrices are stored: \(GGUFExport.types.map(\.argument).joined(separator: ", ")).")
    var type: StorageType = .f32

    func run() throws {
        let (model, adapter) = try files.open()
        try files.interruptible { observer in
            try GGUFExport.write(adapter, for: model, type: type, to: files.out, observer: observer)
        }
        Terminal.error(
            "saved \(files.out), \(adapter.modules.count) modules; try: llama-cli -m MODEL.gguf --lora \(Terminal.quoted(files.out))"
        )
    }
}

/// What `export` and `merge` take and write.
struct ExportOptions: ParsableArguments {
    @Option(help: "The model: a GGUF file or a Hugging Face folder.")
    var model: String

    @Option(
        help: ArgumentHelp(
            "The adapter (a PEFT folder), or several with their weights, which are summed.",
            valueName: "path[=weight],…"))
    var adapter: AdapterMix

    @Option(help: "What to write.")
    var out: String

    @Flag(help: "Replace the file OUT if it is there.")
    var overwrite = false

    func open() throws -> (Checkpoint, AdapterFiles) {
        Interrupt.install()
        if FileSystem.isFile(out), !overwrite {
            throw FileError(
                out, "is there already", remedy: "choose another name, or replace it with --overwrite")
        }
        let base = try Checkpoint.open(path: model)
        let files = try AdapterFiles.open(adapter, for: base)
        for warning in files.warnings(for: base) { Terminal.error("lora-vk: warning: \(warning)") }
        return (base, files)
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
            return try body(observer)
        } catch {
            guard let signal = Interrupt.signal else { throw error }
            Terminal.error("lora-vk: \(error)")
            throw CommandExit(code: 128 + signal)
        }
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
