// Quantisation equals, byte for byte, what the package `gguf` makes of the same numbers (of K-quants, what ggml does), and no
// number traps.

import Checkpoints
import Testing

@Suite struct QuantiseTests {
    private static let types = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
    private static let kTypes = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]

    @Test(arguments: types + kTypes)
    func equalsTheReference(_ name: String) throws {
        let file = try GGUFFile(fixture(name.hasSuffix("_K") ? "k-quants.gguf" : "quantised.gguf"))
        let values = try #require(file["values"]).floats()
        let expected = try #require(file[name])
        #expect(expected.type.name == name && values.count == expected.count)
        #expect(try encoded(values, expected.type) == expected.storedBytes())
    }

    @Test(arguments: types + kTypes)
    func extremeNumbersDoNotTrap(_ name: String) throws {
        let type = try #require(StorageType(rawValue: name))
        #expect(type.isWritable)
        let extremes: [Float] = [
            0, -0.0, .leastNonzeroMagnitude, -.leastNonzeroMagnitude, .leastNormalMagnitude,
            .greatestFiniteMagnitude, -.greatestFiniteMagnitude, 65504, 65536, 1e-30,
        ]
        for a in extremes {
            for b in extremes + [.infinity, .nan] {
                _ = encoded([a, b] + [Float](repeating: a, count: 254), type)
            }
        }
    }

    @Test func whatIsWrittenIsRead() throws {
        for type in StorageType.allCases where type.isWritable { #expect(type.isReadable) }
        #expect(
            StorageType.writableNames
                == "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K")
    }

    private func encoded(_ values: [Float], _ type: StorageType) -> [UInt8] {
        let count = type.rowBytes(columns: values.count) ?? 0
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.withUnsafeMutableBytes { target in
            values.withUnsafeBufferPointer { type.encode($0, into: target) }
        }
        return bytes
    }
}
