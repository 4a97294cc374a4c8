// The gradient of an embedding against sums in f64: ids that come once, often and never, ids of padding, and matrices larger than one
// binding of a device with tiny limits.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct EmbeddingGradientTests {
    @Test(arguments: try FamilyRun.all(), [(1, 3, 8), (7, 5, 4), (40, 9, 36), (130, 700, 64), (300, 40, 60)])
    func gradientIsTheSumOfATokensRows(_ run: FamilyRun, _ size: (tokens: Int, rows: Int, width: Int)) throws
    {
        var random = RandomValues(seed: UInt64(size.tokens))
        // The last row never comes; an id outside is nobody's.
        var ids = (0..<size.tokens).map { _ in Int32.random(in: 0..<Int32(size.rows - 1), using: &random) }
        if size.tokens > 20 { (ids[3], ids[9]) = (-1, Int32(size.rows)) }
        let dx = random.normal(size.tokens * size.width)
        let before = random.normal(size.rows * size.width)
        let scale: Float = 1.5
        var expected = before.map(Double.init)
        for (token, id) in ids.enumerated() where (0..<Int32(size.rows)).contains(id) {
            for column in 0..<size.width {
                expected[Int(id) * size.width + column] +=
                    Double(scale) * Double(dx[token * size.width + column])
            }
        }
        let dW = try run.output(before, [size.rows, size.width])
        let (x, i) = (try run.input(dx, [size.tokens, size.width]), try run.input(ids, [size.tokens]))
        try run.run { try $0.embeddingGradient(addingTo: dW, x, ids: i, scaledBy: scale) }
        #expect(mismatch(try run.values(dW), expected, Tolerance(absolute: 1e-4, relative: 1e-5)) == nil)
    }
}
