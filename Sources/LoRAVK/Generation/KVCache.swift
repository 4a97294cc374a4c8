// Keys and values of the tokens so far, per block, so that a new token costs one row.

import Kernels
import VulkanCompute

package final class KVCache {
    /// One block's cache as a recording of new tokens sees it.
    struct Layer {
        let keys: Tensor  // (S, KVH·D): room for the tokens so far and the new ones
        let values: Tensor
    }

    package let capacity: Int
    package private(set) var count = 0
    private let keys: [Tensor]
    private let values: [Tensor]

    package init(_ model: Transformer, capacity: Int) throws(VulkanError) {
        self.capacity = capacity
        let shape = [capacity, model.config.kvHeads * model.config.headDim]
        var (keys, values): ([Tensor], [Tensor]) = ([], [])
        for layer in 0..<model.config.layers {
            keys.append(try model.device.makeTensor(shape, label: "keys of block \(layer)"))
            values.append(try model.device.makeTensor(shape, label: "values of block \(layer)"))
        }
        (self.keys, self.values) = (keys, values)
    }

    /// The first `rows` rows of every block.
    func layers(rows: Int) -> [Layer] {
        zip(keys, values).map { Layer(keys: $0.rows(0..<rows), values: $1.rows(0..<rows)) }
    }

    func advance(_ newTokens: Int) { count += newTokens }
}
