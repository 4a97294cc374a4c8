// Factors of columns and of rows, and what DoRA, ALLoRA, DeLoRA, NoRA+ and VeRA need, against f64 in every family.

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
        let (xTensor, vTensor) = (try apart(x, size, run), try run.input(v, [shape.width]))
        let far = try apart([Float](repeating: 0, count: count), size, run)
        try run.run {
            try $0.scaleColumns(into: y, xTensor, by: vTensor)
            try $0.scaleColumns(addingTo: sum, xTensor, by: vTensor)
            try $0.scaleColumns(into: far, y, by: vTensor)
        }
        let expected = x.indices.map { Double(x[$0]) * Double(v[$0 % shape.width]) }
        #expect(mismatch(try run.values(y), expected, .float()) == nil)
        #expect(mismatch(try run.values(sum), zip(before.doubles, expected).map(+), .float()) == nil)
        let stored = try run.device.download(far.slice, as: Float.self)
        for index in stored.indices {
            let (row, column) = index.quotientAndRemainder(dividingBy: far.pitch)
            let expected = column < shape.width ? expected[row * shape.width + column] * Double(v[column]) : 7
            #expect(abs(Double(stored[index]) - expected) <= 1e-5 * max(1, abs(expected)))
        }
    }

    /// A matrix whose rows lie further apart than they are wide, with sevens between them.
    private func apart(_ values: [Float], _ shape: [Int], _ run: FamilyRun) throws -> Tensor {
        let (width, pitch) = (shape[1], shape[1] + 8)
        let stored = (0..<shape[0] * pitch).map { index in
            index % pitch < width ? values[index / pitch * width + index % pitch] : 7
        }
        return Tensor(try run.input(stored, [stored.count]).slice, shape: shape, pitch: pitch)
    }

    @Test(arguments: try FamilyRun.all(), shapes)
    func columnDots(_ run: FamilyRun, _ shape: (rows: Int, width: Int)) throws {
        var random = RandomValues(seed: 42)
        let count = shape.rows * shape.width
        let (a, b) = (random.normal(count), random.normal(count))
        let (v, before) = (random.normal(shape.width), random.normal(shape.width))
        let out = try run.output(before, [shape.width])
        let size = [shape.rows, shape.width]
        let (aTensor, bTensor) = (try apart(a, size, run), try run.input(b, size))
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

    /// diag(b)·B·diag(d), and from the gradient G of that db_o = Σ G ⊙ B ⊙ d by rows; b ⊙ G stays.
    @Test(arguments: try FamilyRun.all(), [(1, 8), (33, 8), (130, 16), (2100, 24)])
    func vera(_ run: FamilyRun, _ shape: (rows: Int, rank: Int)) throws {
        let (rows, rank) = shape
        var random = RandomValues(seed: 47)
        let (matrix, gradient) = (random.normal(rows * rank), random.normal(rows * rank))
        let (b, d, before) = (random.normal(rows), random.normal(rank), random.normal(rows))
        let size = [rows, rank]
        let (scaled, db) = (try run.output(size), try run.output(before, [rows]))
        let (rest, matrixB) = (try run.output(gradient, size), try run.input(matrix, size))
        let (bTensor, dTensor) = (try run.input(b, [rows]), try run.input(d, [rank]))
        try run.run {
            try $0.veraScale(into: scaled, matrixB, b: bTensor, d: dTensor)
            try $0.veraGradient(addingTo: db, scaling: rest, matrixB, b: bTensor, d: dTensor)
        }
        func double(_ values: [Float], _ i: Int) -> Double { Double(values[i]) }
        let product = matrix.indices.map { double(matrix, $0) * double(d, $0 % rank) }
        let expected = product.indices.map { double(b, $0 / rank) * product[$0] }
        #expect(mismatch(try run.values(scaled), expected, .float()) == nil)
        let sums = (0..<rows).map { row in
            (row * rank..<(row + 1) * rank).reduce(double(before, row)) {
                $0 + double(gradient, $1) * product[$1]
            }
        }
        #expect(mismatch(try run.values(db), sums, .float(scale: 16)) == nil)
        let left = gradient.indices.map { double(b, $0 / rank) * double(gradient, $0) }
        #expect(mismatch(try run.values(rest), left, .float()) == nil)
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

    /// P·(G + ε·1) is a multiple of the identity, ‖P‖ is 1; of G = 0 too.
    @Test(arguments: try FamilyRun.all(), [(3, 8), (8, 8), (61, 64), (128, 128)])
    func unitInverse(_ run: FamilyRun, _ size: (rank: Int, stored: Int)) throws {
        let (rank, stored) = size
        var random = RandomValues(seed: 46)
        let b = random.normal(2 * rank * rank).doubles  // (2·R, R)
        let damping = 1e-2
        for scale in [0.0, 1] {
            var g = [Float](repeating: 7, count: stored * stored)
            for row in 0..<rank {
                for column in 0..<rank {
                    g[row * stored + column] = Float(
                        (0..<2 * rank).reduce(0.0) { $0 + scale * b[$1 * rank + row] * b[$1 * rank + column] }
                    )
                }
            }
            let (p, gTensor) = (try run.output([stored, stored]), try run.input(g, [stored, stored]))
            try run.run { try $0.unitInverse(into: p, gTensor, rank: rank, damping: Float(damping)) }
            let inverse = try run.values(p).doubles
            #expect(abs(inverse.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
            func product(_ row: Int, _ column: Int) -> Double {
                (0..<rank).reduce(damping * inverse[row * stored + column]) {
                    $0 + inverse[row * stored + $1] * Double(g[$1 * stored + column])
                }
            }
            let diagonal = product(0, 0)
            for row in 0..<stored {
                for column in 0..<stored where row >= rank || column >= rank {
                    #expect(inverse[row * stored + column] == 0)
                }
            }
            let worst = (0..<rank).flatMap { row in
                (0..<rank).map { abs(product(row, $0) - (row == $0 ? diagonal : 0)) }
            }.max()
            #expect(diagonal > 0 && (worst ?? 1) < 1e-3 * diagonal)
        }
    }

    /// Norms below 1e-4 count as 1e-4, and have no derivative. The second shape is more than one binding of a small device.
    @Test(arguments: try FamilyRun.all(), [(8, 32), (16, 8192)])
    func deloraScale(_ run: FamilyRun, _ shape: (rank: Int, width: Int)) throws {
        var random = RandomValues(seed: 45)
        var a = random.normal(shape.rank * shape.width)
        a.replaceSubrange(0..<shape.width, with: [Float](repeating: 0, count: shape.width))
        var squaresB = random.uniform(shape.rank, in: 0.5...2)
        squaresB[1] = 1e-10
        let size = [shape.rank]
        let outputs = try (0..<4).map { _ in try run.output(size) }
        let (aTensor, bTensor) = (try run.input(a, [shape.rank, shape.width]), try run.input(squaresB, size))
        let lambda = try run.input([Float(3), 0, 0, 0], [4])
        try run.run {
            try $0.deloraScale(
                into: outputs[0], unit: outputs[1], perA: outputs[2], perB: outputs[3], loraA: aTensor,
                squaresB: bTensor, lambda: lambda, rank: 5)
        }
        let squaresA = (0..<shape.rank).map { row in
            a[row * shape.width..<(row + 1) * shape.width].reduce(0.0) { $0 + Double($1) * Double($1) }
        }
        let unit = zip(squaresA, squaresB).map {
            1 / (5 * max($0.squareRoot(), 1e-4) * max(Double($1).squareRoot(), 1e-4))
        }
        let expected = [
            unit.map { 3 * $0 }, unit, squaresA.map { $0 > 0 ? 1 / $0 : 0 },
            squaresB.map { $0 > 1e-8 ? 1 / Double($0) : 0 },
        ]
        for (output, expected) in zip(outputs, expected) {
            #expect(
                mismatch(try run.values(output), expected, Tolerance(absolute: 0, relative: 1e-5)) == nil)
        }
    }

    @Test(arguments: try FamilyRun.all(), [8, 72])
    func deloraGradient(_ run: FamilyRun, _ rank: Int) throws {
        var random = RandomValues(seed: 46)
        let inputs = (0..<5).map { _ in random.normal(rank) }
        let tensors = try inputs.map { try run.input($0, [rank]) }
        let lambda = try run.output([Float(2), 0, 0, 0], [4])
        let takenA = try run.output([Float](repeating: 0, count: rank * rank), [rank, rank])
        let takenB = try run.output([rank])
        try run.run {
            try $0.deloraGradient(
                lambda: lambda, takenA: takenA, takenB: takenB, dc: tensors[0], factors: tensors[1],
                unit: tensors[2], perA: tensors[3], perB: tensors[4])
        }
        let values = inputs.map(\.doubles)
        let sum = (0..<rank).reduce(2.0) { $0 + values[2][$1] * values[0][$1] }
        #expect(mismatch(try run.values(lambda), [sum, 0, 0, 0], .float(scale: 8)) == nil)
        let taken = { (i: Int, part: Int) in -values[1][i] * values[0][i] * values[part][i] }
        #expect(
            mismatch(
                try run.values(takenA),
                (0..<rank * rank).map { $0 % (rank + 1) == 0 ? taken($0 / (rank + 1), 3) : 0 }, .float())
                == nil)
        #expect(mismatch(try run.values(takenB), (0..<rank).map { taken($0, 4) }, .float()) == nil)
    }

    private func isCloseTo(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-5 * abs(b) }
}
