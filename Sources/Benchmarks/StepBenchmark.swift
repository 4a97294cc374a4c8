// Training speed on random tokens, as the peers are measured: forward, backward and optimizer, all linear layers
// adapted. With --profile, device time by kernel.

import ArgumentParser
import Checkpoints
import Kernels
import LoRAVK
import VulkanCompute

struct StepBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "step", abstract: "Time training steps on a model, with random tokens.")

    @Option(help: "A GGUF file or a Hugging Face folder.") var model: String
    @Argument(help: "Shapes, sequences x tokens.") var shapes: [String] = [
        "1x256", "4x128", "1x512", "4x256",
    ]
    @Option(help: "LoRA rank.") var rank = 8
    @Option(help: "Layers to adapt: all-linear or names separated by commas.") var targets = "all-linear"
    @Option(help: "Steps of each shape; the first two are not counted.") var steps = 8
    @Option(help: "Weights on the device: auto, f32, f16, bf16.") var weights = "auto"
    @Option(help: "Blocks that the backward computes again.") var recompute = 0
    @Option(help: "The last tokens of a sequence that count in the loss, as an answer's do. Default: all.")
    var counted: Int?
    @Option(help: "The device, by index or name.") var device: String?
    @Flag(help: "Print device time by kernel, and how near each comes to what the device can do.")
    var profile = false
    @Option(help: "Write every dispatch of a step to this file, for Perfetto or chrome://tracing.") var trace:
        String?
    @Option(help: "Write the first shape's token ids to this file, as int32, for other programs to time.")
    var saveTokens: String?
    @Flag(help: "Only the forward pass and its loss, as `lora-vk eval` runs them.") var forward = false
    @Flag(help: "Print one JSON object a shape and nothing else.") var json = false

    func run() throws {
        let start = ContinuousClock.now
        if let counted, counted < 1 {
            throw ValidationError("--counted is \(counted); it must be at least 1")
        }
        guard let storage = WeightStorage(rawValue: weights) else {
            throw ValidationError("--weights is '\(weights)', expected auto, f32, f16 or bf16")
        }
        let device = try Device.open(device)
        let model = try Transformer.load(model, device: device, weights: storage)
        var config = LoRAConfig()
        config.rank = rank
        config.alpha = 2 * Double(rank)
        if targets != "all-linear" { config.targets = .names(targets.split(separator: ",").map(String.init)) }
        let adapter = try Adapter.create(for: model, config)
        let trainer = try Trainer(model, adapter, recomputedBlocks: recompute)
        var random = RandomNumbers(seed: 1)
        for (index, shape) in shapes.enumerated() {
            let examples = try randomExamples(shape, model, counted: counted, &random)
            if let saveTokens, index == 0 {
                let ids = examples.flatMap(\.tokens)
                try AtomicFile.write(ids.withUnsafeBytes { Array($0) }, to: saveTokens)
            }
            var (seconds, processor): ([Double], [Double]) = ([], [])
            for step in 0..<steps {
                let before = processorSeconds()
                seconds.append(try time(trainer, examples))
                processor.append(processorSeconds() - before)
                if index == 0, step == 0, !json {
                    print(
                        "start to end of the first step: \(fixed((ContinuousClock.now - start) / .seconds(1), 1)) s"
                    )
                }
            }
            let counted = seconds.dropFirst(min(2, steps - 1)).sorted()
            let tokens = Double(examples.reduce(0) { $0 + $1.tokens.count })
            let (best, median) = (tokens / counted[0], tokens / counted[counted.count / 2])
            let plan = try trainer.plan(TokenBatch(examples).shape)
            if json {
                print(
                    #"{"best": \#(best), "median": \#(median), "megabytes": \#(peakMegabytes()), "#
                        + #""activations": \#(plan.arena.byteCount), "processor": \#(processor.min() ?? 0)}"#)
                continue
            }
            guard !forward else {
                print(
                    "\(shape)  best \(fixed(best, 1)) tokens/s  median \(fixed(median, 1))  peak RSS \(peakMegabytes()) MB"
                )
                continue
            }
            print(
                "\(shape)  best \(fixed(best, 1)) tokens/s  median \(fixed(median, 1))  "
                    + "\(fixed(plan.flops / counted[0] / 1e9, 1)) GFLOP/s  \(plan.dispatches) dispatches  "
                    + "activations \(plan.arena.byteCount / 1_000_000) MB  peak RSS \(peakMegabytes()) MB  "
                    + "processor time \(fixed(processor.min() ?? 0, 2)) s")
            if profile || trace != nil {
                let result = StepProfile(try trainer.profile(examples))
                if profile { result.print(peak: try Contestant.peakRate(device)) }
                if let trace { try result.writeTrace(trace) }
            }
        }
        device.savePipelines()
    }

    private func time(_ trainer: Trainer, _ examples: [Example]) throws -> Double {
        guard forward else { return try trainer.step([examples], learningRate: 1e-4).seconds }
        let start = ContinuousClock.now
        _ = try Evaluator(sharing: trainer).evaluate(examples)
        return (ContinuousClock.now - start) / .seconds(1)
    }
}

/// Examples of random tokens: `4x128` are four of 128 tokens, of which the last `counted` count, or all.
func randomExamples(
    _ shape: String, _ model: Transformer, counted: Int? = nil, _ random: inout RandomNumbers
) throws -> [Example] {
    let parts = shape.split(separator: "x").compactMap { Int($0) }
    guard parts.count == 2, parts[0] > 0, parts[1] > 1 else {
        throw ValidationError("'\(shape)' is no shape like 4x128")
    }
    let vocabulary = UInt64(model.spec.vocabulary)
    let ignored = max(0, parts[1] - (counted ?? parts[1]))
    return (0..<parts[0]).map { _ in
        let tokens = (0..<parts[1]).map { _ in Int32(random.next() % vocabulary) }
        let prompt = [Int32](repeating: TokenBatch.ignored, count: ignored)
        return Example(tokens: tokens, labels: prompt + tokens[ignored...])
    }
}
