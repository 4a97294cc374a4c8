// Whether a device computes what it should: a small random model with weights of every type, its loss, gradients, answers and a step of
// AdamW, by each family of kernels, against f64 on the host. Takes seconds, and needs no file.

import Checkpoints
import Kernels
import VulkanCompute

package struct Probe {
    /// What one family of kernels did. Differences are parts of what is right.
    package struct Finding: Sendable {
        package let family: String
        package var loss = 0.0
        /// Of the gradient along random directions.
        package var gradient = 0.0
        /// Of the logits, token by token behind a prompt.
        package var answer = 0.0
        /// Of the parameters after a step.
        package var step = 0.0
        /// Modules whose gradients are wrong.
        package var modules: [String] = []
        /// What the driver failed with.
        package var failure: String?
        package var seconds = 0.0

        package init(family: String, failure: String? = nil) {
            (self.family, self.failure) = (family, failure)
        }

        /// Products of matrix units have factors of 11 bits.
        var bound: Double { family == Capabilities.matrixUnits ? 3e-2 : 1e-3 }
        package var isRight: Bool {
            failure == nil && [loss, gradient, answer, step].allSatisfy { $0 <= bound }
        }
    }

    private static let (heads, kvHeads, rank, prompt) = (4, 2, 4, 33)
    private static let config = RandomModel.llama(
        vocabulary: 320, width: 256, hidden: 512, layers: 2, heads: heads, kvHeads: kvHeads, positions: 64)
    private static let types: [StorageType] = [
        .q8_0, .q4_K, .q5_K, .q6_K, .q4_0, .q4_1, .f16, .bf16, .f32,
    ]

    private let checkpoint: Checkpoint
    private let reference: ReferenceLlama
    private let examples: [Example]
    private let folder: AtomicFolder

    /// `folder`: where the model's file, which goes with the probe, may lie for so long. Another `seedOfDevice` than 1 gives the device
    /// other weights than the reference, as if its kernels were wrong.
    package init(in folder: String, seedOfDevice: UInt64 = 1) throws(FileError) {
        let own = try AtomicFolder("\(folder)/loravk-probe")
        func model(seed: UInt64) throws(FileError) -> Checkpoint {
            let path = "\(own.temporary)/model-\(seed).gguf"
            try RandomModel(config: Self.config, seed: seed).writeGGUF(to: path) { tensor, index in
                Self.types[index % Self.types.count]
            }
            return try Checkpoint.open(path: path)
        }
        self.folder = own
        checkpoint = try model(seed: seedOfDevice)
        reference = try ReferenceLlama(
            try model(seed: 1), heads: Self.heads, kvHeads: Self.kvHeads, epsilon: 1e-5, base: 10_000)
        var random = RandomBits(seed: 7)
        examples = [40, 17].map { length in
            let tokens = (0..<length).map { _ in Int32(random.next() % 320) }
            return Example(tokens: tokens, labels: tokens.enumerated().map { $0 < 3 ? -100 : $1 })
        }
    }

    /// The families that the device can run, the one that it takes first.
    package static func families(_ capabilities: Capabilities) -> [String] {
        let (chosen, all) = (capabilities.familyName, capabilities.familyNames)
        // One that is asked for is taken whatever else a device is opened for.
        return [chosen] + (DebugOptions.environment.family == nil ? all.filter { $0 != chosen } : [])
    }

    /// `device` must be one that was opened for the family (`Device.Candidate.open(family:)`).
    package func run(_ family: String, on device: Device) -> Finding {
        var finding = Finding(family: family)
        let start = ContinuousClock.now
        do { try measure(device, &finding) } catch { finding.failure = "\(error)" }
        finding.seconds = (ContinuousClock.now - start) / .seconds(1)
        return finding
    }

    private func measure(_ device: Device, _ finding: inout Finding) throws {
        let model = try Transformer.load(checkpoint, device: device)
        var config = LoRAConfig()
        (config.rank, config.alpha) = (Self.rank, Double(Self.rank))
        let adapter = try Adapter.create(for: model, config)
        var random = RandomBits(seed: 11)
        for layer in adapter.layers {
            for parameter in layer.parameters {
                try adapter.set(
                    layer, parameter.shape.part,
                    to: (0..<parameter.shape.count).map { _ in Float(random.normal()) / 16 })
            }
        }
        let before = try adapter.snapshot(.parameter)

        let trainer = try Trainer(model, adapter)
        let counted = examples.reduce(0) { $0 + $1.countedTokens }
        let loss = try trainer.forwardBackward(examples, counted: counted)
        let exact = examples.reduce(0) { $0 + reference.loss($1, before.lora(adapter)) }
        finding.loss = abs(loss - exact) / exact

        let gradients = try adapter.snapshot(.gradient)
        let whole = compare(gradients, before, adapter, modules: nil, &random)
        finding.gradient = whole
        if whole > finding.bound {
            finding.modules = adapter.layers.map(\.name).filter {
                compare(gradients, before, adapter, modules: [$0], &random) > finding.bound
            }
        }
        finding.answer = try answers(model, adapter, before.lora(adapter))

        // The first step of AdamW: p − lr·g/(|g| + ε).
        let rate = 1e-2
        _ = try trainer.apply(learningRate: rate)
        let after = try adapter.snapshot(.parameter)
        for (key, values) in before.values {
            for (index, value) in values.enumerated() {
                let g = Double(gradients.values[key]?[index] ?? .nan)
                let right = Double(value) - rate * g / (abs(g) + 1e-8)
                let wrong = abs(Double(after.values[key]?[index] ?? .nan) - right)
                // Not `max`, which drops what is no number.
                if !(wrong / rate <= finding.step) { finding.step = wrong / rate }
            }
        }
    }

    /// How far the device's gradient g lies from the slope of the f64 loss along random directions v, as a part of |g|:
    /// g·v against (L(p + εv) − L(p − εv)) / 2ε.
    private func compare(
        _ gradients: Snapshot, _ parameters: Snapshot, _ adapter: Adapter, modules: Set<String>?,
        _ random: inout RandomBits
    ) -> Double {
        let counted = Double(examples.reduce(0) { $0 + $1.countedTokens })
        var worst = 0.0
        for _ in 0..<(modules == nil ? 3 : 1) {
            var direction = [Snapshot.Key: [Double]]()
            var (product, square) = (0.0, 0.0)
            for (key, values) in gradients.values.sorted(by: { $0.key.text < $1.key.text })
            where modules?.contains(key.module) ?? true {
                direction[key] = values.map { g in
                    let v = random.normal()
                    product += Double(g) * v
                    square += Double(g) * Double(g)
                    return v
                }
            }
            let epsilon = 1e-4
            let slope =
                [epsilon, -epsilon].map { step in
                    let moved = parameters.lora(adapter, moved: direction, by: step)
                    return examples.reduce(0) { $0 + reference.loss($1, moved) }
                }.reduce(0) { $1 - $0 } / (-2 * epsilon) / counted
            let difference = abs(product - slope) / square.squareRoot()
            if !(difference <= worst) { worst = difference }
        }
        return worst
    }

    /// The largest difference of logits, as a part of the largest logit: a prompt, then its continuation a token at a time.
    private func answers(
        _ model: Transformer, _ adapter: Adapter, _ lora: [String: ReferenceLlama.LoRA]
    ) throws -> Double {
        let tokens = examples[0].tokens
        let right = reference.logits(tokens, lora)
        let generator = try Generator(model, adapter, capacity: tokens.count)
        var logits = [try generator.append(Array(tokens[..<Self.prompt]))]
        for token in tokens[Self.prompt...] { logits.append(try generator.append([token])) }
        var (worst, largest) = (0.0, 0.0)
        for (values, exact) in zip(logits, right[(Self.prompt - 1)...]) {
            for (value, exact) in zip(values, exact) {
                largest = max(largest, abs(exact))
                let difference = abs(Double(value) - exact)
                if !(difference <= worst) { worst = difference }
            }
        }
        return worst / largest
    }
}

