// The exact state of a trainer between two steps, in one safetensors file: parameters by their keys in PEFT's files, what the
// optimizer keeps behind their key by PyTorch's names (AdamW's `<key>.exp_avg` and `<key>.exp_avg_sq`), the parameters before the
// last step as `<key>.previous`; the optimizer's name, steps, passes and seed in the metadata. A trainer that goes on from it
// computes the same bits as the one that saved it.

import Checkpoints
import Kernels
import VulkanCompute

/// A saved state, checked against a trainer: what is here can be restored.
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
    private static let optimizerKey = "lora_vk.optimizer"

    /// Checks a file, from anywhere, for `trainer`.
    package init(_ file: SafetensorsFile, for trainer: Trainer) throws(FileError) {
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
        // The first programs that wrote it knew no other.
        let optimizer = file.metadata[Self.optimizerKey] ?? AdamW().name
        guard optimizer == trainer.optimizer.optimizer.name else {
            throw FileError(
                path,
                "is the state of the optimizer '\(optimizer.shortened)', and this trainer's is "
                    + "'\(trainer.optimizer.optimizer.name)'",
                remedy: "go on with the optimizer that it was saved with")
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
        try check(trainer)
    }

    private func check(_ trainer: Trainer) throws(FileError) {
        func wrong(_ name: String, _ message: String) -> FileError {
            FileError(
                path, "the tensor '\(name.shortened)' \(message)", tensor: name,
                remedy: "the file is damaged, or belongs to an adapter with other options")
        }
        var names: Set<String> = []
        for entry in trainer.savedEntries {
            let name = entry.name
            names.insert(name)
            guard let tensor = file[name] else { throw wrong(name, "is missing") }
            guard tensor.type == entry.type, tensor.shape == entry.shape else {
                throw wrong(
                    name,
                    "is \(tensor.type.name) of shape \(tensor.shape), expected \(entry.type.name) of \(entry.shape)"
                )
            }
            guard try entry.isGood(tensor) else {
                throw wrong(name, "holds values that it cannot have")
            }
        }
        if let tensor = file.tensors.first(where: { !names.contains($0.name) }) {
            throw wrong(tensor.name, "is none of this adapter's")
        }
    }

    fileprivate func values(_ entry: SavedEntry) throws(FileError) -> StoredTensor? { file[entry.name] }

    fileprivate static func metadata(_ trainer: Trainer, _ notes: [String: String]) -> [String: String] {
        let own = [
            versionKey: version, stepKey: "\(trainer.step)", passKey: "\(trainer.hostState.pass)",
            seedKey: "\(trainer.hostState.seed)", optimizerKey: trainer.optimizer.optimizer.name,
        ]
        return SafetensorsWriter.pytorch.merging(notes) { $1 }.merging(own) { $1 }
    }
}

/// A tensor of the file, and where it lies on the device.
private struct SavedEntry {
    let name: String
    let type: StorageType
    let shape: [Int]
    let tensor: Tensor
    /// Of the parameter that it lies as; nil for what has no padding.
    let layout: ParameterShape?
    var isSquare = false
    /// The byte of what is padding.
    var zero: UInt8 = 0

    func holds(_ value: Float) -> Bool { value.isFinite && (!isSquare || value >= 0) }

    /// Bytes may be any.
    func isGood(_ stored: StoredTensor) throws(FileError) -> Bool {
        type != .f32 ? true : try stored.floats().allSatisfy(holds)
    }

    /// The bytes of the file from the device.
    func read(_ device: Device) throws(VulkanError) -> [UInt8] {
        if type == .u8 {
            let bytes = try device.download(tensor.slice, as: UInt8.self)
            return layout?.unpadded(bytes) ?? bytes
        }
        let values = try device.values(tensor)
        return (layout?.unpadded(values) ?? values).withUnsafeBytes(Array.init)
    }

    func restore(_ stored: StoredTensor, _ device: Device) throws {
        if type == .u8 {
            var bytes: [UInt8] = []
            try stored.eachPiece { (piece) throws(FileError) in bytes += piece }
            try device.upload(layout?.padded(bytes, with: zero) ?? bytes, into: tensor.slice)
        } else {
            let values = try stored.floats()
            try device.upload(layout?.padded(values, with: 0) ?? values, into: tensor.slice)
        }
    }
}

