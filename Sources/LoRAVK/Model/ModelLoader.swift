// A checkpoint to a model on the device: which storage each weight gets, and its bytes, row by row, repacked.

import Checkpoints
import Kernels
import VulkanCompute

/// How frozen weights are stored on the device. Arithmetic is f32 in every case, but for matrix units.
package enum WeightStorage: String, Sendable, CaseIterable {
    /// As in the file where the kernels can read it (F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K), else f16.
    case auto
    case f32, f16, bf16
}

extension Transformer {
    package typealias Progress = (_ loaded: Int, _ total: Int) -> Void

    /// Loads a Hugging Face folder or a GGUF file.
    package static func load(
        _ path: String, device: Device, weights: WeightStorage = .auto, progress: Progress? = nil
    ) throws -> Transformer {
        let checkpoint = try Checkpoint.open(path: path)
        return try load(checkpoint, device: device, weights: weights, progress: progress)
    }

    package static func load(
        _ checkpoint: Checkpoint, device: Device, weights: WeightStorage = .auto, progress: Progress? = nil
    ) throws -> Transformer {
        var loader = WeightLoader(
            checkpoint: checkpoint, device: device, storage: weights, progress: progress)
        let config = checkpoint.config
        try loader.checkWidths(config)
        let embedding = try loader.weight("model.embed_tokens.weight")
        let rotaryTable = try device.makeTensor(
            [config.contextLength, config.headDim], label: "rotary table")
        if !device.isPlanning {
            let angles = RotaryAngles(frequencies: config.inverseFrequencies)
            try device.upload(angles.table(positions: config.contextLength), into: rotaryTable.slice)
        }
        var blocks: [Block] = []
        for layer in 0..<config.layers {
            // What reads the same input lies together, so that one product can run it.
            func linears(_ kinds: [BlockTensor], firstSite: Int) throws -> [Linear] {
                let names = kinds.map { BlockTensor.huggingFaceName(layer, $0) }
                return zip(names, try loader.weights(names)).enumerated().map { index, pair in
                    Linear(
                        name: String(pair.0.dropLast(".weight".count)), inFeatures: pair.1.layout.columns,
                        outFeatures: pair.1.layout.sourceRows, weight: pair.1, layer: layer,
                        site: firstSite + index)
                }
            }
            let heads = try linears([.qProj, .kProj, .vProj], firstSite: 0)
            let output = try linears([.oProj], firstSite: 3)[0]
            let gateUp = try linears([.gateProj, .upProj], firstSite: 4)
            let down = try linears([.downProj], firstSite: 6)[0]
            blocks.append(
                Block(
                    inputNorm: try loader.vector(BlockTensor.huggingFaceName(layer, .inputNorm)),
                    qProj: heads[0], kProj: heads[1], vProj: heads[2], oProj: output,
                    postAttentionNorm: try loader.vector(
                        BlockTensor.huggingFaceName(layer, .postAttentionNorm)),
                    gateProj: gateUp[0], upProj: gateUp[1], downProj: down, heads: config.heads,
                    kvHeads: config.kvHeads,
                    epsilon: Float(config.rmsNormEps), rotaryTable: rotaryTable))
        }
        return Transformer(
            checkpoint: checkpoint, device: device, embedding: embedding, blocks: blocks,
            finalNorm: try loader.vector("model.norm.weight"),
            head: config.tieWordEmbeddings ? embedding : try loader.weight("lm_head.weight"),
            weightByteCount: loader.byteCount)
    }
}

extension ModelConfig {
    private static let longestContext = 32768

    /// Positions that a sequence may have here: the model's own, within what the table of angles is built for.
    package var contextLength: Int { min(maxPositions, Self.longestContext) }
}

private struct WeightLoader {
    let checkpoint: Checkpoint
    let device: Device
    let storage: WeightStorage
    let progress: Transformer.Progress?
    private(set) var byteCount = 0
    private var loaded = 0

    init(
        checkpoint: Checkpoint, device: Device, storage: WeightStorage, progress: Transformer.Progress?
    ) {
        self.checkpoint = checkpoint
        self.device = device
        self.storage = storage
        self.progress = progress
    }

