// Factors of columns and of rows, and the norms of DoRA and ALLoRA, against f64 in every family.

import Kernels
import TestSupport
import Testing

@Suite struct AdapterKernelTests {
    /// The last two are more than one binding of a device with tiny limits, and more rows than one sum takes.
    static let shapes = [(1, 4), (7, 28), (33, 36), (9, 576), (2100, 32)]

    @Test(arguments: try FamilyRun.all(), shapes)
    func scaleColumns(_ run: FamilyRun, _ shape: (rows: Int, width: Int)) throws {
        var random = RandomValues(seed: 41)
        let count = shape.rows * shape.width
        let (x, v, before) = (random.normal(count), random.normal(shape.width), random.normal(count))
        let size = [shape.rows, shape.width]
        let (y, sum) = (try run.output(size), try run.output(before, size))
        let (xTensor, vTensor) = (try run.input(x, size), try run.input(v, [shape.width]))
        try run.run {
            try $0.scaleColumns(into: y, xTensor, by: vTensor)
            try $0.scaleColumns(addingTo: sum, xTensor, by: vTensor)
        }
        let expected = x.indices.map { Double(x[$0]) * Double(v[$0 % shape.width]) }
        #expect(mismatch(try run.values(y), expected, .float()) == nil)
        #expect(mismatch(try run.values(sum), zip(before.doubles, expected).map(+), .float()) == nil)
    }

    @Test(arguments: try FamilyRun.all(), shapes)
    func columnDots(_ run: FamilyRun, _ shape: (rows: Int, width: Int)) throws {
        var random = RandomValues(seed: 42)
        let count = shape.rows * shape.width
        let (a, b) = (random.normal(count), random.normal(count))
        let (v, before) = (random.normal(shape.width), random.normal(shape.width))
        let out = try run.output(before, [shape.width])
        let size = [shape.rows, shape.width]
        let (aTensor, bTensor) = (try run.input(a, size), try run.input(b, size))
        let vTensor = try run.input(v, [shape.width])
        try run.run { try $0.columnDots(addingTo: out, aTensor, bTensor, by: vTensor) }
        let expected = (0..<shape.width).map { column in
            Double(before[column])
                + Double(v[column])
                * (0..<shape.rows).reduce(0.0) {
                    $0 + Double(a[$1 * shape.width + column]) * Double(b[$1 * shape.width + column])
                }
        }
        let scale = 4 * Double(shape.rows).squareRoot()
        #expect(mismatch(try run.values(out), expected, .float(scale: scale)) == nil)
    }

    @Test(arguments: try FamilyRun.all(), [(1, 8), (33, 8), (130, 16), (2100, 24)])
    func doraScale(_ run: FamilyRun, _ shape: (rows: Int, rank: Int)) throws {
        var random = RandomValues(seed: 43)
        let (b, u) = (random.normal(shape.rows * shape.rank), random.normal(shape.rows * shape.rank))
        let m = random.normal(shape.rows)
        let squares = random.uniform(shape.rows, in: 40...60)
        let (scale, inverse) = (try run.output([shape.rows]), try run.output([shape.rows]))
        let size = [shape.rows, shape.rank]
        let (bTensor, uTensor) = (try run.input(b, size), try run.input(u, size))
        let (mTensor, squaresTensor) = (try run.input(m, [shape.rows]), try run.input(squares, [shape.rows]))
        try run.run {
            try $0.doraScale(
                into: scale, inverse: inverse, magnitude: mTensor, squares: squaresTensor, loraB: bTensor,
                u: uTensor, scaling: 0.5)
        }
        let expected = (0..<shape.rows).map { row in
            1
                / (Double(squares[row])
                + 0.5
                * (0..<shape.rank).reduce(0.0) {
                    $0 + Double(b[row * shape.rank + $1]) * Double(u[row * shape.rank + $1])
                }).squareRoot()
        }
        #expect(mismatch(try run.values(inverse), expected, .float(roundings: 16)) == nil)
        #expect(
            mismatch(try run.values(scale), zip(m.doubles, expected).map(*), .float(roundings: 16)) == nil)
    }

    /// Rows that are zero step by η.
    @Test(arguments: try FamilyRun.all(), [(1, 8), (33, 8), (130, 16), (2100, 24)])
    func alloraScale(_ run: FamilyRun, _ shape: (rows: Int, rank: Int)) throws {
        var random = RandomValues(seed: 44)
        var b = random.normal(shape.rows * shape.rank)
        b.replaceSubrange(0..<shape.rank, with: [Float](repeating: 0, count: shape.rank))
        let gradient = random.normal(b.count)
        let size = [shape.rows, shape.rank]
        let (scaled, bTensor) = (try run.output(gradient, size), try run.input(b, size))
        try run.run { try $0.alloraScale(scaled, loraB: bTensor, eta: 2) }
        let expected = gradient.indices.map { index in
            let row = index / shape.rank
            let norm = b[row * shape.rank..<(row + 1) * shape.rank].reduce(0.0) {
                $0 + Double($1) * Double($1)
            }.squareRoot()
            return Double(gradient[index]) / (norm + 0.25).squareRoot()
        }
        #expect(mismatch(try run.values(scaled), expected, .float(roundings: 16)) == nil)
        #expect(isCloseTo(Double(try run.values(scaled)[0]), 2 * Double(gradient[0])))
    }

    private func isCloseTo(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-5 * abs(b) }
}
