// Embedding rows against what the stored bytes mean, in every family and weight type: to the bit, since no product of a
// quant and its scale rounds.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct EmbeddingTests {
    /// (vocabulary, width); the last two are more than one binding of a device with tiny limits.
    static let shapes = [(1, 32), (7, 64), (9, 160), (131, 288), (1030, 96)]

    @Test(arguments: try FamilyRun.all(), Shader.Weight.ofLayers)
    func rows(_ run: FamilyRun, _ type: Shader.Weight) throws {
        for (rows, narrowest) in Self.shapes {
            let multiple = WeightLayout.columnMultiple(type)
            let width = (narrowest + multiple - 1) / multiple * multiple
            var random = RandomValues(seed: UInt64(rows))
            let reference = ReferenceWeight(type, rows: rows, columns: width, random: &random)
            let weight = try run.device.makeWeight(
                WeightLayout(type, rows: rows, columns: width), label: "embedding")
            try reference.bytes.withUnsafeBytes { try run.device.upload($0, into: weight) }
            // The first and last rows, many between them; more tokens than a binding of tiny limits holds.
            let ids =
                [0, Int32(rows - 1)]
                + (0..<201).map { _ in Int32.random(in: 0..<Int32(rows), using: &random) }
            // Outside the vocabulary, which the host refuses: the nearest row, and nothing outside is read.
            let all = ids + [-1, .min, Int32(rows), .max]
            let y = try run.output([all.count, width])
            let idTensor = try run.input(all, [all.count])
            let before = random.normal(all.count * width)
            let (scaled, sum) = (
                try run.output([all.count, width]), try run.output(before, [all.count, width])
            )
            try run.run {
                try $0.embedding(into: y, idTensor, weight: weight)
                try $0.embedding(into: scaled, idTensor, weight: weight, scaledBy: 11.5)
                try $0.embedding(addingTo: sum, idTensor, weight: weight, scaledBy: -0.25)
            }
            let expected = all.flatMap { id in
                let row = Int(min(max(id, 0), Int32(rows - 1)))
                return reference.matrix.values[(row * width)..<((row + 1) * width)].map { Double(Float($0)) }
            }
            let wrong = mismatch(try run.values(y), expected, .exact)
            #expect(wrong == nil, "\(rows)x\(width): \(wrong ?? "")")
            let wrongScaled = mismatch(
                try run.values(scaled), expected.map { $0 * 11.5 }, .float(roundings: 1, scale: 0))
            #expect(wrongScaled == nil, "\(rows)x\(width), scaled: \(wrongScaled ?? "")")
            let sums = zip(before.doubles, expected).map { $0 - 0.25 * $1 }
            let wrongSum = mismatch(try run.values(sum), sums, .float(roundings: 2))
            #expect(wrongSum == nil, "\(rows)x\(width), added: \(wrongSum ?? "")")
        }
    }
}
