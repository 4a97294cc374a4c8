// Dequantisation on the host equals what the package `gguf` computes for the same bytes.

import Checkpoints
import Testing

@Suite struct DequantiseTests {
    private static let types = [
        "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
        "MXFP4",
    ]

    @Test(arguments: types)
    func equalsTheGGUFPackage(_ name: String) throws {
        let file = name == "MXFP4" ? "mxfp4" : "quants"
        let stored = try #require(try GGUFFile(fixture("\(file).gguf"))[name])
        let reference = try #require(try SafetensorsFile(fixture("\(file).safetensors"))[name])
        #expect(stored.type.name == name)
        #expect(stored.shape == reference.shape)
        let (values, expected) = (try stored.floats(), try reference.floats())
        #expect(values.count == 3 * 512)
        #expect(zip(values, expected).allSatisfy { $0 == $1 })
        #expect(try stored.floats(rows: 1..<2) == Array(expected[512..<1024]))
        #expect(try stored.floats(rows: 2..<2).isEmpty)
    }

    @Test func q5_0IsTheSameAsQ8_0() throws {
        let stored = try #require(try GGUFFile(fixture("quants.gguf"))["Q5_0"])
        let widened = try stored.bytes(rows: 0..<stored.rows).withUnsafeBytes { widenedToQ8_0($0) }
        var values = [Float](repeating: .nan, count: stored.count)
        widened.withUnsafeBytes { bytes in
            values.withUnsafeMutableBufferPointer { StorageType.q8_0.decode(bytes, into: $0) }
        }
        #expect(try values == stored.floats())
    }

    @Test func everyHalfIsExact() throws {
        try withTemporaryFolder { folder in
            let all = (0...UInt16.max).flatMap { littleEndian($0) }
            let source = TensorSource("h", .f16, shape: [65536]) { (emit) throws(FileError) in
                try all.withUnsafeBufferPointer { (all) throws(FileError) in
                    try emit(UnsafeRawBufferPointer(all))
                }
            }
            try SafetensorsWriter.write([source], to: folder + "/h.safetensors")
            let values = try #require(try SafetensorsFile(folder + "/h.safetensors")["h"]).floats()
            for (bits, value) in values.enumerated() {
                let expected = Float(Float16(bitPattern: UInt16(bits)))
                guard value == expected || (value.isNaN && expected.isNaN), value.sign == expected.sign else {
                    Issue.record("half \(bits) is \(value), expected \(expected)")
                    break
                }
            }
        }
    }

    @Test func theTableOfTypesIsConsistent() {
        for type in StorageType.allCases {
            if let number = type.ggufNumber { #expect(StorageType(ggufNumber: number) == type) }
            #expect(type.rowBytes(columns: 2 * type.blockElements) == 2 * type.blockBytes)
            #expect(type.blockElements == 1 || type.rowBytes(columns: 1) == nil)
            #expect(
                type.rowBytes(columns: Int.max / type.blockElements * type.blockElements) == nil
                    || type.blockBytes <= type.blockElements)
        }
    }
}
