// What the GGUF writer writes is read again equal; a file that is copied is the same bytes.

import Checkpoints
import Testing

@Suite struct GGUFWriterTests {
    @Test(arguments: ["tiny.gguf", "quants.gguf"])
    func aCopyIsTheSameBytes(_ name: String) throws {
        let file = try GGUFFile(fixture(name))
        try withTemporaryFolder { folder in
            let path = folder + "/copy.gguf"
            try GGUFWriter.write(file.tensors.map { TensorSource($0) }, metadata: file.metadata, to: path)
            #expect(try contents(path) == contents(fixture(name)))
        }
    }

    @Test func everyKindOfMetadataSurvives() throws {
        let values: [GGUFValue] = [
            .uint8(200), .int8(-3), .uint16(60_000), .int16(-300), .uint32(.max), .int32(.min), .uint64(.max),
            .int64(.min), .float32(-0.1), .float64(1e300), .bool(true), .string("čaj\0 "),
            .array(.string, [.string(""), .string("a")]),
            .array(.array, [.array(.int32, [.int32(1)]), .array(.bool, [])]),
        ]
        var metadata = GGUFMetadata(path: "")
        for (number, value) in values.enumerated() { metadata.set("key.\(number)", value) }
        metadata.set("key.0", .uint8(7))
        metadata.set("general.alignment", .uint32(128))
        try withTemporaryFolder { folder in
            let path = folder + "/x.gguf"
            let tensors = [
                TensorSource("a", shape: [3], [1, 2, 3]), TensorSource("nothing", shape: [0, 4], []),
                TensorSource("b", shape: [1, 2, 2], [4, 5, 6, 7]),
            ]
            try GGUFWriter.write(tensors, metadata: metadata, to: path)
            let read = try GGUFFile(path)
            #expect(read.version == 3 && read.alignment == 128)
            #expect(read.metadata.entries.map(\.value) == [.uint8(7)] + values.dropFirst() + [.uint32(128)])
            #expect(read.tensors.map(\.name) == ["a", "nothing", "b"])
            #expect(read.tensors.map(\.shape) == [[3], [0, 4], [1, 2, 2]])
            #expect(try read["b"]?.floats() == [4, 5, 6, 7])
            #expect(try contents(path).count % 128 == 0)
        }
    }

    @Test func whatCannotBeHeldIsASentence() throws {
        try withTemporaryFolder { (folder: String) throws in
            let path = folder + "/x.gguf"
            func refusal(_ tensors: TensorSource..., alignment: UInt32 = 32) -> String? {
                var metadata = GGUFMetadata(path: path)
                metadata.set("general.alignment", .uint32(alignment))
                return errorText { try GGUFWriter.write(tensors, metadata: metadata, to: path) }
            }
            let tensor = TensorSource("a", shape: [1], [1])
            #expect(refusal(tensor, tensor) == "\(path): cannot hold two tensors called 'a'")
            func typed(_ type: StorageType, _ shape: [Int]) -> TensorSource {
                TensorSource("t", type, shape: shape) { (_) throws(FileError) in }
            }
            #expect(refusal(typed(.u64, [1])) == "\(path): GGUF cannot hold 't' as U64")
            for shape in [[2, 31], [Int.max, 32], [-1, 32]] {
                #expect(
                    refusal(typed(.q8_0, shape))
                        == "\(path): the tensor 't' of shape \(shape) cannot be stored as Q8_0")
            }
            #expect(refusal(tensor, alignment: 3)?.contains("power of two") == true)
            #expect(try FileSystem.names(in: folder).isEmpty)
        }
    }

    @Test func everyFaultLeavesTheOldFile() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/x.gguf"
            func save(_ value: Float) throws {
                let big = TensorSource("a", shape: [100_000], [Float](repeating: value, count: 100_000))
                try GGUFWriter.write([big], metadata: GGUFMetadata(path: path), to: path)
            }
            try save(1)
            let counter = FileFaults(failing: .max)
            try FileFaults.$active.withValue(counter) { try save(1) }
            for nth in 1...counter.counted {
                let text = FileFaults.$active.withValue(FileFaults(failing: nth)) {
                    errorText { try save(2) }
                }
                #expect(text?.hasSuffix("free some space or choose another folder") == true, "call \(nth)")
                #expect(try FileSystem.names(in: folder) == ["x.gguf"])
                let values = try #require(try GGUFFile(path)["a"]).floats()
                #expect(values.allSatisfy { $0 == values[0] })
            }
        }
    }
}