    /// Refuses a model whose widths the kernels cannot run, by name and before anything is loaded.
    func checkWidths(_ config: ModelConfig) throws {
        let widths = [
            ("hidden_size", config.hiddenSize), ("intermediate_size", config.intermediateSize),
            ("head_dim", config.headDim),
        ]
        for (name, width) in widths where width % 8 != 0 {
            throw FileError(checkpoint.path, "\(name) is \(width); the kernels need a multiple of 8")
        }
        guard config.headDim <= 256 else {
            throw FileError(checkpoint.path, "head_dim is \(config.headDim); the kernels go up to 256")
        }
    }

    mutating func vector(_ name: String) throws -> Tensor {
        let stored = try checkpoint.tensor(name)
        let values = try stored.floats(rows: 0..<stored.rows)
        try requireFinite(values, stored)
        byteCount += values.count * 4
        return try device.makeTensor(values, [values.count], label: name)
    }

    mutating func weight(_ name: String) throws -> Weight { try weights([name])[0] }

    /// Weights that lie together on the device, where they have one type and width.
    mutating func weights(_ names: [String]) throws -> [Weight] {
        let stored = try names.map { try checkpoint.tensor($0) }
        let layouts = stored.map { WeightLayout(chosenType($0), rows: $0.rows, columns: $0.columns) }
        let weights = try device.makeWeights(layouts, labels: names)
        for (weight, stored) in zip(weights, stored) { try fill(weight, stored) }
        return weights
    }

    private mutating func fill(_ weight: Weight, _ stored: StoredTensor) throws {
        defer { stored.forget() }
        let type = weight.layout.type
        byteCount += weight.layout.byteCount
        if device.isPlanning { return }
        if type.rawValue == stored.type.name.lowercased() {
            try requireFinite(stored)
            if stored.order == .asStored {
                try device.upload(stored.storedBytes, into: weight)
            } else {
                var rows: [UInt8] = []
                rows.reserveCapacity(stored.byteCount)
                for row in 0..<stored.rows { rows += stored.rowBytes(row) }
                try upload(rows, into: weight)
            }
        } else {
            let values = try stored.floats(rows: 0..<stored.rows)
            try requireFinite(values, stored)
            try upload(values, as: type, into: weight)
        }
        loaded += 1
        progress?(loaded, checkpoint.tensors.count { $0.shape.count == 2 })
    }

    private func chosenType(_ stored: StoredTensor) -> Shader.Weight {
        switch storage {
        case .f32: return .f32
        case .f16: return .f16
        case .bf16: return .bf16
        case .auto:
            guard let same = Shader.Weight(rawValue: stored.type.name.lowercased()),
                stored.columns % WeightLayout.columnMultiple(same) == 0
            else { return stored.type == .f64 ? .f32 : .f16 }
            return same
        }
    }

    private func upload(_ values: [Float], as type: Shader.Weight, into weight: Weight) throws {
        switch type {
        case .f16: try upload(values.map { Half.bits($0) }, into: weight)
        case .bf16: try upload(values.map { Half.brainBits($0) }, into: weight)
        default: try upload(values, into: weight)
        }
    }

    private func upload<T: BitwiseCopyable>(_ values: [T], into weight: Weight) throws {
        try values.withUnsafeBytes { try device.upload($0, into: weight) }
    }

    private func requireFinite(_ values: [Float], _ stored: StoredTensor, firstRow: Int = 0) throws {
        guard let bad = values.firstIndex(where: { !$0.isFinite }) else { return }
        let element = firstRow * stored.columns + bad
        throw FileError(
            stored.path, "tensor '\(stored.name)' holds \(values[bad]) at element \(element)",
            tensor: stored.name,
            remedy: "the file is damaged or the model diverged when it was made: use another copy")
    }

    private func requireFinite(_ stored: StoredTensor) throws {
        guard let row = stored.firstRowNotFinite else { return }
        try requireFinite(try stored.floats(rows: row..<(row + 1)), stored, firstRow: row)
    }
}
