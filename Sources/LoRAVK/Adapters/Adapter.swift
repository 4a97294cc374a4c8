// A LoRA adapter on the device. All its parameters lie in one flat buffer, and so do their gradients and AdamW's
// averages, so that one dispatch updates them. Ranks are padded with zeros to a multiple of 8, which stay zero.

import Checkpoints
import Kernels
import VulkanCompute

/// One adapted linear layer: y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ.
package struct LoRALayer: Sendable {
    /// Hugging Face's name: `model.layers.0.self_attn.q_proj`.
    package let name: String
    /// R as configured; the tensors have `paddedRank` rows or columns.
    package let rank: Int
    package let scaling: Float
    package let dropout: Double
    package let loraA: Tensor  // (R, I)
    package let loraB: Tensor  // (O, R)
    package let gradientA: Tensor
    package let gradientB: Tensor

    package var paddedRank: Int { loraB.width }
    package var inFeatures: Int { loraA.width }
    package var outFeatures: Int { loraB.rows }
}

/// Shape of one adapted module.
package struct AdapterModuleShape: Sendable, Equatable {
    package var name: String
    package var rank: Int
    package var scaling: Double
    package var inFeatures: Int
    package var outFeatures: Int

    var paddedRank: Int { (rank + 7) / 8 * 8 }
    /// Floats of A and of B in the flat buffer, each beginning where it may be bound.
    var countA: Int { Self.aligned(paddedRank * inFeatures) }
    var countB: Int { Self.aligned(outFeatures * paddedRank) }

    private static func aligned(_ count: Int) -> Int { (count + 63) / 64 * 64 }
}

/// Not thread-safe: used by one trainer or generator at a time.
package final class Adapter {
    package let config: PEFTConfig
    package let layers: [LoRALayer]
    package let parameters: Tensor  // flat
    package let gradients: Tensor  // flat, the same layout
    package let device: Device
    private let byName: [String: Int]

    package init(
        _ config: PEFTConfig, modules: [AdapterModuleShape], device: Device
    ) throws(VulkanError) {
        let count = modules.reduce(0) { $0 + $1.countA + $1.countB }
        let parameters = try device.makeTensor([count], label: "adapter parameters")
        let gradients = try device.makeTensor([count], label: "adapter gradients")
        var layers: [LoRALayer] = []
        var at = 0
        for module in modules {
            func part(_ flat: Tensor, _ offset: Int, _ rows: Int, _ width: Int) -> Tensor {
                Tensor(flat.slice.slice(offset * 4, byteCount: rows * width * 4), shape: [rows, width])
            }
            let (a, b) = (at, at + module.countA)
            let rank = module.paddedRank
            layers.append(
                LoRALayer(
                    name: module.name, rank: module.rank, scaling: Float(module.scaling),
                    dropout: config.dropout,
                    loraA: part(parameters, a, rank, module.inFeatures),
                    loraB: part(parameters, b, module.outFeatures, rank),
                    gradientA: part(gradients, a, rank, module.inFeatures),
                    gradientB: part(gradients, b, module.outFeatures, rank)))
            at += module.countA + module.countB
        }
        self.config = config
        self.layers = layers
        self.parameters = parameters
        self.gradients = gradients
        self.device = device
        byName = Dictionary(
            layers.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        try device.run { encoder throws(VulkanError) in
            try encoder.fill(parameters.slice)
            try encoder.fill(gradients.slice)
        }
    }

    package func layer(_ name: String) -> LoRALayer? { byName[name].map { layers[$0] } }

    /// Numbers that training changes, without padding.
    package var parameterCount: Int {
        layers.reduce(0) { $0 + $1.rank * ($1.inFeatures + $1.outFeatures) }
    }

    package enum Part: CaseIterable, Sendable { case loraA, loraB }
    package enum Kind: Sendable { case parameter, gradient }

    private func tensor(_ layer: LoRALayer, _ part: Part, _ kind: Kind) -> Tensor {
        switch (part, kind) {
        case (.loraA, .parameter): layer.loraA
        case (.loraB, .parameter): layer.loraB
        case (.loraA, .gradient): layer.gradientA
        case (.loraB, .gradient): layer.gradientB
        }
    }

    /// A (R, in) or B (out, R) of a layer, or its gradient, row by row without padding.
    package func values(
        _ layer: LoRALayer, _ part: Part, _ kind: Kind = .parameter
    ) throws(VulkanError) -> [Float] {
        let padded = try device.values(tensor(layer, part, kind))
        switch part {
        case .loraA: return Array(padded.prefix(layer.rank * layer.inFeatures))
        case .loraB:
            if layer.rank == layer.paddedRank { return padded }
            return (0..<layer.outFeatures).flatMap { row in
                padded[(row * layer.paddedRank)..<(row * layer.paddedRank + layer.rank)]
            }
        }
    }

    package func set(
        _ layer: LoRALayer, _ part: Part, _ kind: Kind = .parameter, to values: [Float]
    ) throws(VulkanError) {
        let target = tensor(layer, part, kind)
        var padded = [Float](repeating: 0, count: target.count)
        switch part {
        case .loraA:
            precondition(
                values.count == layer.rank * layer.inFeatures, "A of \(layer.name): \(values.count) values")
            padded.replaceSubrange(0..<values.count, with: values)
        case .loraB:
            precondition(
                values.count == layer.rank * layer.outFeatures, "B of \(layer.name): \(values.count) values")
            for row in 0..<layer.outFeatures {
                for column in 0..<layer.rank {
                    padded[row * layer.paddedRank + column] = values[row * layer.rank + column]
                }
            }
        }
        try device.upload(padded, into: target.slice)
    }
}
