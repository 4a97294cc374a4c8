import ArgumentParser
import Checkpoints
import LoRAVK

struct Mix: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Sum adapters into one, as a PEFT folder. Needs no GPU.",
        discussion: """
            The sum is exact: its rank is the sum of the ranks, as in PEFT's add_weighted_adapter with "cat". LoRA and what is \
            saved as LoRA can be mixed; DoRA and VeRA are no such sums.

              lora-vk mix --adapter style=0.7,facts=0.3 --out both
            """)

    @Option(
        help: ArgumentHelp(
            "The adapters and their weights (1 where none is given).", valueName: "path[=weight],…"))
    var adapter: AdapterMix

    @Option(help: "The model that they belong to; needed where one is a GGUF file.")
    var model: String?

    @Option(help: "The folder to write.")
    var out: String

    @Flag(help: "Replace the adapter that is in OUT.")
    var overwrite = false

    func run() throws {
        if FileSystem.exists("\(out)/\(AdapterFiles.configName)"), !overwrite {
            throw FileError(
                out, "holds an adapter already", remedy: "choose another name, or replace it with --overwrite"
            )
        }
        let base = try model.map { try Checkpoint.open(path: $0) }
        let mixed = try AdapterFiles.open(adapter, for: base)
        try mixed.save(to: out)
        Terminal.error("saved \(out), rank \(mixed.config.rank), \(mixed.modules.count) modules")
    }
}
