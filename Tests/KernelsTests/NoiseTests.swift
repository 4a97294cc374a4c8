// NEFTune's noise: its size by the length of each sequence, its distribution, and that it depends on seed, pass and element alone.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct NoiseTests {
    private static let alpha: Float = 5

    /// Sequences of these lengths, of zeros.
    private func noise(
        _ run: FamilyRun, _ lengths: [Int], width: Int, seed: UInt64 = 1, pass: UInt32 = 0,
        on value: Float = 0
    ) throws -> [Float] {
        var spans: [Int32] = []
        for length in lengths {
            let start = Int32(spans.count / 2)
            for _ in 0..<length { spans += [start, start + Int32(length)] }
        }
        let rows = spans.count / 2
        let x = try run.input([Float](repeating: value, count: rows * width), [rows, width])
        let y = try run.output([rows, width])
        let (state, tensor) = (
            try DropoutTests.state(run, seed: seed, pass: pass), try run.input(spans, [rows, 2])
        )
        try run.run { try $0.embeddingNoise(into: y, x, spans: tensor, alpha: Self.alpha, state: state) }
        return try run.values(y)
    }

    @Test(arguments: try FamilyRun.all())
    func theNoiseHasItsSize(_ run: FamilyRun) throws {
        let (lengths, width) = ([1, 7, 64, 3], 320)
        let all = try noise(run, lengths, width: width)
        var first = 0
        for length in lengths {
            let part = all[first * width..<(first + length) * width].map(Double.init)
            first += length
            let size = Double(Self.alpha) / (Double(length) * Double(width)).squareRoot()
            #expect(part.allSatisfy { abs($0) <= size * 1.000_001 })
            let count = Double(part.count)
            // A uniform number has the variance size²/3; five standard deviations of the mean, and of the mean square.
            #expect(abs(part.reduce(0, +) / count) < 5 * size / (3 * count).squareRoot())
            let square = part.reduce(0) { $0 + $1 * $1 } / count
            #expect(abs(square - size * size / 3) < 5 * size * size * (4.0 / 45 / count).squareRoot())
        }
    }

    @Test func allFamiliesHaveTheSameNoiseAndOtherKeysOthers() throws {
        let runs = try FamilyRun.all()
        let first = try noise(runs[0], [5, 9], width: 32)
        for run in runs { #expect(try noise(run, [5, 9], width: 32) == first, "\(run)") }
        #expect(try noise(runs[0], [5, 9], width: 32, seed: 2) != first)
        #expect(try noise(runs[0], [5, 9], width: 32, pass: 1) != first)
        let onOne = try noise(runs[0], [5, 9], width: 32, on: 1)
        #expect(mismatch(onOne, first.map { Double($0) + 1 }, Tolerance(absolute: 2e-7, relative: 0)) == nil)
    }
}
