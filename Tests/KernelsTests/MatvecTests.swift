// The matrix–vector kernels against f64: few rows, every weight type and family, widths that end inside a block of 32 and
// inside a workgroup, adapters.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct MatvecTests {
    /// Plain numbers may end anywhere; the columns of quantised ones are widened to whole blocks.
    static let cases = [
        LinearCase(1, 4, 4), LinearCase(1, 68, 36), LinearCase(1, 520, 100, adds: true),
        LinearCase(3, 36, 288, rank: 8), LinearCase(4, 132, 68, rank: 24, adds: true),
        LinearCase(8, 72, 164, rank: 8),
    ]

    @Test(arguments: try FamilyRun.all(), Shader.Weight.ofLayers)
    func fewRows(_ run: FamilyRun, _ type: Shader.Weight) throws {
        for shape in Self.cases { try MatmulTests.check(.nt, run, type, shape) }
    }

    /// Numbers at both ends of what a type can hold, where a mask or a shift that is off by a bit shows.
    @Test(arguments: try FamilyRun.ownLimits())
    func extremeQuants(_ run: FamilyRun) throws {
        var random = RandomValues(seed: 9)
        let x = Matrix(1, 64, random.normal(64))
        for byte in [UInt8.min, .max, 0x7f, 0x80, 0x0f, 0xf0] {
            var bytes: [UInt8] = []
            for _ in 0..<8 { bytes += [0x00, 0x3c] + [UInt8](repeating: byte, count: 32) }  // d = 1
            let weight = try run.device.makeWeight(WeightLayout(.q8_0, rows: 4, columns: 64), label: "weight")
            try bytes.withUnsafeBytes { try run.device.upload($0, into: weight) }
            let y = try run.output([1, 4])
            let input = try run.input(x)
            try run.run { try $0.matmul(into: y, input, weight: weight) }
            let expected = x.values.reduce(0) { $0 + $1 * Double(Int8(bitPattern: byte)) }
            let wrong = mismatch(
                try run.values(y), [Double](repeating: expected, count: 4), .float(roundings: 64, scale: 128))
            #expect(wrong == nil, "\(byte): \(wrong ?? "")")
        }
    }
}
