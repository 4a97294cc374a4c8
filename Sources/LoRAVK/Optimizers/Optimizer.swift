// The seam between optimizers and the rest. An optimizer says what it remembers of each parameter and records the update of all of
// them. Clipping, skipping a step that is not finite, weight decay's size, rates of single parameters and the way back to the last
// good parameters belong to `ParameterUpdate`, and are the same for all.

import Kernels
import VulkanCompute

package protocol Optimizer: Named {
    /// What is remembered of a parameter from step to step, and working memory.
    func states(of shape: ParameterShape) -> [OptimizerState]
    /// What the kernels read at step `step`, which counts from 1, behind the settings that all optimizers have (StepState).
    func settings(step: Int) -> [Float]
    /// Records a step. The kernels multiply the gradients by `result.clipFactor`, the learning rate by `rates`, shrink parameters by
    /// rate · weight decay, take nothing of gradients whose rate is 0, and change nothing where `result.skipped`.
    func record(
        _ encoder: CommandEncoder, _ memory: OptimizerMemory, state: BufferSlice, result: BufferSlice
    ) throws(VulkanError)
    /// Refuses settings and parameters that it cannot run with.
    func validate(_ shapes: [ParameterShape], _ capabilities: Capabilities) throws(ConfigError)
}

extension Optimizer {
    package func validate(_ shapes: [ParameterShape], _ capabilities: Capabilities) throws(ConfigError) {}
}

/// Something that an optimizer keeps of a parameter. It starts as zeros.
package struct OptimizerState: Sendable, Hashable {
    package enum Storage: Sendable, Hashable {
        /// A number for each of the parameter's, which lies as that one does.
        case each
        /// A byte for each, as it lies; `zero` is the one that stands for 0.
        case bytes(zero: UInt8)
        /// So many numbers, in this shape.
        case numbers([Int])
    }

    /// In a saved run behind the parameter's key: PyTorch's word for it.
    package let name: String
    package let storage: Storage
    /// Working memory is not saved.
    package let isSaved: Bool
    /// A mean of squares, which is never negative.
    package let isSquare: Bool

    package init(
        _ name: String, _ storage: Storage = .each, isSaved: Bool = true, isSquare: Bool = false
    ) {
        (self.name, self.storage, self.isSaved, self.isSquare) = (name, storage, isSaved, isSquare)
    }
}
