// A model read from GGUF, from one safetensors file and from shards is the same model, as transformers reads
// it too.

import Checkpoints
import Foundation
import Testing

@Suite struct CheckpointTests {
    @Test func theFormatsAgree() throws {
        let gguf = try Checkpoint.open(path: fixture("tiny.gguf"))
        let single = try Checkpoint.open(path: fixture("tiny-hf"))
        let sharded = try Checkpoint.open(path: fixture("tiny-hf-sharded"))
        #expect(gguf.spec == single.spec && sharded.spec == single.spec)
        let attention = single.spec.attentions[0]
        #expect(single.spec.blocks.count == 2 && attention.kvHeads == 1 && attention.headSize == 16)
        #expect(gguf.tensors.count == 21)
        for tensor in single.tensors {
            let expected = try tensor.floats()
            #expect(try gguf.tensor(tensor.name).floats() == expected, "\(tensor.name) of the GGUF")
            #expect(try sharded.tensor(tensor.name).floats() == expected, "\(tensor.name) of the shards")
        }
        #expect(
            try gguf.tensor("model.layers.1.self_attn.q_proj.weight").order == .interleavedPairs(headDim: 16))
        #expect(try gguf.tensor("model.layers.1.self_attn.v_proj.weight").order == .asStored)
        #expect(errorText { _ = try single.tensor("x") }?.contains("has no tensor 'x'") == true)
    }

    @Test func aCopyOfAPermutedTensorIsInHuggingFaceOrder() throws {
        try withTemporaryFolder { folder in
            let name = "model.layers.0.self_attn.k_proj.weight"
            let tensor = try Checkpoint.open(path: fixture("tiny.gguf")).tensor(name)
            try SafetensorsWriter.write([TensorSource(tensor)], to: folder + "/k.safetensors")
            let copy = try #require(try SafetensorsFile(folder + "/k.safetensors")[name])
            #expect(copy.type == .f16)
            #expect(try copy.floats() == tensor.floats())
        }
    }

    @Test func theHuggingFaceCacheLayoutIsFollowed() throws {
        try withTemporaryFolder { folder in
            let files = FileManager.default
            let snapshot = folder + "/snapshots/abc"
            try files.createDirectory(atPath: folder + "/snapshots", withIntermediateDirectories: true)
            try copy(fixture("tiny-hf-sharded"), to: folder + "/blobs")
            try files.createDirectory(atPath: snapshot, withIntermediateDirectories: true)
            for name in try files.contentsOfDirectory(atPath: folder + "/blobs") {
                try files.createSymbolicLink(
                    atPath: snapshot + "/" + name, withDestinationPath: "../../blobs/" + name)
            }
            #expect(try Checkpoint.open(path: snapshot).tensors.count == 21)
        }
    }

    @Test func tensorsOfOtherHeadsAreNamedAndLeft() throws {
        try withTemporaryFolder { folder in
            try copy(fixture("tiny-hf"), to: folder + "/model")
            let path = folder + "/model/model.safetensors"
            let own = try SafetensorsFile(path).tensors.map { TensorSource($0) }
            let more = ["score.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"]
            try SafetensorsWriter.write(own + more.map { TensorSource($0, shape: [2], [1, 2]) }, to: path)
            #expect(try Checkpoint.open(path: folder + "/model").unusedTensors.sorted() == more.sorted())
            try SafetensorsWriter.write(
                own + [TensorSource("model.layers.0.self_attn.q_proj.bias", shape: [2], [1, 2])], to: path)
            let text = errorText { _ = try Checkpoint.open(path: folder + "/model") }
            #expect(text?.contains("'model.layers.0.self_attn.q_proj.bias' does not belong") == true)
        }
    }

    @Test func theTokenizerIsFound() throws {
        let gguf = try Checkpoint.open(path: fixture("tiny.gguf"))
        guard case .gguf(let metadata) = try gguf.tokenizerSource() else { return #expect(Bool(false)) }
        #expect(try metadata.optionalString("general.architecture") == "llama")
        try withTemporaryFolder { folder in
            try copy(fixture("tiny-hf"), to: folder + "/model")
            let model = try Checkpoint.open(path: folder + "/model")
            #expect(errorText { _ = try model.tokenizerSource() }?.contains("has no tokenizer.json") == true)
            try put("{}", at: folder + "/model/tokenizer.json")
            try put("{}", at: folder + "/model/tokenizer_config.json")
            guard case .huggingFace(let files) = try model.tokenizerSource() else {
                return #expect(Bool(false))
            }
            #expect(files.tokenizer == folder + "/model/tokenizer.json" && files.generationConfig == nil)
            #expect(files.tokenizerConfig == folder + "/model/tokenizer_config.json")
            #expect(files.modelConfig == folder + "/model/config.json" && files.chatTemplate == nil)
        }
    }

    @Test func ropeScalingEqualsTransformers() throws {
        let fields = try JSONFields(JSON.read(fixture("rope.json")), path: "rope.json")
        let llama3 = RopeScaling.llama3(
            factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 8192)
        for (name, scaling) in [("llama3", llama3), ("linear", RopeScaling.linear(factor: 4))] {
            let ours = scaling.inverseFrequencies(theta: 500_000, size: 64)
            let reference = try fields.array(name)
            #expect(ours.count == 32 && reference.count == 32)
            for (value, expected) in zip(ours, reference) {
                guard case .double(let expected) = expected else {
                    #expect(expected == .integer(1) && value == 1)
                    continue
                }
                #expect(abs(value - expected) <= 1e-6 * expected)
            }
        }
    }

    @Test func ropeFactorsOfAGGUFAreUsed() throws {
        try withTemporaryFolder { folder in
            var builder = GGUFBuilder.llama()
            builder.tensor("rope_freqs.weight", [8])
            builder.dataBytes = 32
            builder.dataByte = 0x40
            try put(builder.bytes, at: folder + "/x.gguf")
            let spec = try ModelSpec(gguf: GGUFFile(folder + "/x.gguf"))
            let factor = Float(bitPattern: 0x4040_4040)
            #expect(spec.attentions[0].rope?.scaling == .divisors([Float](repeating: factor, count: 8)))
        }
        let plain = RopeScaling.none.inverseFrequencies(theta: 10_000, size: 8)
        let divided = RopeScaling.divisors([1, 2, 4, 8]).inverseFrequencies(theta: 10_000, size: 8)
        #expect(zip(plain, divided).map { $0 / $1 } == [1, 2, 4, 8])
    }
}
