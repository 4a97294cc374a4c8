import ArgumentParser
import Checkpoints

struct Models: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the families of models that can be finetuned.",
        discussion: """
            A model is of a family when its config.json has the family's `model_type`, or its GGUF file the family's
            `general.architecture`. A family without the latter has no GGUF files.
            """)

    @Flag(help: "Print a JSON array of objects with the keys models, model_types, gguf and encoder.")
    var json = false

    func run() throws {
        let all = Architectures.all
        guard !json else {
            let objects = all.map { architecture -> JSON in
                .object([
                    "models": .string(architecture.models),
                    "model_types": .array(architecture.modelTypes.map { .string($0) }),
                    "gguf": architecture.gguf.map { .string($0) } ?? .null,
                    "encoder": .bool(architecture.isEncoder),
                ])
            }
            return Terminal.print(JSON.array(objects).text(.python))
        }
        let width = all.map(\.models.count).max() ?? 0
        for architecture in all {
            let name = architecture.models + String(repeating: " ", count: width - architecture.models.count)
            let gguf =
                architecture.gguf.map { "  GGUF: \($0)" }
                ?? (architecture.isEncoder ? "  vectors of texts" : "")
            Terminal.print("\(name)  model_type: \(architecture.modelTypes.joined(separator: ", "))\(gguf)")
        }
    }
}
