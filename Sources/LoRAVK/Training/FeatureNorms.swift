// How large an adapter's features are inside a pass: z_A = D·x and z_B = U·D·x of each layer with a low-rank term s·U·D, where
// D = A and U = B for plain LoRA. Hayou, Ghosh & Yu 2024 compare initialisations by them.

import Kernels
import VulkanCompute

/// Means over layers of the root mean square, over tokens, of a vector's Euclidean norm.
package struct FeatureNorms: Sendable, Equatable {
    /// Without ranks that do not train.
    package var zA: Double
    /// The whole change of the layer's output, before s.
    package var zB: Double
}

/// Where a pass leaves the squares of its features, summed over the tokens. Not thread-safe.
final class FeatureSums {
    private struct Sums {
        let layer: LoRALayer
        let zA: Tensor  // (R)
        let zB: Tensor  // (O)
        /// What was summed.
        var tokens = 0
    }

    private var sums: [Sums] = []  // in the adapter's order
    private let ones: Tensor  // (the largest R or O)

    /// nil: no layer has a low-rank term.
    init?(_ adapter: Adapter) throws(VulkanError) {
        let device = adapter.device
        let layers = adapter.layers.filter { $0.method.lowRank($0) != nil }
        guard let widest = layers.map({ max($0.paddedRank, $0.outFeatures) }).max() else { return nil }
        ones = try device.makeTensor([Float](repeating: 1, count: widest), [widest], label: "ones")
        for layer in layers {
            sums.append(
                Sums(
                    layer: layer, zA: try device.makeTensor([layer.paddedRank], label: "z_A"),
                    zB: try device.makeTensor([layer.outFeatures], label: "z_B")))
        }
    }

    /// Records what sums the features of `x` (N, I).
    func record(_ layer: LoRALayer, _ x: Tensor, _ pass: Pass) throws(VulkanError) {
        guard let index = sums.firstIndex(where: { $0.layer.name == layer.name }),
            let term = layer.method.lowRank(layer)
        else { return }
        sums[index].tokens = x.rows
        let (encoder, arena) = (pass.encoder, pass.arena)
        let (zA, zB) = (arena.take(x.rows, term.up.width), arena.take(x.rows, layer.outFeatures))
        try encoder.loraDown(into: zA, x, loraA: term.down, scaling: 1, label: "\(layer.name) z_A")
        try encoder.matmul(.nt, into: zB, zA, term.up, label: "\(layer.name) z_B")
        for (sum, z) in [(sums[index].zA, zA), (sums[index].zB, zB)] {
            try encoder.fill(sum.slice)
            try encoder.columnDots(
                addingTo: sum, z, z, by: Tensor(ones.slice, shape: [z.width]),
                label: "\(layer.name) features")
        }
        arena.give(zA, zB)
    }

    /// After the recorded pass has run.
    func norms(_ device: Device) throws(VulkanError) -> FeatureNorms {
        var norms = FeatureNorms(zA: 0, zB: 0)
        for sum in sums {
            let trained = sum.layer.module.rank - sum.layer.module.frozenRank
            func rootMean(_ squares: some Collection<Float>) -> Double {
                (squares.reduce(0) { $0 + Double($1) } / Double(sum.tokens)).squareRoot()
            }
            norms.zA += rootMean(try device.values(sum.zA).prefix(trained)) / Double(sums.count)
            norms.zB += rootMean(try device.values(sum.zB)) / Double(sums.count)
        }
        return norms
    }
}

extension Evaluator {
    /// The features on examples, of which few tokens are left out so that no padding is seen; nil where the adapter has no
    /// low-rank term, or the examples no 8 tokens.
    package func featureNorms(_ examples: [Example]) throws(VulkanError) -> FeatureNorms? {
        guard let adapter, let sums = try FeatureSums(adapter),
            let examples = TokenBatch.withoutPadding(examples)
        else { return nil }
        let batch = TokenBatch(examples)
        func record(
            _ encoder: CommandEncoder, _ arena: Arena, _ buffers: TokenBuffers
        ) throws(VulkanError) -> [Tensor] {
            var pass = pass(encoder, arena, buffers)
            pass.features = sums
            arena.give(try model.forward(pass).0)
            return []
        }
        // Recorded anew each time: the sums are this call's.
        try workspace.reserve(batch.shape, for: .features, record)
        let (buffers, arena) = try workspace.open(batch.shape)
        try buffers.upload(batch.padded(to: batch.shape), device)
        let encoder = try CommandEncoder(device, scratch: arena)
        _ = try record(encoder, arena, buffers)
        let graph = try encoder.finish()
        try adapter.refresh()
        try graph.run()
        return try sums.norms(device)
    }
}
