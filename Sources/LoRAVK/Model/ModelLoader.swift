// A checkpoint to a model on the device: which storage each weight gets, and its bytes, row by row, repacked.

import Checkpoints
import Kernels
import VulkanCompute

/// How frozen weights are stored on the device. Arithmetic is f32 in every case, but for matrix units.
package enum WeightStorage: String, Sendable, CaseIterable {
    /// As in the file where the kernels can read it (F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K); Q5_0 as Q8_0, which
    /// holds the same values; else f16.
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
        let spec = checkpoint.spec
        var loader = WeightLoader(
            checkpoint: checkpoint, device: device, storage: weights, progress: progress)
        try loader.checkWidths(spec)
        let embedding = Embedding(
            name: spec.embedding.name.huggingFace + ".weight",
            weight: try loader.weight(spec.embedding.name), scale: Float(spec.embedding.scale),
            positions: try spec.embedding.positions.map { try loader.weight($0) })
        var rotaryTables = RotaryTables(device: device, positions: spec.contextLength)
        var blocks: [Block] = []
        for (index, block) in spec.blocks.enumerated() {
            var site = 0
            let branches = try block.map { branch in
                try loader.branch(branch, layer: index, site: &site, &rotaryTables)
            }
            blocks.append(Block(branches: branches))
        }
        let head = Head(
            name: spec.headName + ".weight",
            // A scale of the logits is one of the norm's weights.
            norm: try loader.norm(spec.finalNorm, scaledBy: spec.head.scale),
            weight: try spec.head.name.map { try loader.weight($0) } ?? embedding.weight,
            vocabulary: spec.vocabulary, logitCap: spec.head.logitCap.map { Float($0) })
        return Transformer(
            checkpoint: checkpoint, device: device, embedding: embedding, blocks: blocks,
            head: head, weightByteCount: loader.byteCount)
    }
}

/// Angles by their rule: layers that rotate alike share a table.
private struct RotaryTables {
    let device: Device
    let positions: Int
    private var tables: [RopeSpec: AttentionMixer.Rotary] = [:]

    init(device: Device, positions: Int) { (self.device, self.positions) = (device, positions) }

    mutating func rotary(_ rope: RopeSpec) throws(VulkanError) -> AttentionMixer.Rotary {
        if let known = tables[rope] { return known }
        let rotary = AttentionMixer.Rotary(
            table: try table(rope),
            queryTable: rope.queryGrowth == nil ? nil : try table(rope, ofQueries: true),
            isInterleaved: rope.isInterleaved)
        tables[rope] = rotary
        return rotary
    }

    /// (P, R); where long sequences rotate at other frequencies, the rows of short ones and behind them those of long ones.
    private func table(_ rope: RopeSpec, ofQueries: Bool = false) throws(VulkanError) -> Tensor {
        let short = rope.shortPositions.map { min($0, positions) }
        let table = try device.makeTensor([(short ?? 0) + positions, rope.size], label: "rotary table")
        if device.isPlanning { return table }
        func rows(_ count: Int, of tokens: Int) -> [Float] {
            RotaryAngles(
                frequencies: rope.inverseFrequencies(tokens: tokens), scale: rope.attentionFactor
            ).table(positions: count) { ofQueries ? rope.queryGrowth?.factor(at: $0) ?? 1 : 1 }
        }
        let values =
            (short.map { rows($0, of: $0) } ?? []) + rows(positions, of: short.map { $0 + 1 } ?? positions)
        try device.upload(values, into: table.slice)
        return table
    }
}

extension WeightLoader {
    fileprivate mutating func branch(
        _ spec: BranchSpec, layer: Int, site: inout Int, _ tables: inout RotaryTables
    ) throws -> Branch {
        let before = try spec.before.map { try norm($0) }
        let inputs = try linears(spec.inputs, layer: layer, site: &site)
        let mixer = try mixer(spec, layer: layer, &tables)
        let output = try linears(spec.output.map { [$0] } ?? [], layer: layer, site: &site).first
        return Branch(
            before: before, inputs: LinearGroup(members: inputs, bias: try joinedBias(spec.inputs)),
            mixer: mixer,
            output: output, after: try spec.after.map { try norm($0) }, scale: Float(spec.scale))
    }

    /// What reads the same input lies together, so that one product can run it.
    private mutating func linears(_ specs: [LinearSpec], layer: Int, site: inout Int) throws -> [Linear] {
        var linears: [Linear] = []
        for (spec, weight) in zip(specs, try weights(specs.map(\.name))) {
            linears.append(
                Linear(
                    name: spec.name.huggingFace, inFeatures: spec.inFeatures, outputs: spec.outputs,
                    weight: weight, bias: spec.hasBias ? try vector(spec.name.huggingFace + ".bias") : nil,
                    layer: layer, site: site))
            site += 1
        }
        return linears
    }

