// What generation keeps of the tokens so far, per branch, so that a new token costs one row.

import Kernels
import VulkanCompute

package final class GenerationState {
    package let capacity: Int
    package private(set) var count = 0
    private let states: [[LayerState?]]  // by block and branch

    package init(_ model: Transformer, capacity: Int) throws(VulkanError) {
        self.capacity = capacity
        var states: [[LayerState?]] = []
        for (index, block) in model.blocks.enumerated() {
            var own: [LayerState?] = []
            for branch in block.branches {
                own.append(
                    try branch.mixer.makeState(capacity: capacity, model.device, label: "block \(index)"))
            }
            states.append(own)
        }
        self.states = states
    }

    /// As a recording sees them that ends with token `count`.
    func seeing(_ count: Int) -> [[LayerState?]] { states.map { $0.map { $0?.seeing(count) } } }

    func advance(_ newTokens: Int) { count += newTokens }
}
