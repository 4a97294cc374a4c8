// Keys and values of the tokens so far, per block, so that a new token costs one row.

import Kernels
import VulkanCompute

package final class KVCache {
    /// One block's cache as a recording of new tokens sees it.
    struct Layer {
        let keys: Tensor  // (S, KVH·D): the tokens so far and the new ones
        let values: Tensor
        /// Tokens before the new ones.
        let offset: Int

        /// Records that the new rows go behind those that are there.
        func append(_ k: Tensor, _ v: Tensor, _ encoder: CommandEncoder) throws(VulkanError) {
            let range = offset..<(offset + k.rows)
            try encoder.copy(into: keys.rows(range).slice, from: k.slice)
            try encoder.copy(into: values.rows(range).slice, from: v.slice)
        }
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

    func layers(adding newTokens: Int) -> [Layer] {
        precondition(count + newTokens <= capacity, "\(count + newTokens) tokens in a cache of \(capacity)")
        let used = 0..<(count + newTokens)
        return zip(keys, values).map { Layer(keys: $0.rows(used), values: $1.rows(used), offset: count) }
    }

    func advance(_ newTokens: Int) { count += newTokens }
}