extension Trainer {
    fileprivate var savedEntries: [SavedEntry] {
        adapter.namedParameters.flatMap { entries($0.key, $0.parameter) }
    }

    fileprivate var parameterEntries: [SavedEntry] {
        adapter.namedParameters.map { key, parameter in
            SavedEntry(
                name: key, type: .f32, shape: parameter.shape.savedShape, tensor: parameter.value,
                layout: parameter.shape)
        }
    }

    private func entries(_ key: String, _ parameter: AdapterParameter) -> [SavedEntry] {
        let shape = parameter.shape
        func each(_ name: String, _ tensor: Tensor) -> SavedEntry {
            SavedEntry(name: name, type: .f32, shape: shape.savedShape, tensor: tensor, layout: shape)
        }
        let states = optimizer.optimizer.states(of: shape).filter(\.isSaved).map { state in
            let part = optimizer.memory.part(state, of: parameter)
            let (type, layout, zero): (StorageType, ParameterShape?, UInt8) =
                switch state.storage {
                case .each: (.f32, shape, 0)
                case .bytes(let zero): (.u8, shape, zero)
                case .numbers: (.f32, nil, 0)
                }
            return SavedEntry(
                name: "\(key).\(state.name)", type: type, shape: state.savedShape(shape), tensor: part,
                layout: layout, isSquare: state.isSquare, zero: zero)
        }
        return [each(key, parameter.value)] + states
            + [each("\(key).previous", adapter.part(parameter, of: optimizer.previous))]
    }

    /// Writes what the next step depends on; the file appears when it is complete. Gradients that no step has used yet are not saved.
    package func saveState(to path: String, notes: [String: String] = [:]) throws {
        try write(savedEntries, metadata: TrainingState.metadata(self, notes), to: path)
    }

    /// Writes the parameters alone, exactly.
    func saveParameters(to path: String) throws {
        try write(parameterEntries, metadata: SafetensorsWriter.pytorch, to: path)
    }

    /// Takes parameters back that `saveParameters` wrote.
    func loadParameters(from path: String) throws {
        let file = try SafetensorsFile(path)
        let stored = try parameterEntries.map { entry in
            guard let tensor = file[entry.name], tensor.type == entry.type, tensor.shape == entry.shape,
                try entry.isGood(tensor)
            else { throw FileError(path, "does not hold the parameters of this adapter") }
            return (entry, tensor)
        }
        for (entry, tensor) in stored { try entry.restore(tensor, model.device) }
        adapter.parametersChanged()
    }

    private func write(_ entries: [SavedEntry], metadata: [String: String], to path: String) throws {
        // A tensor is read from the device when its turn to be written comes.
        var failure: (any Error)?
        let tensors = entries.map { entry in
            TensorSource(entry.name, entry.type, shape: entry.shape) { [model] (emit) throws(FileError) in
                let bytes: [UInt8]
                do {
                    bytes = try entry.read(model.device)
                    let isGood =
                        entry.type != .f32
                        || bytes.withUnsafeBytes { $0.bindMemory(to: Float.self).allSatisfy(entry.holds) }
                    guard isGood else {
                        throw DivergenceError(
                            description:
                                "'\(entry.name)' holds values that are not finite, and was not saved; "
                                + "try a smaller learning rate")
                    }
                } catch {
                    failure = error
                    throw FileError(path, "cannot be written: \(error)")
                }
                try bytes.withUnsafeBufferPointer { (bytes) throws(FileError) in
                    try emit(UnsafeRawBufferPointer(bytes))
                }
            }
        }
        do {
            try SafetensorsWriter.write(tensors, metadata: metadata, to: path)
        } catch { throw failure ?? error }
    }

    /// Goes on where a saved state was: its parameters, optimizer, passes and seed instead of the trainer's own.
    package func restore(_ state: TrainingState) throws {
        for entry in savedEntries {
            guard let stored = try state.values(entry) else { continue }
            try entry.restore(stored, model.device)
        }
        optimizer.resume(after: state.step)
        (hostState.pass, hostState.seed) = (state.pass, state.seed)
    }

    /// Checks all of a file before anything changes, and restores it.
    @discardableResult
    package func loadState(from path: String) throws -> TrainingState {
        let state = try TrainingState(SafetensorsFile(path), for: self)
        try restore(state)
        return state
    }
}
