// The saved state of a trainer: it goes on to the same bits, and files that are not that state change nothing.

import Checkpoints
import Foundation
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct TrainingStateTests {
    private func trainer(
        _ model: Transformer, rank: Int = 4, dropout: Double = 0.2, seed: UInt64 = 7
    ) throws -> Trainer {
        var optimizer = OptimizerConfig()
        optimizer.weightDecay = 0.1
        return try Trainer(
            model, try Adapter.random(for: model, rank: rank, dropout: dropout), optimizer: optimizer,
            seed: seed)
    }

    private func losses(_ trainer: Trainer, steps: Int) throws -> [Double] {
        try (0..<steps).map { _ in
            try trainer.step([examples([9, 5], seed: UInt64(trainer.step))], learningRate: 1e-2).loss
        }
    }

    /// A loop of one's own: whatever the other trainer was before.
    @Test func aTrainerGoesOnToTheSameBits() throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            let path = "\(folder)/state"
            let first = try trainer(model)
            _ = try losses(first, steps: 3)
            try first.saveState(to: path, notes: ["mine": "words"])
            let saved = try first.adapter.all()
            let expected = try losses(first, steps: 3)
            for before in [0, 2] {
                let second = try trainer(model, seed: 8)
                _ = try losses(second, steps: before)
                let state = try second.loadState(from: path)
                #expect(state.step == 3 && second.step == 3 && state.notes["mine"] == "words")
                #expect(try second.adapter.all() == saved)
                #expect(try losses(second, steps: 3) == expected)
                #expect(try second.adapter.all() == first.adapter.all())
            }
        }
    }

    @Test func theLastGoodParametersAreRestored() throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            let first = try trainer(model)
            _ = try losses(first, steps: 1)
            let before = try first.adapter.all()
            _ = try losses(first, steps: 1)
            try first.saveState(to: "\(folder)/state")
            let second = try trainer(model, seed: 8)
            try second.loadState(from: "\(folder)/state")
            #expect(try second.adapter.all() != before)
            try second.restoreLastGoodParameters()
            #expect(try second.adapter.all() == before)
        }
    }

    @Test func theFileIsOneThatPyTorchWouldWrite() throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            let trainer = try trainer(model, rank: 3)
            _ = try losses(trainer, steps: 1)
            try trainer.saveState(to: "\(folder)/state")
            let file = try SafetensorsFile("\(folder)/state")
            #expect(file.metadata["format"] == "pt" && file.metadata["lora_vk.step"] == "1")
            let all = try trainer.adapter.all()
            #expect(file.tensors.count == 4 * all.count)
            for (key, values) in all {
                let parts = ["", ".exp_avg", ".exp_avg_sq", ".previous"].compactMap { file[key + $0] }
                #expect(parts.count == 4 && parts.allSatisfy { $0.shape == parts[0].shape })
                #expect(try parts.first?.floats() == values)
            }
        }
    }

    // MARK: Bad files

    /// The tensors and metadata of a file, to be written with changes.
    private struct Contents {
        var tensors: [TensorSource]
        var metadata: [String: String]

        init(_ path: String) throws {
            let file = try SafetensorsFile(path)
            tensors = file.tensors.map { TensorSource($0) }
            metadata = file.metadata
        }

        mutating func replace(_ name: String, shape: [Int], _ values: [Float]) {
            tensors.removeAll { $0.name == name }
            tensors.append(TensorSource(name, shape: shape, values))
        }
    }

    @Test func whatIsNotThisStateChangesNothing() throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            let (good, bad) = ("\(folder)/state", "\(folder)/bad")
            let trainer = try trainer(model)
            _ = try losses(trainer, steps: 2)
            try trainer.saveState(to: good)
            _ = try losses(trainer, steps: 1)
            let before = try trainer.adapter.all()
            func refused(_ text: String, _ path: String) throws {
                let error = errorText { try trainer.loadState(from: path) }
                #expect(
                    error?.hasPrefix(path) == true && error?.contains(text) == true,
                    "\(text): \(error ?? "it was loaded")")
                #expect(try trainer.adapter.all() == before && trainer.step == 3)
            }
            func refused(_ text: String, _ change: (inout Contents) -> Void) throws {
                var contents = try Contents(good)
                change(&contents)
                try SafetensorsWriter.write(contents.tensors, metadata: contents.metadata, to: bad)
                try refused(text, bad)
            }
            let key = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
            let shape = [4, 32]
            func zeros(_ first: Float) -> [Float] { [first] + [Float](repeating: 0, count: 127) }
            try refused("'\(key.shortened)' is missing") { $0.tensors.removeAll { $0.name == key } }
            try refused("is missing") { $0.tensors.removeAll { $0.name.hasSuffix(".exp_avg_sq") } }
            try refused("of shape [32, 4], expected F32 of [4, 32]") {
                $0.replace(key, shape: [32, 4], zeros(0))
            }
            try refused("expected F32") { contents in
                contents.tensors.removeAll { $0.name == key }
                contents.tensors.append(
                    TensorSource(key, .f16, shape: shape) { (emit) throws(FileError) in
                        let halves = [UInt16](repeating: 0, count: 128)
                        try halves.withUnsafeBufferPointer { (halves) throws(FileError) in
                            try emit(UnsafeRawBufferPointer(halves))
                        }
                    })
            }
            for value in [Float.nan, .infinity] {
                try refused("holds values that it cannot have") {
                    $0.replace(key, shape: shape, zeros(value))
                }
            }
            try refused("holds values that it cannot have") {
                $0.replace(key + ".exp_avg_sq", shape: shape, zeros(-1))
            }
            try refused("'extra' is none of this adapter's") { $0.replace("extra", shape: [1], [1]) }
            for number in ["nan", "", "-1", "1.5", "0x10", "99999999999999999999999"] {
                for name in ["step", "passes", "seed"] {
                    try refused("'lora_vk.\(name)' is '\(number)', expected an integer from 0 to") {
                        $0.metadata["lora_vk.\(name)"] = number
                    }
                }
            }
            try refused("'lora_vk.step' is '', expected an integer from 0 to 4294967295") {
                $0.metadata["lora_vk.step"] = nil
            }
            try refused("is no training state") { $0.metadata = ["format": "pt"] }
            try refused("has the version '2', this program reads 1") { $0.metadata["lora_vk.state"] = "2" }
            try refused("No such file or directory", "\(folder)/none")

            // An adapter, another adapter's state, and a file cut anywhere.
            try trainer.adapter.save(to: "\(folder)/adapter")
            try refused("is no training state", "\(folder)/adapter/\(AdapterFiles.weightsName)")
            let other = try self.trainer(model, rank: 5)
            try other.saveState(to: bad)
            try refused("of shape [5, 32], expected F32 of [4, 32]", bad)
            let whole = try contents(good)
            for length in [0, 7, 8, 9, 100, 5000, whole.count / 2, whole.count - 4, whole.count - 1] {
                try AtomicFile.write(Array(whole.prefix(length)), to: bad)
                try refused("bytes", bad)
            }
            // Damage in the header is refused or read, and never crashes.
            var random = RandomValues(seed: 3)
            for _ in 0..<300 {
                var damaged = whole
                damaged[Int.random(in: 0..<6000, using: &random)] = UInt8.random(in: 0...255, using: &random)
                try AtomicFile.write(damaged, to: bad)
                _ = errorText { _ = try TrainingState(SafetensorsFile(bad), for: trainer) }
            }
            try trainer.loadState(from: good)
            #expect(trainer.step == 2)
        }
    }

    /// Every file operation fails in turn: the old state stays, and no part of a new one.
    @Test func aStateIsSavedWholeOrNotAtAll() throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            let path = "\(folder)/state"
            let trainer = try trainer(model)
            let counter = FileFaults(failing: .max)
            try FileFaults.$active.withValue(counter) { try trainer.saveState(to: path) }
            let old = try contents(path)
            _ = try losses(trainer, steps: 1)
            for nth in 1...counter.counted {
                let text = FileFaults.$active.withValue(FileFaults(failing: nth)) {
                    errorText { try trainer.saveState(to: path) }
                }
                #expect(text?.contains("No space left on device") == true)
                #expect(try FileSystem.names(in: folder) == ["state"])
                // The last operations make the new name durable.
                #expect(try nth > counter.counted - 2 || contents(path) == old, "operation \(nth)")
            }
        }
    }

    @Test func whatDivergedIsNotSaved() throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            let trainer = try trainer(model)
            let layer = trainer.adapter.layers[0]
            try trainer.adapter.set(
                layer, .loraA, to: [Float](repeating: .nan, count: layer[.loraA].shape.count))
            let text = errorText { try trainer.saveState(to: "\(folder)/state") }
            #expect(text?.contains("holds values that are not finite, and was not saved") == true)
            #expect(try FileSystem.names(in: folder).isEmpty)
        }
    }
}
