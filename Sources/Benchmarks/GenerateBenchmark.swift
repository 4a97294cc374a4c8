// Speed of generation: a prompt of random tokens at once, then token by token, as the peers are measured.

import ArgumentParser
import LoRAVK
import VulkanCompute

struct GenerateBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Time a prompt and the tokens generated after it.")

    @Option(help: "A GGUF file or a Hugging Face folder.") var model: String
    @Option(help: "An adapter (a PEFT folder).") var adapter: String?
    @Option(help: "Tokens of the prompt.") var prompt = 128
    @Option(help: "Tokens to generate.") var tokens = 64
    @Option(help: "Runs of which the fastest counts, after one that does not.") var rounds = 5
    @Option(help: "Weights on the device: auto, f32, f16, bf16.") var weights = "auto"
    @Option(help: "The device, by index or name.") var device: String?
    @Flag(help: "Print one JSON object and nothing else.") var json = false

    func run() throws {
        guard let storage = WeightStorage(rawValue: weights) else {
            throw ValidationError("--weights is '\(weights)', expected auto, f32, f16 or bf16")
        }
        guard prompt > 0, tokens > 0 else { throw ValidationError("--prompt and --tokens must be positive") }
        let device = try Device.open(device)
        let model = try Transformer.load(model, device: device, weights: storage)
        let adapter = try self.adapter.map { try Adapter.load($0, for: model) }
        var random = RandomNumbers(seed: 1)
        let vocabulary = UInt64(model.config.vocabSize)
        let promptTokens = (0..<prompt).map { _ in Int32(random.next() % vocabulary) }
        var promptSeconds: [Double] = []
        var seconds: [Double] = []
        for round in 0...max(rounds, 1) {
            let generator = try Generator(model, adapter, capacity: prompt + tokens)
            let clock = ContinuousClock()
            var logits: [Float] = []
            let first = try clock.measure { logits = try generator.append(promptTokens) }
            var sampler = Sampler(SamplerConfig())
            let rest = try clock.measure {
                for _ in 0..<tokens { logits = try generator.append([sampler.next(logits, after: [])]) }
            }
            if round == 0 { continue }
            promptSeconds.append(first / .seconds(1))
            seconds.append(rest / .seconds(1))
        }
        func rates(_ count: Int, _ seconds: [Double]) -> (best: Double, median: Double) {
            let sorted = seconds.sorted()
            return (Double(count) / sorted[0], Double(count) / sorted[sorted.count / 2])
        }
        let (first, rest) = (rates(prompt, promptSeconds), rates(tokens, seconds))
        print("prompt \(first) tokens/s, generation \(rest)")
        device.savePipelines()
    }
}
