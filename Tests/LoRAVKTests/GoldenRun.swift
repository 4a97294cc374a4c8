// A reference run of PEFT on disk (Data/golden), and the same run here.

import Checkpoints
import Foundation
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

struct GoldenRun {
    let folder: String
    let losses: [Double]
    let gradientNorms: [Double]
    let config: LoRAConfig
    let learningRate: Double
    let weightDecay: Double
    /// [step][row]
    let batches: [[Example]]

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Data/golden"

    init(_ name: String) throws {
        folder = "\(Self.root)/\(name)"
        let reference = try JSONFields(JSON.read("\(folder)/reference.json"), path: "reference.json")
        func numbers(_ key: String) throws -> [Double] {
            try reference.array(key).map { value in
                switch value {
                case .integer(let number): Double(number)
                case .double(let number): number
                default: throw reference.wrong(key, expected: "numbers")
                }
            }
        }
        losses = try numbers("losses")
        gradientNorms = try numbers("grad_norms")
        learningRate = try reference.number("lr")
        weightDecay = try reference.number("wd")
        var config = LoRAConfig()
        config.rank = try reference.integer("r")
        config.alpha = try reference.number("alpha")
        config.usesRsLoRA = try reference.bool("rslora")
        config.targets = .names(try reference.optionalStrings("targets") ?? [])
        self.config = config
        let tokens = try NumpyFile("\(folder)/tokens.npy")
        let (steps, rows, width) = (tokens.shape[0], tokens.shape[1], tokens.shape[2])
        let ids = tokens.integers
        batches = (0..<steps).map { step in
            (0..<rows).map { row in
                let start = (step * rows + row) * width
                return Example(tokens: Array(ids[start..<(start + width)]))
            }
        }
    }

    /// Examples/tiny/model, with the rope scaling of this run put into a copy of its config.
    func tinyModel() throws -> Transformer {
        let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Examples/tiny/model").standardizedFileURL
        let reference = try JSONFields(JSON.read("\(folder)/reference.json"), path: "reference.json")
        guard let scaling = reference["rope_scaling"], scaling != .null else {
            return try Transformer.load(source.path, device: TestDevices.main)
        }
        let copy = FileManager.default.temporaryDirectory.appending(path: "loravk-\(UUID().uuidString)")
        try FileManager.default.copyItem(at: source, to: copy)
        defer { try? FileManager.default.removeItem(at: copy) }
        var config = try JSONFields(JSON.read("\(copy.path)/config.json"), path: "config.json").object
        config["rope_scaling"] = scaling
        try JSON.object(config).text(.compact).write(
            toFile: "\(copy.path)/config.json", atomically: true, encoding: .utf8)
        return try Transformer.load(copy.path, device: TestDevices.main)
    }

    /// The starting adapter, on the device.
    func adapter(for model: Transformer) throws -> Adapter {
        let adapter = try Adapter.create(for: model, config)
        let stored = try tensors(["init_half.safetensors", "init/adapter_model.safetensors"])
        for layer in adapter.layers {
            for (part, filePart) in [(Adapter.Part.loraA, AdapterFiles.Part.loraA), (.loraB, .loraB)] {
                let count = layer.rank * (part == .loraA ? layer.inFeatures : layer.outFeatures)
                let values =
                    try stored[AdapterFiles.key(layer.name, filePart)].map {
                        try $0.floats(rows: 0..<$0.rows)
                    }
                try adapter.set(layer, part, to: values ?? [Float](repeating: 0, count: count))
            }
        }
        return adapter
    }

    func gradients() throws -> [String: StoredTensor] {
        try tensors(["grads_step0_half.safetensors", "grads_step0.safetensors"])
    }

    func final() throws -> [String: StoredTensor] {
        try tensors(["final.safetensors", "final/adapter_model.safetensors"])
    }

    private func tensors(_ names: [String]) throws -> [String: StoredTensor] {
        let name = try #require(
            names.first { FileSystem.exists("\(folder)/\($0)") }, "none of \(names) in \(folder)")
        let file = try SafetensorsFile("\(folder)/\(name)")
        return Dictionary(uniqueKeysWithValues: file.tensors.map { ($0.name, $0) })
    }

    // MARK: The same run here

    /// Trains as the reference did and compares everything that its README binds.
    func reproduce(_ model: Transformer, replays: Bool = true, recomputedBlocks: Int = 0) throws {
        let adapter = try adapter(for: model)
        var optimizer = OptimizerConfig()
        optimizer.weightDecay = weightDecay
        let trainer = try Trainer(model, adapter, optimizer: optimizer, recomputedBlocks: recomputedBlocks)
        trainer.replays = replays
        for (step, examples) in batches.enumerated() {
            let counted = examples.reduce(0) { $0 + $1.countedTokens }
            try trainer.zeroGradients()
            let loss = try trainer.forwardBackward(examples, counted: counted) / Double(counted)
            #expect(
                abs(loss - losses[step]) <= 1e-3 * losses[step],
                "loss of step \(step): \(loss), not \(losses[step])")
            if step == 0 { try compareGradients(adapter) }
            let norm = try trainer.apply(learningRate: learningRate)
            #expect(
                abs(norm - gradientNorms[step]) <= 5e-3 * gradientNorms[step],
                "gradient norm of step \(step): \(norm), not \(gradientNorms[step])")
        }
        try compareFinal(adapter)
    }

    private func compareGradients(_ adapter: Adapter) throws {
        let wanted = try gradients()
        var worst = (0.0, "")
        try eachMatrix(adapter, wanted, .gradient) { key, got, want in
            let largest = Double(want.map(abs).max() ?? 0)
            let error = zip(got, want).map { Double(abs($0 - $1)) }.max() ?? 0
            let relative = largest == 0 ? error : error / largest
            if relative > worst.0 { worst = (relative, key) }
        }
        #expect(worst.0 <= 1e-3, "gradient of \(worst.1) is off by \(worst.0) of its largest entry")
    }

    private func compareFinal(_ adapter: Adapter) throws {
        let bound = 0.05 * learningRate * Double(batches.count)
        var (close, count) = (0, 0)
        try eachMatrix(adapter, try final(), .parameter) { _, got, want in
            count += got.count
            close += zip(got, want).count { Double(abs($0 - $1)) <= bound }
        }
        #expect(
            count > 0 && Double(close) >= 0.98 * Double(count),
            "\(close) of \(count) final entries are within \(bound)")
    }

    private func eachMatrix(
        _ adapter: Adapter, _ wanted: [String: StoredTensor], _ kind: Adapter.Kind,
        _ body: (String, [Float], [Float]) -> Void
    ) throws {
        var compared = 0
        for layer in adapter.layers {
            for (part, filePart) in [(Adapter.Part.loraA, AdapterFiles.Part.loraA), (.loraB, .loraB)] {
                let key = AdapterFiles.key(layer.name, filePart)
                guard let stored = wanted[key] else { continue }
                body(key, try adapter.values(layer, part, kind), try stored.floats(rows: 0..<stored.rows))
                compared += 1
            }
        }
        #expect(compared == wanted.count, "\(wanted.count) matrices to compare with, \(compared) found")
    }
}