    /// The biases of layers that one product can run.
    private mutating func joinedBias(_ specs: [LinearSpec]) throws -> Tensor? {
        guard specs.count > 1, specs.allSatisfy(\.hasBias) else { return nil }
        let values = try specs.flatMap { try checkpoint.tensor($0.name.huggingFace + ".bias").vector() }
        return try device.makeTensor(values, [values.count], label: "biases")
    }

    private mutating func mixer(
        _ spec: BranchSpec, layer: Int, _ tables: inout RotaryTables
    ) throws -> any Mixer {
        switch spec.mixer {
        case .activation(let activation):
            return ActivationMixer(
                width: spec.output?.inFeatures ?? 0, function: Shader.Activation(activation.function),
                isGated: activation.isGated)
        case .attention(let attention):
            return AttentionMixer(
                shape: AttentionShape(
                    heads: attention.heads, kvHeads: attention.kvHeads, headSize: attention.headSize,
                    scale: Float(attention.scale), scoreCap: attention.scoreCap.map { Float($0) }),
                rotary: try attention.rope.map { try tables.rotary($0) },
                queryNorm: try attention.queryNorm.map { try norm($0) },
                keyNorm: try attention.keyNorm.map { try norm($0) }, window: attention.window,
                sinks: try attention.sinks.map { try vector($0.huggingFace) })
        case .convolution(let spec):
            return ShortConvMixer(convolution: try convolution(spec))
        case .experts(let experts): return try mixture(experts, layer: layer)
        }
    }

    /// The taps of a file, (C, L) from the oldest token to its own, are turned: (L, C), its own first.
    private mutating func convolution(_ spec: ConvolutionSpec) throws -> ShortConvolution {
        let stored = try checkpoint.tensor(spec.name.huggingFace + ".weight")
        let (rows, taps) = (try stored.floats(rows: 0..<spec.channels), spec.taps)
        try requireFinite(rows, stored)
        let values = (0..<taps).flatMap { tap in
            (0..<spec.channels).map { rows[$0 * taps + taps - 1 - tap] }
        }
        byteCount += values.count * 4
        return ShortConvolution(
            weight: try device.makeTensor(values, [taps, spec.channels], label: stored.name),
            bias: spec.hasBias ? try vector(spec.name.huggingFace + ".bias") : nil)
    }

    fileprivate mutating func norm(_ spec: NormSpec, scaledBy scale: Double = 1) throws -> Norm {
        let name = spec.name.huggingFace
        return Norm(
            weight: try vector(name + ".weight", offset: spec.offset, scaledBy: scale),
            bias: spec.hasBias ? try vector(name + ".bias", scaledBy: scale) : nil,
            epsilon: Float(spec.epsilon))
    }
}

extension Shader.Activation {
    init(_ activation: Activation) {
        self =
            switch activation {
            case .silu: .silu
            case .gelu: .gelu
            case .geluTanh: .geluTanh
            case .relu2: .relu2
            case .clamped: .clamped
            }
    }
}

struct WeightLoader {
    let checkpoint: Checkpoint
    let device: Device
    let storage: WeightStorage
    let progress: Transformer.Progress?
    var byteCount = 0
    private var loaded = 0
    /// How many there are to be loaded.
    private let weights: Int
    /// The rows of a file that are repacked next.
    private var piece: [UInt8] = []

    init(
        checkpoint: Checkpoint, device: Device, storage: WeightStorage, progress: Transformer.Progress?
    ) {
        self.checkpoint = checkpoint
        self.device = device
        self.storage = storage
        self.progress = progress
        let spec = checkpoint.spec
        weights = spec.linears.count + spec.experts.reduce(2) { $0 + 3 * $1.count + 1 }
    }

    /// Refuses a model whose widths the kernels cannot run, by name and before anything is loaded.
    func checkWidths(_ spec: ModelSpec) throws {
        func require(_ isRight: Bool, _ what: String) throws(FileError) {
            if !isRight { throw FileError(checkpoint.path, "\(what); the kernels need a multiple of 8") }
        }
        try require(spec.width % 8 == 0, "hidden_size is \(spec.width)")
        for linear in spec.linears {
            for width in [linear.inFeatures] + linear.outputs {
                try require(width % 8 == 0, "'\(linear.name.huggingFace)' has a width of \(width)")
            }
        }
        for experts in spec.experts {
            let width = experts.gate.outFeatures
            try require(width % 8 == 0, "'\(experts.gate.name.huggingFace)' has a width of \(width)")
        }
        for size in Set(spec.attentions.map(\.headSize)) {
            try require(size % 8 == 0, "head_dim is \(size)")
            guard size <= 256 else {
                throw FileError(checkpoint.path, "head_dim is \(size); the kernels go up to 256")
            }
        }
    }

