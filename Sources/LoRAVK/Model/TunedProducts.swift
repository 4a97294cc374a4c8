// The matrix products of a model that are worth measuring: forward and backward of each kind of layer, at batches of some sizes.

import Kernels
import VulkanCompute

extension Transformer {
    /// `rows`: tokens of a batch. The model may lie on a planning device: only its layouts are read.
    package func tunedProducts(rows: [Int]) -> [TunedProduct] {
        var known: Set<String> = []
        let layouts = linears.map(\.weight.layout) + [head.layout]
        return rows.flatMap { rows in
            layouts.flatMap { layout in [Shader.Op.nt, .nn].map { TunedProduct($0, layout, rows: rows) } }
        }.filter { known.insert($0.name).inserted }
    }
}
