// A checkpoint to a model on the device: which storage each weight gets, and its bytes, row by row, repacked.

import Checkpoints
import Kernels
import VulkanCompute

/// How frozen weights are stored on the device. Arithmetic is f32 in every case.
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
            func linear(_ kind: BlockTensor, _ site: Int) throws -> Linear {
                let name = BlockTensor.huggingFaceName(layer, kind)
                let weight = try loader.weight(name)
                return Linear(
                    name: String(name.dropLast(".weight".count)), inFeatures: weight.layout.columns,
                    outFeatures: weight.layout.sourceRows, weight: weight, layer: layer, site: site)
            }
            blocks.append(
                Block(
                    inputNorm: try loader.vector(BlockTensor.huggingFaceName(layer, .inputNorm)),
                    qProj: try linear(.qProj, 0), kProj: try linear(.kProj, 1), vProj: try linear(.vProj, 2),
                    oProj: try linear(.oProj, 3),
                    postAttentionNorm: try loader.vector(
                        BlockTensor.huggingFaceName(layer, .postAttentionNorm)),
                    gateProj: try linear(.gateProj, 4), upProj: try linear(.upProj, 5),
                    downProj: try linear(.downProj, 6), heads: config.heads, kvHeads: config.kvHeads,
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

    mutating func weight(_ name: String) throws -> Weight {
        let stored = try checkpoint.tensor(name)
        defer { stored.forget() }
        let type = chosenType(stored)
        let layout = WeightLayout(type, rows: stored.rows, columns: stored.columns)
        let weight = try device.makeWeight(layout, label: name)
        byteCount += layout.byteCount
        if device.isPlanning { return weight }
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
        return weight
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
