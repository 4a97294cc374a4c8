// Matrix products against f64, in every family and weight type: ragged shapes, dirty destinations, splitting.

import Kernels
import TestSupport
import Testing
import VulkanCompute

/// (tokens, out, in, rank; 0: no adapter)
struct LinearCase: CustomTestStringConvertible, Sendable {
    let m: Int, out: Int, `in`: Int, rank: Int, adds: Bool
    init(_ m: Int, _ out: Int, _ in: Int, rank: Int = 0, adds: Bool = false) {
        (self.m, self.out, self.in, self.rank, self.adds) = (m, out, `in`, rank, adds)
    }
    /// With as many inputs as whole blocks of a weight type hold.
    func widened(to multiple: Int) -> LinearCase {
        LinearCase(m, out, (`in` + multiple - 1) / multiple * multiple, rank: rank, adds: adds)
    }
    var testDescription: String { "\(m)x\(out)x\(`in`) rank \(rank)\(adds ? " adding" : "")" }
}

@Suite struct MatmulTests {
    /// The last is more than one binding of tiny limits. Few rows are MatvecTests', forward.
    static func cases(_ type: Shader.Weight) -> [LinearCase] {
        let middle = LinearCase(33, 132, 160, rank: 8, adds: true)
        // Kernels differ by how they read a tile, which the width of a k-quant's block makes large enough.
        if WeightLayout.columnMultiple(type) == 256 { return [middle] }
        return [LinearCase(9, 64, 96), middle, LinearCase(130, 260, 288, rank: 24, adds: true)]
    }
    /// Every tile height: 1, 2, 4 … 32 tokens.
    static let heights = [
        LinearCase(0, 32, 32), LinearCase(1, 36, 32), LinearCase(2, 68, 64, adds: true),
        LinearCase(3, 64, 96, rank: 8),
        LinearCase(12, 68, 64), LinearCase(31, 100, 64), LinearCase(33, 132, 160, rank: 8),
    ]

    @Test(arguments: try FamilyRun.ofProducts(), Shader.Weight.ofLayers)
    func forward(_ run: FamilyRun, _ type: Shader.Weight) throws {
        for shape in Self.cases(type) { try Self.check(.nt, run, type, shape) }
    }

    @Test(arguments: try FamilyRun.ofProducts(), Shader.Weight.ofLayers)
    func backward(_ run: FamilyRun, _ type: Shader.Weight) throws {
        for shape in Self.cases(type) { try Self.check(.nn, run, type, shape) }
    }

    @Test(arguments: try FamilyRun.ofProducts(), heights)
    func everyHeight(_ run: FamilyRun, _ shape: LinearCase) throws {
        try Self.check(.nt, run, .q4_1, shape)
        try Self.check(.nn, run, .f32, shape)
    }

