// Steps of every adapter method against plain LoRA's: one model, and the methods in turn, so that whatever else the machine does
// strikes all alike.

import ArgumentParser
import LoRAVK
import VulkanCompute

struct MethodsBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "methods", abstract: "Time training steps of all adapter methods against plain LoRA's.")

    @Option(help: "A GGUF file or a Hugging Face folder.") var model: String
    @Option(help: "Sequences x tokens of a step.") var shape = "1x256"
    @Option(help: "LoRA rank.") var rank = 8
    @Option(help: "Counted steps of each.") var rounds = 5
    @Option(help: "The device, by index or name.") var device: String?
    @Flag(help: "One JSON object a method, times in seconds.") var json = false
    @Argument(help: "Methods, or method/initialization: lora/olora. lora is always the first.") var methods =
        Registries.methods.names.filter { $0 != "lora" } + ["lora/olora"]

    private struct Entrant {
        let name: String
        let trainer: Trainer
        let parameters: Int
        var clock: [Double] = []
        var processors: [Double] = []
    }

    func validate() throws {
        guard rounds > 0, rank > 0 else { throw ValidationError("--rounds and --rank must be at least 1") }
    }

    func run() throws {
        let device = try Device.open(device)
        let model = try Transformer.load(model, device: device)
        var random = RandomNumbers(seed: 1)
        let examples = try randomExamples(shape, model, &random)
        var entrants = try (["lora"] + methods).map { try entrant($0, model) }
        // The first step records and makes pipelines, the second is the first replay.
        for round in -2..<rounds {
            for index in entrants.indices {
                let before = processorSeconds()
                let seconds = try entrants[index].trainer.step([examples], learningRate: 1e-5).seconds
                guard round >= 0 else { continue }
                entrants[index].clock.append(seconds)
                entrants[index].processors.append(processorSeconds() - before)
            }
        }
        try printTable(entrants, TokenBatch(examples).shape, isCPU: device.capabilities.type == .cpu)
        device.savePipelines()
    }

    private func entrant(_ name: String, _ model: Transformer) throws -> Entrant {
        let words = name.split(separator: "/", maxSplits: 1).map(String.init)
        var config = LoRAConfig()
        (config.rank, config.alpha) = (rank, 2 * Double(rank))
        config.method = try Registries.methods.named(words.first ?? "")
        if words.count > 1 { config.initialization = try Registries.initializations.named(words[1]) }
        let adapter = try Adapter.create(for: model, config)
        return Entrant(name: name, trainer: try Trainer(model, adapter), parameters: adapter.parameterCount)
    }

    /// Medians, as Markdown. On a CPU device processor time is the kernels' own, however busy the machine is.
    private func printTable(_ entrants: [Entrant], _ shape: BatchShape, isCPU: Bool) throws {
        func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
        let (clock, processors) = (median(entrants[0].clock), median(entrants[0].processors))
        if !json {
            print(
                "| method | trains | ms a step | × lora |" + (isCPU ? " processor ms | × lora |" : "")
                    + " activations MB |")
            print("|---|---|---|---|" + (isCPU ? "---|---|" : "") + "---|")
        }
        for entrant in entrants {
            let (mine, busy) = (median(entrant.clock), median(entrant.processors))
            let activations = try entrant.trainer.plan(shape).arena.byteCount
            if json {
                print(
                    #"{"method": "\#(entrant.name)", "parameters": \#(entrant.parameters), "seconds": \#(mine), "#
                        + #""processor": \#(busy), "activations": \#(activations)}"#)
                continue
            }
            var line =
                "| `\(entrant.name)` | \(entrant.parameters) | \(fixed(mine * 1e3, 0)) | \(fixed(mine / clock, 2)) |"
            if isCPU { line += " \(fixed(busy * 1e3, 0)) | \(fixed(busy / processors, 2)) |" }
            print(line + " \(fixed(Double(activations) / 1e6, 0)) |")
        }
    }
}
