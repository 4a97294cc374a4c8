// A small random Llama model, written as a Hugging Face folder and loaded from it, and what the tests of this folder share.
// Every weight is a multiple of 1/64 below 4: exact in f16 and bf16, so that storage types can be compared bit by bit.

import Checkpoints
import Foundation
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

struct TinyModel {
    var vocab = 96
    var hidden = 32
    var layers = 2
    var heads = 4
    var kvHeads = 2
    var intermediate = 64
    var positions = 64
    var tied = true
    var ropeTheta = 10000.0
    var seed: UInt64 = 1

    func load(_ device: Device, weights: WeightStorage = .auto) throws -> Transformer {
        try withTemporaryFolder { folder in
            try write(to: folder)
            return try Transformer.load(folder, device: device, weights: weights)
        }
    }

    func write(to folder: String) throws {
        var config = JSON.Object()
        config["model_type"] = .string("llama")
        for (key, value) in [
            ("vocab_size", vocab), ("hidden_size", hidden), ("intermediate_size", intermediate),
            ("num_hidden_layers", layers), ("num_attention_heads", heads), ("num_key_value_heads", kvHeads),
            ("max_position_embeddings", positions), ("eos_token_id", 0),
        ] { config[key] = .integer(value) }
        config["rms_norm_eps"] = .double(1e-5)
        config["rope_theta"] = .double(ropeTheta)
        config["tie_word_embeddings"] = .bool(tied)
        try AtomicFile.write(JSON.object(config).text(.python), to: "\(folder)/config.json")
        try SafetensorsWriter.write(tensors, to: "\(folder)/model.safetensors")
    }

    private var tensors: [TensorSource] {
        var random = RandomValues(seed: seed)
        var tensors: [TensorSource] = []
        func matrix(_ name: String, _ rows: Int, _ columns: Int, deviation: Float) {
            let values = random.normal(rows * columns, deviation: deviation)
                .map { min(max(($0 * 64).rounded() / 64, -3), 3) }
            tensors.append(TensorSource(name, shape: [rows, columns], values))
        }
        func norm(_ name: String) {
            tensors.append(TensorSource(name, shape: [hidden], random.uniform(hidden, in: 0.75...1.25)))
        }
        let head = hidden / heads
        let narrow = 1 / Float(hidden).squareRoot()
        matrix("model.embed_tokens.weight", vocab, hidden, deviation: 0.5)
        for layer in 0..<layers {
            let block = "model.layers.\(layer)."
            norm(block + "input_layernorm.weight")
            norm(block + "post_attention_layernorm.weight")
            for (name, rows) in [("q", heads * head), ("k", kvHeads * head), ("v", kvHeads * head)] {
                matrix(block + "self_attn.\(name)_proj.weight", rows, hidden, deviation: 1.5 * narrow)
            }
            matrix(block + "self_attn.o_proj.weight", hidden, heads * head, deviation: narrow)
            matrix(block + "mlp.gate_proj.weight", intermediate, hidden, deviation: narrow)
            matrix(block + "mlp.up_proj.weight", intermediate, hidden, deviation: narrow)
            matrix(block + "mlp.down_proj.weight", hidden, intermediate, deviation: narrow)
        }
        norm("model.norm.weight")
        if !tied { matrix("lm_head.weight", vocab, hidden, deviation: 0.5) }
        return tensors
    }
}

extension Adapter {
    /// An adapter whose A and B are both random, so that it changes the output.
    static func random(
        for model: Transformer, rank: Int = 4, dropout: Double = 0, targets: LoRAConfig.Targets = .allLinear,
        deviation: Float = 0.2, seed: UInt64 = 5
    ) throws -> Adapter {
        var config = LoRAConfig()
        config.rank = rank
        config.alpha = Double(rank)
        config.dropout = dropout
        config.targets = targets
        let adapter = try Adapter.create(for: model, config)
        var random = RandomValues(seed: seed)
        for layer in adapter.layers {
            for parameter in layer.parameters {
                try adapter.set(
                    layer, parameter.shape.part,
                    to: random.normal(parameter.shape.count, deviation: deviation))
            }
        }
        return adapter
    }

    /// Every matrix by its key in a file.
    func all(_ kind: Kind = .parameter) throws -> [String: [Float]] {
        var all: [String: [Float]] = [:]
        for layer in layers {
            for part in layer.parts {
                let key = part.filePart.map { AdapterFiles.key(layer.name, $0) } ?? "\(layer.name).\(part)"
                all[key] = try values(layer, part, kind)
            }
        }
        return all
    }
}

/// Random examples whose tokens are all targets but those of `prompt`.
func examples(_ lengths: [Int], vocab: Int = 96, prompt: Int = 0, seed: UInt64 = 9) -> [Example] {
    var random = RandomValues(seed: seed)
    return lengths.map { length in
        let tokens = (0..<length).map { _ in Int32.random(in: 0..<Int32(vocab), using: &random) }
        let labels = tokens.enumerated().map { $0 < prompt ? TokenBatch.ignored : $1 }
        return Example(tokens: tokens, labels: labels)
    }
}

/// The largest difference of two sets of matrices, as a part of the largest entry of each matrix; infinite where they are
/// not the same matrices.
func relativeDifference(_ a: [String: [Float]], _ b: [String: [Float]]) -> Double {
    guard !a.isEmpty, a.keys == b.keys else { return .infinity }
    var worst = 0.0
    for (key, values) in a {
        guard let others = b[key], others.count == values.count else { return .infinity }
        let largest = Double(values.map(abs).max() ?? 0)
        let difference = zip(values, others).map { Double(abs($0 - $1)) }.max() ?? 0
        worst = max(worst, difference == 0 ? 0 : difference / largest)
    }
    return worst
}

func isClose(_ a: Double, _ b: Double, _ relative: Double) -> Bool {
    abs(a - b) <= relative * max(abs(a), abs(b))
}

func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.path + "/loravk-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try body(folder)
}

func contents(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }

/// The text of the error a body throws, nil where it throws none.
func errorText(_ body: () throws -> Void) -> String? {
    do { try body() } catch { return "\(error)" }
    return nil
}
