// What an optimizer works on: parameters, gradients and its states, each state in one buffer. In a state that every parameter has
// a number for each of (`each`), numbers lie where the parameters' own do, so that one dispatch updates all.

import Kernels
import VulkanCompute

package final class OptimizerMemory {
    package let parameters: [AdapterParameter]
    package let values: Tensor  // flat
    package let gradients: Tensor  // flat, the same layout
    /// Multiplies the learning rate of each parameter; nil: 1 everywhere.
    package let rates: Tensor?  // flat, the same layout
    private let buffers: [String: Tensor]
    private let places: [Place: Int]

    private struct Place: Hashable {
        let name: String
        let parameter: Int  // bytes before it in `values`
    }

    /// Buffers of zeros for all states.
    package init(
        _ optimizer: any Optimizer, _ parameters: [AdapterParameter], values: Tensor, gradients: Tensor,
        rates: Tensor?, on device: Device
    ) throws(VulkanError) {
        // The order in which they lie.
        let parameters = parameters.sorted { $0.place(in: values) < $1.place(in: values) }
        var sizes: [String: (count: Int, fill: UInt32)] = [:]
        var places: [Place: Int] = [:]
        for parameter in parameters {
            for state in optimizer.states(of: parameter.shape) {
                let (offset, fill) = sizes[state.name] ?? (0, state.fill)
                places[Place(name: state.name, parameter: parameter.place(in: values))] = offset
                // Each part begins where it may be bound.
                sizes[state.name] = (offset + (state.wordCount(parameter.shape) + 63) / 64 * 64, fill)
            }
        }
        var buffers: [String: Tensor] = [:]
        for (name, size) in sizes.sorted(by: { $0.key < $1.key }) {
            buffers[name] = try device.makeTensor([size.count], label: "\(optimizer.name) \(name)")
        }
        (self.parameters, self.values, self.gradients, self.rates) = (parameters, values, gradients, rates)
        (self.buffers, self.places) = (buffers, places)
        let filled = buffers
        try device.run { encoder throws(VulkanError) in
            for (name, buffer) in filled { try encoder.fill(buffer.slice, value: sizes[name]?.fill ?? 0) }
        }
    }

    /// A state of all parameters that have it.
    package func all(_ name: String) -> Tensor {
        guard let buffer = buffers[name] else { preconditionFailure("no state is called '\(name)'") }
        return buffer
    }

    /// A state of one parameter.
    package func part(_ state: OptimizerState, of parameter: AdapterParameter) -> Tensor {
        let shape = state.deviceShape(parameter.shape)
        guard let offset = places[Place(name: state.name, parameter: parameter.place(in: values))] else {
            preconditionFailure("\(parameter.shape.part) has no state '\(state.name)'")
        }
        return Tensor(
            all(state.name).slice.slice(offset * 4, byteCount: shape.reduce(4, *)), shape: shape)
    }

    package func rates(of parameter: AdapterParameter) -> Tensor? {
        rates.map { Adapter.part(parameter, of: $0, among: values) }
    }
}

extension OptimizerState {
    /// Words of 32 bits for a parameter.
    func wordCount(_ shape: ParameterShape) -> Int { deviceShape(shape).reduce(1, *) }

    /// As it lies on the device: bytes four to a word.
    package func deviceShape(_ shape: ParameterShape) -> [Int] {
        switch storage {
        case .each: [shape.storedRows, shape.storedColumns]
        case .bytes: [shape.storedCount / 4]
        case .numbers(let sizes): sizes
        }
    }

    /// In a file, without padding.
    package func savedShape(_ shape: ParameterShape) -> [Int] {
        switch storage {
        case .each, .bytes: shape.savedShape
        case .numbers(let sizes): sizes
        }
    }

    fileprivate var fill: UInt32 {
        if case .bytes(let zero) = storage { UInt32(zero) * 0x0101_0101 } else { 0 }
    }
}
