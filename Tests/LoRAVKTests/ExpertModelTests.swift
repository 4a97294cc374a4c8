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
    @Test(arguments: [StorageType.q4_K, .q6_K, .q8_0, .mxfp4])
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
            let bits = [StorageType.q4_K: 4.625, .q6_K: 6.625, .q8_0: 8.5, .mxfp4: 4.25]
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

    /// A folder with gate and up of bytes in one tensor is the model of their numbers.
    @Test func foldersInMXFP4AreTheSameModel() throws {
        let config: JSON.Object = [
            "intermediate_size": .integer(64),
            "quantization_config": .object(["quant_method": .string("mxfp4")]),
        ]
        try withTemporaryFolder { folder in
            let packed = TinyCheckpoint(GptOss(), config)
            let plain = TinyCheckpoint(GptOss(), ["intermediate_size": .integer(64)])
            try plain.writeFolder(folder)
            let others = try tensors(folder)
            let experts = try packed.spec.experts
            var random = RandomValues(seed: 40)
            var sources = others.filter { !$0.name.hasSuffix("_proj") }.map { TensorSource($0) }
            var numbers: [String: [Float]] = [:]
            for matrix in experts.flatMap({ [$0.gate, $0.down] }) {
                guard case .rows(let joined, _, _) = matrix.stored else { continue }
                let (rows, blocks) = (matrix.count * joined.rows, matrix.inFeatures / 32)
                let scales = (0..<rows * blocks).map { _ in UInt8.random(in: 120...125, using: &random) }
                let bytes = (0..<rows * blocks * 16).map { _ in UInt8.random(in: 0...255, using: &random) }
                sources.append(source(joined.blocksName, [matrix.count, joined.rows, blocks, 16], bytes))
                sources.append(source(joined.scalesName, [matrix.count, joined.rows, blocks], scales))
                let twice: [Float] = [0, 1, 2, 3, 4, 6, 8, 12, -0.0, -1, -2, -3, -4, -6, -8, -12]
                numbers[joined.name] = (0..<rows * blocks * 32).map { at in
                    let byte = bytes[at / 2]
                    let exponent = Int(scales[at / 32]) - 128
                    return twice[Int(at % 2 == 0 ? byte & 15 : byte >> 4)]
                        * Float(sign: .plus, exponent: exponent, significand: 1)
                }
            }
            let device = try TestDevices.main
            try AtomicFile.write(JSON.object(packed.config).text(.python), to: "\(folder)/config.json")
            try SafetensorsWriter.write(sources, to: "\(folder)/model.safetensors")
            let checkpoint = try Checkpoint.open(path: folder)
            for matrix in experts.flatMap({ [$0.gate, $0.up, $0.down] }) {
                guard case .rows(let joined, let first, let step) = matrix.stored else { continue }
                let stored = try checkpoint.experts(matrix)
                for expert in 0..<matrix.count {
                    var got = [Float](repeating: 0, count: matrix.outFeatures * matrix.inFeatures)
                    let bytes = try stored.bytes(of: expert)
                    bytes.withUnsafeBytes { bytes in
                        got.withUnsafeMutableBufferPointer { stored.type(of: expert).decode(bytes, into: $0) }
                    }
                    let whole = try #require(numbers[joined.name])
                    let wanted = (0..<matrix.outFeatures).flatMap { row in
                        let start = (expert * joined.rows + first + row * step) * matrix.inFeatures
                        return whole[start..<start + matrix.inFeatures]
                    }
                    #expect(got == Array(wanted))
                }
            }
            let kept = try Transformer.load(checkpoint, device: device)
            let floats = try Transformer.load(checkpoint, device: device, weights: .f32)
            let batch = examples([24, 9], prompt: 1)
            let losses = try [kept, floats].map { try Evaluator($0, nil).evaluate(batch).lossSum }
            #expect(isClose(losses[0], losses[1], 1e-5))
            #expect(kept.weightByteCount < floats.weightByteCount / 2)
        }
    }

    private func source(_ name: String, _ shape: [Int], _ bytes: [UInt8]) -> TensorSource {
        TensorSource(name, .u8, shape: shape) { (emit) throws(FileError) in
            try bytes.withUnsafeBufferPointer { (bytes) throws(FileError) in
                try emit(UnsafeRawBufferPointer(bytes))
            }
        }
    }
}
