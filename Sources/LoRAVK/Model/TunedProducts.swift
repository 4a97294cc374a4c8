// The matrix products of a model that are worth measuring: forward and backward of each kind of layer, at batches of some sizes.

import Checkpoints
import Kernels
import VulkanCompute

extension Tuner {
    /// Tokens of the batches that are measured where nothing else is asked for, and those that can be.
    package static let usualRows = [128, 512]
    package static let possibleRows = 16...4096

    /// For the model of a checkpoint, of which only the shapes are read.
    package init(
        _ checkpoint: Checkpoint, on device: Device, weights: WeightStorage, rows: [Int] = usualRows,
        matrixUnits: Bool = true
    ) throws {
        let model = try Transformer.load(
            checkpoint, device: Device(planning: device.capabilities), weights: weights)
        self.init(device, model.tunedProducts(rows: rows), matrixUnits: matrixUnits)
    }
}

extension Transformer {
    /// `rows`: tokens of a batch. The model may lie on a planning device: only its layouts are read.
    package func tunedProducts(rows: [Int]) -> [TunedProduct] {
        var known: Set<String> = []
        let layouts = linears.map(\.weight.layout) + [head.weight.layout]
        return rows.flatMap { rows in
            layouts.flatMap { layout in [Shader.Op.nt, .nn].map { TunedProduct($0, layout, rows: rows) } }
        }.filter { known.insert($0.name).inserted }
    }
}
