// Speed of generation: a prompt of random tokens at once, then token by token, as the peers are measured.

import ArgumentParser
import Foundation
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
        let vocabulary = UInt64(model.config.vocabSize)
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
        if ProcessInfo.processInfo.environment["PROF"] != nil {
            let generator = try Generator(model, adapter, capacity: prompt + tokens)
            _ = try generator.append(promptTokens)
            _ = try generator.append([1])
            var best: [String: (Int, Double)] = [:]
            for _ in 0..<15 {
                var groups: [String: (Int, Double)] = [:]
                for t in try generator.profileStep(1) {
                    let key = t.kernel + " " + (t.label.split(separator: ".").last.map(String.init) ?? "")
                    let g = groups[key] ?? (0, 0)
                    groups[key] = (g.0 + 1, g.1 + t.seconds)
                }
                for (k, v) in groups { best[k] = (v.0, min(v.1, best[k]?.1 ?? 1)) }
            }
            for (k, v) in best.sorted(by: { $0.value.1 > $1.value.1 }) {
                print("  \(k) \(v.0) \(fixed(v.1 * 1e3, 2)) ms  \(fixed(v.1 * 1e6 / Double(v.0), 1)) us")
            }
            print("  total \(fixed(best.values.reduce(0) { $0 + $1.1 } * 1e3, 2)) ms")
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
