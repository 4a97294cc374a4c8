import ArgumentParser
import Checkpoints
import LoRAVK

struct Convert: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a model in another format or other types. Needs no GPU.",
        discussion: """
            A Hugging Face folder becomes a GGUF file with tokenizer and chat template, a GGUF file becomes a Hugging Face folder, \
            and either is stored in other types: OUT is a GGUF file where its name ends in .gguf, else a folder. K-quants and their \
            mixes are those of llama.cpp, byte for byte. A type with fewer bits than the file has loses some of the model, and one \
            with more brings nothing back.

              lora-vk convert --model MODEL-FOLDER --type q4_k_m --out model.gguf
              lora-vk convert --model model.gguf --out MODEL-FOLDER
            """)

    @Option(help: "The model: a GGUF file or a Hugging Face folder.")
    var model: String

    @Option(help: "What to write: a name that ends in .gguf, or a folder.")
    var out: String

    @Option(
        help: """
            How weights are stored: \(FileType.allValueStrings.joined(separator: ", ")); a folder takes f32, f16 and bf16. \
            If not given: as in the model, in a folder of a quantised model f16.
            """)
    var type: FileType?

    @Option(help: "The most that one file of a folder holds: 5GB, 500MB, or a number of bytes.")
    var maxShardSize = "5GB"

    @Flag(help: "Replace the file OUT if it is there.")
    var overwrite = false

    func run() throws {
        Interrupt.install()
        try refuseExisting(out, overwrite: overwrite)
        let source = try Checkpoint.open(path: model)
        let bytes = try shardBytes(maxShardSize)
        try interruptible { observer in
            try LoRAVK.Convert.write(source, to: out, type: type, maxShardBytes: bytes, observer: observer)
        }
        Terminal.error("saved \(out)")
    }
}

extension FileType: ExpressibleByArgument {
    /// Small letters here: q4_k_m.
    public init?(argument: String) {
        guard let type = FileType.named(argument) else { return nil }
        self = type
    }

    var argument: String { name.lowercased() }
    public var defaultValueDescription: String { argument }
    public static var allValueStrings: [String] { all.map(\.argument) }
}

/// 5GB, 500MB, 20KB as powers of 1000, as transformers has them, or bytes.
func shardBytes(_ text: String) throws -> Int {
    let units = ["KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000]
    let unit = units.first { text.uppercased().hasSuffix($0.key) }
    let number = unit == nil ? text : String(text.dropLast(2))
    guard let count = Int(number), count > 0,
        case let (bytes, false) = count.multipliedReportingOverflow(by: unit?.value ?? 1)
    else { throw ConfigError("--max-shard-size is '\(text)'; it must be a size such as 5GB or 500MB") }
    return bytes
}