    static func check(
        _ op: Shader.Op, _ run: FamilyRun, _ type: Shader.Weight, _ shape: LinearCase
    ) throws {
        var random = RandomValues(seed: UInt64(shape.m))
        let shape = shape.widened(to: WeightLayout.columnMultiple(type))
        let reference = ReferenceWeight(type, rows: shape.out, columns: shape.in, random: &random)
        let weight = try run.device.makeWeight(
            WeightLayout(type, rows: shape.out, columns: shape.in), label: "weight")
        try reference.bytes.withUnsafeBytes { try run.device.upload($0, into: weight) }
        let (sum, width) = op == .nt ? (shape.in, shape.out) : (shape.out, shape.in)
        let x = Matrix(shape.m, sum, random.normal(shape.m * sum))
        var expected = x * (op == .nt ? reference.matrix.transposed : reference.matrix)
        var lora: LoRATerm?
        if shape.rank > 0 {
            let h = Matrix(shape.m, shape.rank, random.normal(shape.m * shape.rank))
            let adapter = Matrix(shape.rank, width, random.normal(shape.rank * width))
            expected = expected + h * adapter
            let stored = op == .nt ? adapter.transposed : adapter
            lora = LoRATerm(h: try run.input(h), matrix: try run.input(stored))
        }
        let old =
            shape.adds ? random.normal(shape.m * width) : [Float](repeating: .nan, count: shape.m * width)
        if shape.adds { expected = expected + Matrix(shape.m, width, old) }

        let y = try run.output(old, [shape.m, width])
        let input = try run.input(x)
        try run.run { encoder in
            switch (op, shape.adds) {
            case (.nt, false): try encoder.matmul(into: y, input, weight: weight, lora: lora)
            case (.nt, true): try encoder.matmul(addingTo: y, input, weight: weight, lora: lora)
            case (_, false): try encoder.matmulBackward(into: y, input, weight: weight, lora: lora)
            case (_, true): try encoder.matmulBackward(addingTo: y, input, weight: weight, lora: lora)
            }
        }
        let wrong = mismatch(try run.values(y), expected.values, .float(roundings: Double(sum)))
        #expect(wrong == nil, "\(op) \(type) \(shape.testDescription): \(wrong ?? "")")

        guard op == .nt, shape.adds else { return }
        let apart = try run.output([shape.m, width])
        let plus = try run.input(Matrix(shape.m, width, old))
        try run.run { try $0.matmul(into: apart, input, weight: weight, lora: lora, plus: plus) }
        #expect(
            try run.values(apart) == run.values(y), "\(type) \(shape.testDescription): plus is not adding")
    }

    /// Rows that no tile fills: a vocabulary is padded with zero rows, which give zero logits and add nothing.
    @Test(arguments: try FamilyRun.ofProducts(), [Shader.Weight.f32, .q8_0])
    func paddedRows(_ run: FamilyRun, _ type: Shader.Weight) throws {
        var random = RandomValues(seed: 5)
        let reference = ReferenceWeight(type, rows: 70, columns: 64, random: &random)
        let weight = try run.device.makeWeight(WeightLayout(type, rows: 70, columns: 64), label: "head")
        try reference.bytes.withUnsafeBytes { try run.device.upload($0, into: weight) }
        #expect(weight.layout.rows == 72)
        let padded = Matrix(72, 64, reference.matrix.values + [Double](repeating: 0, count: 128))
        let x = Matrix(5, 64, random.normal(5 * 64))
        let dy = Matrix(5, 72, random.normal(5 * 72))
        let y = try run.output([5, 72])
        let dx = try run.output([5, 64])
        let (xInput, dyInput) = (try run.input(x), try run.input(dy))
        try run.run {
            try $0.matmul(into: y, xInput, weight: weight)
            try $0.matmulBackward(into: dx, dyInput, weight: weight)
        }
        #expect(mismatch(try run.values(y), (x * padded.transposed).values, .float(roundings: 64)) == nil)
        #expect(mismatch(try run.values(dx), (dy * padded).values, .float(roundings: 72)) == nil)
    }

    /// Row-major operands, narrow and wide, multiples of four and not.
    @Test(
        arguments: try FamilyRun.ofProducts(),
        [
            (1, 1, 1), (3, 5, 7), (4, 4, 4), (32, 64, 8), (33, 68, 36), (9, 132, 32), (65, 8, 40),
            (40, 16, 260), (17, 130, 9),
        ])
    func anyTwoMatrices(_ run: FamilyRun, _ shape: (m: Int, n: Int, k: Int)) throws {
        var random = RandomValues(seed: 6)
        let a = Matrix(shape.m, shape.k, random.normal(shape.m * shape.k))
        let b = Matrix(shape.k, shape.n, random.normal(shape.k * shape.n))
        let old = random.normal(shape.m * shape.n)
        for op in [Shader.Op.nt, .nn, .tn] {
            let (x, w) = (
                try run.input(op == .tn ? a.transposed : a), try run.input(op == .nt ? b.transposed : b)
            )
            let y = try run.output([shape.m, shape.n])
            let sum = try run.output(old, [shape.m, shape.n])
            try run.run {
                try $0.matmul(op, into: y, x, w, scale: 0.5)
                try $0.matmul(op, addingTo: sum, x, w, scale: -2)
            }
            let product = a * b
            let tolerance = Tolerance.float(roundings: 4 + Double(shape.k))
            let wrong = mismatch(try run.values(y), (0.5 * product).values, tolerance)
            #expect(wrong == nil, "\(op): \(wrong ?? "")")
            let wrongSum = mismatch(
                try run.values(sum), (Matrix(shape.m, shape.n, old) + -2 * product).values, tolerance)
            #expect(wrongSum == nil, "\(op) adding: \(wrongSum ?? "")")
        }
    }

    /// Rows further apart than they are wide: what lies between them is neither read (it is NaN) nor written.
    @Test(arguments: try FamilyRun.ofProducts(), [(33, 68, 36), (9, 132, 32), (65, 8, 40)])
    func rowsApart(_ run: FamilyRun, _ shape: (m: Int, n: Int, k: Int)) throws {
        var random = RandomValues(seed: 8)
        let a = Matrix(shape.m, shape.k, random.normal(shape.m * shape.k))
        let b = Matrix(shape.k, shape.n, random.normal(shape.k * shape.n))
        for op in [Shader.Op.nt, .nn, .tn] {
            let x = try run.apart(op == .tn ? a.transposed : a)
            let w = try run.apart(op == .nt ? b.transposed : b)
            let pitch = Tensor.spreadPitch(shape.n)
            let y = try run.output([shape.m * pitch])
            try run.run {
                try $0.matmul(op, into: Tensor(y.slice, shape: [shape.m, shape.n], pitch: pitch), x, w)
            }
            let stored = try run.values(y)
            let rows: [ArraySlice<Float>] = (0..<shape.m).map { stored[($0 * pitch)..<(($0 + 1) * pitch)] }
            let values: [Float] = rows.flatMap { $0.prefix(shape.n) }
            let wrong = mismatch(values, (a * b).values, .float(roundings: Double(shape.k)))
            #expect(wrong == nil, "\(op): \(wrong ?? "")")
            #expect(rows.allSatisfy { $0.dropFirst(shape.n).allSatisfy(\.isNaN) }, "\(op)")
        }
    }

    /// A sum over a vocabulary, in parts of at most 2048, which few rows of y share out over workgroups.
    @Test(arguments: try FamilyRun.ofProducts(), [Shader.Weight.f32, .q8_0])
    func sumsOverAVocabulary(_ run: FamilyRun, _ type: Shader.Weight) throws {
        try Self.check(.nn, run, type, LinearCase(9, 4608, 64, rank: 32, adds: true))
    }

    /// The parts are added in order, and which they are does not depend on the tile: no bit changes with either.
    @Test func partsOfSumsAreTheSameEachTime() throws {
        let device = try TestDevices.main
        var random = RandomValues(seed: 9)
        let layout = WeightLayout(.f32, rows: 132, columns: 1000)
        let reference = ReferenceWeight(.f32, rows: layout.rows, columns: layout.columns, random: &random)
        let weight = try device.makeWeight(layout, label: "weight")
        try reference.bytes.withUnsafeBytes { try device.upload($0, into: weight) }
        let x = try device.makeTensor(random.normal(40 * layout.columns), [40, layout.columns])
        let product = TunedProduct(.nt, layout, rows: 40)
        func result(_ tile: Tuning.Constants?, filling: Int = 192) throws -> [Float] {
            let y = try device.makeTensor([40, layout.rows], label: "y")
            try device.run { encoder throws(VulkanError) in
                encoder.family = .shared
                encoder.capabilities.fillingWorkgroups = filling
                encoder.tuning.tiles[product.name] = tile
                try encoder.matmul(into: y, x, weight: weight)
            }
            return try device.values(y)
        }
        let ruled = try result(nil)
        #expect(try result(nil) == ruled)
        for tile in product.alternatives(device.capabilities, family: .shared) {
            #expect(try result(tile) == ruled, "\(tile)")
        }
        #expect(try result(nil, filling: 1) != ruled, "the sum was not cut in parts")
    }

    /// More rounds than lavapipe lets loops run: TN is cut, NT goes to the kernel that takes sixteen numbers a round.
    @Test(arguments: try FamilyRun.ownLimits())
    func longSums(_ run: FamilyRun) throws {
        let count = 65536 * 4 + 8
        let (x, w) = ([Float](repeating: 0.5, count: count * 4), [Float](repeating: 0.25, count: count * 4))
        for op in [Shader.Op.tn, .nt] {
            let shape = op == .tn ? [count, 4] : [4, count]
            let y = try run.output([4, 4])
            let (a, b) = (try run.input(x, shape), try run.input(w, shape))
            try run.run { try $0.matmul(op, into: y, a, b) }
            // Sums of eighths below 2²¹ are exact in f32.
            #expect(try run.values(y) == [Float](repeating: Float(count) / 8, count: 16))
        }
    }
}

extension FamilyRun {
    /// A matrix whose rows lie apart, NaN between them.
    fileprivate func apart(_ matrix: Matrix) throws -> Tensor {
        let pitch = Tensor.spreadPitch(matrix.columns)
        let gap = [Float](repeating: .nan, count: pitch - matrix.columns)
        var values: [Float] = []
        for row in 0..<matrix.rows {
            values += matrix.floats[(row * matrix.columns)..<((row + 1) * matrix.columns)]
            values += gap
        }
        let flat = try input(values, [values.count])
        return Tensor(flat.slice, shape: [matrix.rows, matrix.columns], pitch: pitch)
    }

    func input(_ matrix: Matrix) throws -> Tensor { try input(matrix.floats, [matrix.rows, matrix.columns]) }
}
