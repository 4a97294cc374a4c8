// Files of mixtures of experts: what is missing or counted otherwise is named, and experts stay as their file has quantised them.

import Checkpoints
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct ExpertModelTests {
    private let config: JSON.Object = ["hidden_size": .integer(256), "moe_intermediate_size": .integer(256)]

    private func tensors(_ folder: String) throws -> [StoredTensor] {
        try Checkpoint.open(path: folder).storedTensors
    }

    @Test func aMissingExpertIsNamed() throws {
        try withTemporaryFolder { folder in
            try TinyCheckpoint(Qwen3MoE()).writeFolder(folder)
            let name = "model.layers.1.mlp.experts.4.down_proj.weight"
            let others = try tensors(folder).filter { $0.name != name }.map { TensorSource($0) }
            try SafetensorsWriter.write(others, to: "\(folder)/model.safetensors")
            let text = errorText { _ = try Checkpoint.open(path: folder) }
            #expect(text?.contains("'\(name)' is missing") == true, "\(text ?? "")")
        }
    }

    @Test(arguments: [(5, "'model.layers.0.mlp.experts.5.down_proj.weight' does not belong"), (7, "missing")])
    func anotherCountIsRefused(_ count: Int, _ words: String) throws {
        try withTemporaryFolder { folder in
            try TinyCheckpoint(Qwen3MoE()).writeFolder(folder)
            let other = TinyCheckpoint(Qwen3MoE(), ["num_experts": .integer(count)])
            try AtomicFile.write(JSON.object(other.config).text(.python), to: "\(folder)/config.json")
            let text = errorText { _ = try Checkpoint.open(path: folder) }
            #expect(text?.contains(words) == true && text?.contains("mlp.experts.") == true, "\(text ?? "")")
        }
        try withTemporaryFolder { folder in
            try TinyCheckpoint(Qwen3MoE()).writeGGUF("\(folder)/a.gguf")
            let file = try GGUFFile("\(folder)/a.gguf")
            var metadata = file.metadata
            metadata.set("qwen3moe.expert_count", .uint32(UInt32(count)))
            try GGUFWriter.write(
                file.tensors.map { TensorSource($0) }, metadata: metadata, to: "\(folder)/b.gguf")
            let text = errorText { _ = try Checkpoint.open(path: "\(folder)/b.gguf") }
            #expect(
                text?.contains("'blk.0.ffn_gate_exps.weight' has the shape [6, 24, 32]") == true,
                "\(text ?? "")")
        }
    }

    @Test func scoresOfAnotherKindAreRefused() throws {
        try withTemporaryFolder { folder in
            try TinyCheckpoint(Qwen3MoE()).writeGGUF("\(folder)/a.gguf")
            let file = try GGUFFile("\(folder)/a.gguf")
            var metadata = file.metadata
            metadata.set("qwen3moe.expert_gating_func", .uint32(2))
            try GGUFWriter.write(
                file.tensors.map { TensorSource($0) }, metadata: metadata, to: "\(folder)/b.gguf")
            let text = errorText { _ = try Checkpoint.open(path: "\(folder)/b.gguf") }
            #expect(text?.contains("'qwen3moe.expert_gating_func' is the uint32 2") == true, "\(text ?? "")")
        }
    }

    /// On the device they take the file's bits, and give the losses, gradients and tokens of the same numbers in f32.
    @Test(arguments: [StorageType.q4_K, .q6_K, .q8_0])
    func quantisedExpertsStayAsTheyAre(_ type: StorageType) throws {
        try withTemporaryFolder { folder in
            let random = try RandomModel(config: TinyCheckpoint(Qwen3MoE(), config).config)
            try random.writeGGUF(to: "\(folder)/a.gguf") { tensor, _ in
                tensor.ggufName.contains("_exps") ? type : .f32
            }
            let checkpoint = try Checkpoint.open(path: "\(folder)/a.gguf")
            let device = try TestDevices.main
            let kept = try Transformer.load(checkpoint, device: device)
            let floats = try Transformer.load(checkpoint, device: device, weights: .f32)
            let numbers = checkpoint.tensors.filter { $0.type == type }.reduce(0) { $0 + $1.count }
            let saved = Double(floats.weightByteCount - kept.weightByteCount) / Double(numbers)
            let bits = [StorageType.q4_K: 4.625, .q6_K: 6.625, .q8_0: 8.5]
            #expect(saved == (32 - bits[type, default: 0]) / 8)

            let batch = examples([24, 9], prompt: 1)
            var results: [(loss: Double, gradients: [String: [Float]], step: [Float])] = []
            for model in [kept, floats] {
                let adapter = try Adapter.random(for: model, rank: 8)
                let loss = try Evaluator(model, adapter).evaluate(batch).lossSum
                let generator = try Generator(model, adapter, capacity: 12)
                _ = try generator.append(Array(batch[0].tokens[..<11]))
                let step = try generator.append([batch[0].tokens[11]])
                results.append((loss, try gradients(model, adapter, [batch]), step))
            }
            #expect(isClose(results[0].loss, results[1].loss, 1e-5))
            #expect(relativeDifference(results[0].gradients, results[1].gradients) < 3e-4)
            let tolerance = Tolerance(absolute: 3e-4, relative: 3e-4)
            #expect(mismatch(results[0].step, results[1].step.doubles, tolerance) == nil)
        }
    }
}
