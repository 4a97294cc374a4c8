// Every bad file is refused with its sentence; what is odd but legal loads.

import Checkpoints
import Testing

private let corpus = badGGUFFiles + badSafetensorsFiles + badJSONFiles + badAdapterFiles

@Suite struct BadFilesTests {
    @Test(arguments: corpus)
    func isRefused(_ bad: BadFile) throws {
        try withTemporaryFolder { folder in
            let text = errorText { try bad.open(folder) }
            let error = try #require(text, "'\(bad.name)' was accepted")
            #expect(error.contains(bad.expected))
            #expect(!error.contains("\n"))
            #expect(error.hasPrefix("/") || error.hasPrefix("x.json"), "the error names no file")
        }
    }

    @Test func theCorpusIsCounted() {
        print(
            "bad files refused: \(corpus.count) (GGUF \(badGGUFFiles.count), safetensors \(badSafetensorsFiles.count), "
                + "JSON and config \(badJSONFiles.count), adapters \(badAdapterFiles.count))"
        )
        #expect(Set(corpus.map(\.name)).count == corpus.count)
        #expect(corpus.count >= 150)
    }

    @Test func zeroSizedTensorsOfGGUFLoad() throws {
        try withTemporaryFolder { folder in
            var builder = GGUFBuilder()
            builder.tensor("none", [0])
            builder.tensor("no rows", [32, 0], type: 2, offset: 32)
            builder.tensor("four", [4], offset: 0)
            builder.tensor("scalar", [], offset: 32)
            builder.dataBytes = 36
            try put(builder.bytes, at: folder + "/x.gguf")
            let file = try GGUFFile(folder + "/x.gguf")
            #expect(file.tensors.map(\.shape) == [[0], [0, 32], [4], []])
            #expect(try file.tensors.map { try $0.floats().count } == [0, 0, 4, 1])
            try put(GGUFBuilder().bytes, at: folder + "/empty.gguf")
            #expect(try GGUFFile(folder + "/empty.gguf").tensors.isEmpty)
        }
    }

    @Test func everyMetadataTypeOfGGUFIsRead() throws {
        try withTemporaryFolder { folder in
            var builder = GGUFBuilder()
            builder.version = 2
            builder.key("u8", type: 0, [200])
            builder.key("i8", type: 1, [200])
            builder.key("u16", type: 2, [1, 2])
            builder.key("i16", type: 3, [255, 255])
            builder.key("u32", UInt32.max)
            builder.key("i32", type: 5, littleEndian(Int32(-7)))
            builder.key("f32", Float(0.5))
            builder.key("bool", type: 7, [1])
            builder.key("string", "é")
            builder.key("u64", type: 10, littleEndian(UInt64.max))
            builder.key("i64", type: 11, littleEndian(Int64.min))
            builder.key("f64", type: 12, littleEndian((0.25).bitPattern))
            let inner = littleEndian(UInt32(1)) + littleEndian(UInt64(2)) + [1, 255]
            builder.key("nested", type: 9, littleEndian(UInt32(9)) + littleEndian(UInt64(1)) + inner)
            builder.key("none", type: 9, littleEndian(UInt32(8)) + littleEndian(UInt64(0)))
            try put(builder.bytes, at: folder + "/x.gguf")
            let metadata = try GGUFFile(folder + "/x.gguf").metadata
            let expected: [GGUFValue] = [
                .uint8(200), .int8(-56), .uint16(513), .int16(-1), .uint32(.max), .int32(-7), .float32(0.5),
                .bool(true),
                .string("é"), .uint64(.max), .int64(.min), .float64(0.25),
                .array(.array, [.array(.int8, [.int8(1), .int8(-1)])]), .array(.string, []),
            ]
            #expect(metadata.entries.map(\.value) == expected)
            #expect(metadata["u64"]?.integer == nil && metadata["i64"]?.integer == .min)
        }
    }

    @Test func zeroSizedTensorsOfSafetensorsLoad() throws {
        try withTemporaryFolder { folder in
            let header = #"""
                {"a":{"dtype":"F32","shape":[0,4],"data_offsets":[4,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                 "c":{"dtype":"F16","shape":[0],"data_offsets":[0,0]},"__metadata__":{}}
                """#
            try put(safetensors(header, data: 4), at: folder + "/x.safetensors")
            let file = try SafetensorsFile(folder + "/x.safetensors")
            #expect(file.tensors.map(\.name) == ["c", "b", "a"])
            #expect(file["a"]?.shape == [0, 4] && file["a"]?.rows == 0)
            try put(safetensors("{}"), at: folder + "/empty.safetensors")
            #expect(try SafetensorsFile(folder + "/empty.safetensors").tensors.isEmpty)
        }
    }

    @Test func headsMayNotDivideTheWidthWithAHeadSize() throws {
        let fields = try JSONFields(JSON.read(fixture("tiny-hf/config.json")), path: "config.json")
        var object = fields.object
        object["num_attention_heads"] = .integer(3)
        object["head_dim"] = .integer(8)
        object["pad_token_id"] = .integer(-1)
        object["eos_token_id"] = .array([.integer(2), .integer(3)])
        let spec = try ModelSpec(huggingFace: JSONFields(object, path: "config.json"))
        let attention = spec.attentions[0]
        #expect(attention.headSize == 8 && attention.heads == 3 && spec.width == 32)
        #expect(spec.tokens.pad == nil && spec.tokens.eos == [2, 3])
    }
}
