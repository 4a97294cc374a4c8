// Speed of generation: a prompt of random tokens at once, then token by token, as the peers are measured.

import ArgumentParser
import LoRAVK
import VulkanCompute

struct GenerateBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Time a prompt and the tokens generated after it.")

    @Option(help: "A GGUF file or a Hugging Face folder.") var model: String
    @Option(help: "Rank of a random adapter on all linear layers (0: none).") var rank = 0
    @Option(help: "Tokens of the prompt.") var prompt = 128
    @Option(help: "Tokens to generate.") var tokens = 64
    @Option(help: "Runs, of which the first is not counted.") var rounds = 6
    @Option(help: "Weights on the device: auto, f32, f16, bf16.") var weights = "auto"
    @Option(help: "The device, by index or name.") var device: String?
    @Flag(help: "Print a token's device time by kernel, and how near each comes to what the device can do.")
    var profile = false
    @Flag(help: "Print one JSON object and nothing else.") var json = false

    func validate() throws {
        guard prompt > 0, tokens > 1, rounds > 1, rank >= 0 else {
            throw ValidationError("--prompt must be at least 1, --tokens and --rounds 2, --rank 0")
        }
    }

    func run() throws {
        guard let storage = WeightStorage(rawValue: weights) else {
            throw ValidationError("--weights is '\(weights)', expected auto, f32, f16 or bf16")
        }
        let device = try Device.open(device)
        let model = try Transformer.load(model, device: device, weights: storage)
        var config = LoRAConfig()
        config.rank = max(rank, 1)
        let adapter = rank > 0 ? try Adapter.create(for: model, config) : nil
        var random = RandomNumbers(seed: 1)
        let vocabulary = UInt64(model.spec.vocabulary)
        let promptTokens = (0..<prompt).map { _ in Int32(random.next() % vocabulary) }
        var runs: [GenerationTimes] = []
        for _ in 0..<rounds {
            let generator = try Generator(model, adapter, capacity: prompt + tokens)
            try generator.generate(
                prompt: promptTokens, maxTokens: tokens, stopTokens: [], sampling: SamplerConfig())
            runs.append(generator.times)
        }
        let (first, rest) = (rates(runs, \.promptRate), rates(runs, \.stepRate))
        if json {
            print(
                #"{"prompt": {"best": \#(first.best), "median": \#(first.median)}, "#
                    + #""generation": {"best": \#(rest.best), "median": \#(rest.median)}, "#
                    + #""megabytes": \#(peakMegabytes())}"#)
        } else {
            print(
                "prompt of \(prompt): best \(fixed(first.best, 1)) tokens/s  median \(fixed(first.median, 1))   "
                    + "generation: best \(fixed(rest.best, 1)) tokens/s  median \(fixed(rest.median, 1))   "
                    + "peak RSS \(peakMegabytes()) MB")
        }
        if profile {
            let generator = try Generator(model, adapter, capacity: prompt + tokens)
            _ = try generator.append(promptTokens)
            _ = try generator.append([promptTokens[0]])  // pipelines are made
            StepProfile(try generator.profileStep(promptTokens[0])).print(
                peak: try Contestant.peakRate(device))
        }
        device.savePipelines()
    }

    private func rates(
        _ runs: [GenerationTimes], _ rate: KeyPath<GenerationTimes, Double>
    ) -> (best: Double, median: Double) {
        let sorted = runs.dropFirst().map { $0[keyPath: rate] }.sorted()
        return (sorted[sorted.count - 1], sorted[sorted.count / 2])
    }
}
