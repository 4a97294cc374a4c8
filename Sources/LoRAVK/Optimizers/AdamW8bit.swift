// AdamW whose averages are bytes: a quarter of the memory. Each block of 256 numbers of a parameter, as they lie, has a scale of
// its own. Dettmers et al. 2022, 8-bit Optimizers via Block-wise Quantization; the names in a saved run are bitsandbytes'.

import Kernels
import VulkanCompute

package struct AdamW8bit: Optimizer {
    package let name = "adamw8bit"
    package let summary = "adamw with averages of 8 bits; Dettmers et al. 2022"
    package var options = AdamW.moments

    private static let mean = OptimizerState("state1", .bytes(zero: 127))
    private static let square = OptimizerState("state2", .bytes(zero: 0))

    private static func scale(_ name: String, _ shape: ParameterShape) -> OptimizerState {
        let block = CommandEncoder.codedBlock
        return OptimizerState(name, .numbers([(shape.storedCount + block - 1) / block]), isSquare: true)
    }

    private static func scales(_ shape: ParameterShape) -> (mean: OptimizerState, square: OptimizerState) {
        (scale("absmax1", shape), scale("absmax2", shape))
    }

    package func states(of shape: ParameterShape) -> [OptimizerState] {
        let scales = Self.scales(shape)
        return [Self.mean, Self.square, scales.mean, scales.square]
    }

    package func settings(step: Int) -> [Float] {
        StepState.adamW(
            beta1: option("beta1"), beta2: option("beta2"), epsilon: option("epsilon"), step: step)
    }

    package func record(
        _ encoder: CommandEncoder, _ memory: OptimizerMemory, state: BufferSlice, result: BufferSlice
    ) throws(VulkanError) {
        for parameter in memory.parameters {
            func flat(_ tensor: Tensor) -> Tensor { tensor.reshaped([tensor.count]) }
            func part(_ state: OptimizerState) -> Tensor { flat(memory.part(state, of: parameter)) }
            let scales = Self.scales(parameter.shape)
            try encoder.adamW8bit(
                updating: flat(parameter.value), m: part(Self.mean), v: part(Self.square),
                mScales: part(scales.mean), vScales: part(scales.square), gradients: flat(parameter.gradient),
                rates: memory.rates(of: parameter).map(flat), state: state, result: result, label: name)
        }
    }
}
