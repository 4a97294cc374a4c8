// The exact state of a trainer between two steps, in one safetensors file: parameters by their keys in PEFT's files, AdamW's averages
// as `<key>.exp_avg` and `<key>.exp_avg_sq` (PyTorch's names), the parameters before the last step as `<key>.previous`, steps, passes
// and seed in the metadata. A trainer that goes on from it computes the same bits as the one that saved it.

import Checkpoints
import Kernels
import VulkanCompute

/// A saved state, checked against an adapter: what is here can be restored.
package struct TrainingState {
    /// In the folder of a run.
    package static let fileName = "training_state.safetensors"

    package let path: String
    /// Steps that the optimizer had taken.
    package let step: Int
    /// What whoever saved it wrote beside the state.
    package let notes: [String: String]
    let pass: UInt32
    let seed: UInt64
    private let file: SafetensorsFile

    private static let version = "1"
    private static let (versionKey, stepKey) = ("lora_vk.state", "lora_vk.step")
    private static let (passKey, seedKey) = ("lora_vk.passes", "lora_vk.seed")

    /// Checks a file, from anywhere, for `adapter`.
    package init(_ file: SafetensorsFile, for adapter: Adapter) throws(FileError) {
        let path = file.path
        guard let version = file.metadata[Self.versionKey] else {
            throw FileError(
                path, "is no training state: it lacks '\(Self.versionKey)'",
                remedy: "name a \(Self.fileName)")
        }
        guard version == Self.version else {
            throw FileError(
                path, "has the version '\(version.shortened)', this program reads \(Self.version)",
                remedy: "go on with the program that wrote it")
        }
        func number<Number: FixedWidthInteger>(_ key: String) throws(FileError) -> Number {
            let text = file.metadata[key] ?? ""
            if let number = Number(text) { return number }
            throw FileError(
                path, "'\(key)' is '\(text.shortened)', expected an integer from 0 to \(Number.max)")
        }
        step = Int(try number(Self.stepKey) as UInt32)
        pass = try number(Self.passKey)
        seed = try number(Self.seedKey)
        notes = file.metadata
        (self.path, self.file) = (path, file)
        try check(adapter)
    }

    private func check(_ adapter: Adapter) throws(FileError) {
        func wrong(_ name: String, _ message: String) -> FileError {
            FileError(
                path, "the tensor '\(name.shortened)' \(message)", tensor: name,
                remedy: "the file is damaged, or belongs to an adapter with other options")
        }
        var names: Set<String> = []
        for (layer, parameter) in adapter.allParameters {
            for entry in Entry.allCases {
                let name = entry.key(layer, parameter)
                names.insert(name)
                guard let tensor = file[name] else { throw wrong(name, "is missing") }
                guard tensor.type == .f32, tensor.shape == parameter.shape.savedShape else {
                    throw wrong(
                        name,
                        "is \(tensor.type.name) of shape \(tensor.shape), expected F32 of \(parameter.shape.savedShape)"
                    )
                }
                guard try tensor.floats().allSatisfy(entry.holds) else {
                    throw wrong(name, "holds values that it cannot have")
                }
            }
        }
        if let tensor = file.tensors.first(where: { !names.contains($0.name) }) {
            throw wrong(tensor.name, "is none of this adapter's")
        }
    }

    /// What there is of each parameter.
    enum Entry: String, CaseIterable {
        case value = ""
        case mean = ".exp_avg"
        case square = ".exp_avg_sq"
        case previous = ".previous"

        func key(_ layer: LoRALayer, _ parameter: AdapterParameter) -> String {
            layer.key(parameter.shape.part) + rawValue
        }

        func holds(_ value: Float) -> Bool { value.isFinite && (self != .square || value >= 0) }

        func tensor(_ parameter: AdapterParameter, _ trainer: Trainer) -> Tensor {
            switch self {
            case .value: parameter.value
            case .mean: trainer.adapter.part(parameter, of: trainer.optimizer.m)
            case .square: trainer.adapter.part(parameter, of: trainer.optimizer.v)
            case .previous: trainer.adapter.part(parameter, of: trainer.optimizer.previous)
            }
        }
    }

    fileprivate func values(
        _ entry: Entry, _ layer: LoRALayer, _ parameter: AdapterParameter
    ) throws(FileError) -> [Float]? {
        try file[entry.key(layer, parameter)]?.floats()
    }

    fileprivate static func metadata(_ trainer: Trainer, _ notes: [String: String]) -> [String: String] {
        let own = [
            versionKey: version, stepKey: "\(trainer.step)", passKey: "\(trainer.hostState.pass)",
            seedKey: "\(trainer.hostState.seed)",
        ]
        return SafetensorsWriter.pytorch.merging(notes) { $1 }.merging(own) { $1 }
    }
}

extension Adapter {
    fileprivate var allParameters: [(layer: LoRALayer, parameter: AdapterParameter)] {
        layers.flatMap { layer in layer.parameters.map { (layer, $0) } }
    }
}

extension Trainer {
    /// Writes what the next step depends on; the file appears when it is complete. Gradients that no step has used yet are not saved.
    package func saveState(to path: String, notes: [String: String] = [:]) throws {
        // A tensor is read from the device when its turn to be written comes.
        var failure: (any Error)?
        let tensors = adapter.allParameters.flatMap { layer, parameter in
            TrainingState.Entry.allCases.map { entry in
                let name = entry.key(layer, parameter)
                return TensorSource(name, .f32, shape: parameter.shape.savedShape) {
                    [model] (emit) throws(FileError) in
                    let values: [Float]
                    do {
                        values = parameter.shape.unpadded(
                            try model.device.values(entry.tensor(parameter, self)))
                        guard values.allSatisfy(entry.holds) else {
                            throw DivergenceError(
                                description: "'\(name)' holds values that are not finite, and was not saved; "
                                    + "try a smaller learning rate")
                        }
                    } catch {
                        failure = error
                        throw FileError(path, "cannot be written: \(error)")
                    }
                    try TensorSource(name, shape: parameter.shape.savedShape, values).produce(emit)
                }
            }
        }
        do {
            try SafetensorsWriter.write(tensors, metadata: TrainingState.metadata(self, notes), to: path)
        } catch { throw failure ?? error }
    }

    /// Goes on where a saved state was: its parameters, optimizer, passes and seed instead of the trainer's own.
    package func restore(_ state: TrainingState) throws {
        for (layer, parameter) in adapter.allParameters {
            for entry in TrainingState.Entry.allCases {
                guard let values = try state.values(entry, layer, parameter) else { continue }
                try model.device.upload(
                    parameter.shape.padded(values), into: entry.tensor(parameter, self).slice)
            }
        }
        optimizer.resume(after: state.step)
        (hostState.pass, hostState.seed) = (state.pass, state.seed)
    }

    /// Checks all of a file before anything changes, and restores it.
    @discardableResult
    package func loadState(from path: String) throws -> TrainingState {
        let state = try TrainingState(SafetensorsFile(path), for: adapter)
        try restore(state)
        return state
    }
}