/// An adapter's parameters or gradients.
private struct Snapshot {
    struct Key: Hashable {
        let module: String
        let part: Adapter.Part
        var text: String { "\(module).\(part)" }
    }

    var values: [Key: [Float]] = [:]

    /// As the reference takes them, changed by `step` times a direction.
    func lora(
        _ adapter: Adapter, moved direction: [Key: [Double]] = [:], by step: Double = 0
    ) -> [String: ReferenceLlama.LoRA] {
        var all: [String: ReferenceLlama.LoRA] = [:]
        for layer in adapter.layers {
            let parts = layer.parts.map { part in
                let key = Key(module: layer.name, part: part)
                let values = (values[key] ?? []).map(Double.init)
                guard let direction = direction[key] else { return values }
                return zip(values, direction).map { $0 + step * $1 }
            }
            all[layer.name] = ReferenceLlama.LoRA(
                a: parts[0], b: parts[1], scaling: Double(layer.scaling), rank: layer.rank)
        }
        return all
    }
}

extension Adapter {
    fileprivate func snapshot(_ kind: Kind) throws(VulkanError) -> Snapshot {
        var snapshot = Snapshot()
        for layer in layers {
            for part in layer.parts {
                snapshot.values[Snapshot.Key(module: layer.name, part: part)] = try values(layer, part, kind)
            }
        }
        return snapshot
    }
}

/// The same numbers on every machine.
private struct RandomBits {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt32 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt32(state >> 33)
    }

    /// Mean 0, deviation 1, by the sum of twelve.
    mutating func normal() -> Double {
        (0..<12).reduce(-6.0) { sum, _ in sum + Double(next()) / 2_147_483_648 }
    }
}