    /// `offset` is added to what a Hugging Face file has.
    mutating func vector(_ name: String, offset: Double = 0, scaledBy scale: Double = 1) throws -> Tensor {
        let stored = try checkpoint.tensor(name)
        var values = try stored.vector()
        if offset != 0, checkpoint.format == .huggingFace { values = values.map { $0 + Float(offset) } }
        if scale != 1 { values = values.map { $0 * Float(scale) } }
        try requireFinite(values, stored)
        byteCount += values.count * 4
        return try device.makeTensor(values, [values.count], label: name)
    }

    mutating func weight(_ name: TensorName) throws -> Weight { try weights([name])[0] }

    /// Weights that lie together on the device, where they have one type and width.
    mutating func weights(_ modules: [TensorName]) throws -> [Weight] {
        let names = modules.map { $0.huggingFace + ".weight" }
        let stored = try names.map { try checkpoint.tensor($0) }
        let layouts = stored.map { WeightLayout(chosenType($0), rows: $0.rows, columns: $0.columns) }
        let weights = try device.makeWeights(layouts, labels: names)
        for (weight, stored) in zip(weights, stored) { try fill(weight, stored) }
        return weights
    }

    private mutating func fill(_ weight: Weight, _ stored: StoredTensor) throws {
        let type = weight.layout.type
        byteCount += weight.layout.byteCount
        if device.isPlanning { return }
        let widens = type == .q8_0 && stored.type == .q5_0
        if type.rawValue == stored.type.name.lowercased() || widens, !stored.isTransposed {
            for rows in weight.layout.uploads {
                try read(rows, of: stored)
                try piece.withUnsafeBytes { piece in
                    let bytes = UnsafeRawBufferPointer(rebasing: piece[..<(rows.count * stored.rowByteCount)])
                    if let bad = stored.type.firstRowNotFinite(bytes, rows: rows.count) {
                        let row = rows.lowerBound + bad
                        try requireFinite(stored.floats(rows: row..<row + 1), stored, firstRow: row)
                    }
                    guard widens else { return try device.upload(bytes, rows: rows, of: weight) }
                    try widenedToQ8_0(bytes).withUnsafeBytes {
                        try device.upload($0, rows: rows, of: weight)
                    }
                }
            }
        } else {
            let values = try stored.floats(rows: 0..<stored.rows)
            try requireFinite(values, stored)
            try upload(values, as: type, into: weight)
        }
        countLoaded()
    }

    mutating func countLoaded() {
        loaded += 1
        progress?(min(loaded, weights), weights)
    }

    private mutating func read(_ rows: Range<Int>, of stored: StoredTensor) throws {
        let count = rows.count * stored.rowByteCount
        if piece.count < count { piece = [UInt8](repeating: 0, count: count) }
        try piece.withUnsafeMutableBytes { piece in
            try stored.read(rows: rows, into: .init(rebasing: piece[..<count]))
        }
    }

    private func chosenType(_ stored: StoredTensor) -> Shader.Weight {
        chosenType(stored.type, columns: stored.columns)
    }

    func chosenType(
        _ type: StorageType, columns: Int, isOfExperts: Bool = false
    ) -> Shader.Weight {
        switch storage {
        case .f32: return .f32
        case .f16: return .f16
        case .bf16: return .bf16
        case .auto:
            if type == .q5_0 { return .q8_0 }
            // Its powers of 2 go beyond those of halves.
            if type == .mxfp4, !isOfExperts { return .bf16 }
            guard let same = Shader.Weight(rawValue: type.name.lowercased()),
                columns % WeightLayout.columnMultiple(same) == 0
            else { return type == .f64 ? .f32 : .f16 }
            return same
        }
    }

    func upload(_ values: [Float], as type: Shader.Weight, into weight: Weight) throws {
        switch type {
        case .f16: try upload(values.map { Half.bits($0) }, into: weight)
        case .bf16: try upload(values.map { Half.brainBits($0) }, into: weight)
        default: try upload(values, into: weight)
        }
    }

    private func upload<T: BitwiseCopyable>(_ values: [T], into weight: Weight) throws {
        try values.withUnsafeBytes { try device.upload($0, into: weight) }
    }

    func requireFinite(_ values: [Float], _ stored: StoredTensor, firstRow: Int = 0) throws {
        guard let bad = values.firstIndex(where: { !$0.isFinite }) else { return }
        let element = firstRow * stored.columns + bad
        throw FileError(
            stored.path, "tensor '\(stored.name)' holds \(values[bad]) at element \(element)",
            tensor: stored.name,
            remedy: "the file is damaged or the model diverged when it was made: use another copy")
    }
}
