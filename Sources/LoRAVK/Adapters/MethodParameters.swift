// What a method trains in each layer, how it starts, and which tensors it computes from that.

import Kernels
import VulkanCompute

package protocol MethodParameters: Sendable {
    /// The parameters of a layer, in their order in the flat buffer.
    func parameters(of module: AdapterModuleShape) -> [ParameterShape]
    /// Multiplies the learning rate of a parameter. 0 freezes it.
    func learningRate(of part: Adapter.Part) -> Double
    /// First values of a layer's parameters, for the ranks that train. A parameter that is left out starts at zero.
    func start(
        _ site: InitialSite, _ initialization: LoRAInitialization, using random: inout RandomNumbers
    ) throws -> [Adapter.Part: [Float]]

    /// Matrices that never train and that all layers share. Each layer uses the top-left block of this shape.
    func shared(with module: AdapterModuleShape) -> [ParameterShape]
    /// Sets the first values of the whole shared matrices. They come filled with zeros.
    func startShared(_ matrices: inout [Adapter.Part: SharedMatrix], seed: UInt64)

    /// Tensors that never change and follow from the layer's shape alone, by name. Layers share equal ones.
    func fixedTensors(of module: AdapterModuleShape) -> [String: FixedTensor]
    /// Shapes of extra tensors that the method computes from its parameters or from W, by name.
    func derivedTensors(of module: AdapterModuleShape) -> [String: [Int]]
    /// Values of those that never change: they follow from W.
    func constants(_ base: InitialSite.Base, of module: AdapterModuleShape) throws -> [String: [Float]]
    /// Records the computation of the others. It runs before the first pass after the parameters have changed.
    func updateDerivedTensors(
        _ layer: LoRALayer, around base: Linear, _ encoder: CommandEncoder, _ arena: Arena
    ) throws(VulkanError)
    /// Records changes to the gradients of a step, before their norm is taken and the optimizer sees them.
    func transformGradients(_ layer: LoRALayer, _ encoder: CommandEncoder) throws(VulkanError)
}

extension MethodParameters {
    package func parameters(of module: AdapterModuleShape) -> [ParameterShape] {
        [.loraA(module), .loraB(module)]
    }

    package func learningRate(of part: Adapter.Part) -> Double { 1 }

    package func start(
        _ site: InitialSite, _ initialization: LoRAInitialization, using random: inout RandomNumbers
    ) throws -> [Adapter.Part: [Float]] {
        try initialization.matrices(site, using: &random)
    }

    package func shared(with module: AdapterModuleShape) -> [ParameterShape] { [] }
    package func startShared(_ matrices: inout [Adapter.Part: SharedMatrix], seed: UInt64) {}

    package func fixedTensors(of module: AdapterModuleShape) -> [String: FixedTensor] { [:] }
    package func derivedTensors(of module: AdapterModuleShape) -> [String: [Int]] { [:] }
    package func constants(
        _ base: InitialSite.Base, of module: AdapterModuleShape
    ) throws -> [String: [Float]] { [:] }
    package func updateDerivedTensors(
        _ layer: LoRALayer, around base: Linear, _ encoder: CommandEncoder, _ arena: Arena
    ) throws(VulkanError) {}
    package func transformGradients(_ layer: LoRALayer, _ encoder: CommandEncoder) throws(VulkanError) {}
}

/// A tensor of numbers that never change.
package struct FixedTensor: Sendable, Hashable {
    package let shape: [Int]
    package let values: [Float]

    package static func ones(_ count: Int) -> FixedTensor {
        FixedTensor(shape: [count], values: [Float](repeating: 1, count: count))
    }

    package static func identity(_ rows: Int) -> FixedTensor {
        FixedTensor(
            shape: [rows, rows], values: (0..<rows * rows).map { $0 % (rows + 1) == 0 ? 1 : 0 })
    }
}
