// A row through a layer with its norm, adapter and gate in one kernel, against f64: families that have it, every weight type,
// outputs that end inside a workgroup, dirty destinations.

import Kernels
import TestSupport
import Testing
import VulkanCompute

struct FusedCase: CustomTestStringConvertible, Sendable {
    var out: Int
    var columns: Int
    var rank = 0
    var normed = false
    var adds = false
    var biased = false
    var testDescription: String {
        "\(out)x\(columns) rank \(rank)\(normed ? " normed" : "")\(adds ? " adding" : "")\(biased ? " biased" : "")"
    }
}

@Suite struct MatvecFusedTests {
    /// The kernel takes a weight in one binding, which tiny limits do not hold.
    static var runs: [FamilyRun] {
        get throws { try FamilyRun.ownLimits().filter { $0.family != .shared } }
    }
    static let cases = [
        FusedCase(out: 4, columns: 32, normed: true), FusedCase(out: 300, columns: 96, rank: 8, adds: true),
        FusedCase(out: 68, columns: 160, rank: 24, normed: true),
        FusedCase(out: 300, columns: 64, rank: 8, normed: true, biased: true),
        FusedCase(out: 36, columns: 64, adds: true, biased: true),
    ]

    private func weight(
        _ run: FamilyRun, _ type: Shader.Weight, _ rows: [Int], _ columns: Int, _ random: inout RandomValues
    ) throws -> (weights: [Weight], matrices: [Matrix]) {
        let references = rows.map { ReferenceWeight(type, rows: $0, columns: columns, random: &random) }
        let weights = try run.device.makeWeights(
            rows.map { WeightLayout(type, rows: $0, columns: columns) }, labels: rows.map { "\($0) rows" })
        for (weight, reference) in zip(weights, references) {
            try reference.bytes.withUnsafeBytes { try run.device.upload($0, into: weight) }
        }
        return (weights, references.map(\.matrix))
    }

    private func adapter(
        _ run: FamilyRun, rank: Int, out: Int, columns: Int, _ random: inout RandomValues
    ) throws -> (factors: LowRankFactors?, layer: (Matrix) -> ReferenceLoRALinear) {
        let a = Matrix(max(rank, 1), columns, random.normal(max(rank, 1) * columns, deviation: 0.3))
        let b = Matrix(out, max(rank, 1), random.normal(out * max(rank, 1), deviation: 0.3))
        let scaling = rank > 0 ? 0.75 : 0
        let factors =
            rank > 0
            ? LowRankFactors(down: try run.input(a), up: try run.input(b), scaling: Float(scaling)) : nil
        return (factors, { ReferenceLoRALinear(weight: $0, loraA: a, loraB: b, scaling: scaling) })
    }

    private func normed(_ x: Matrix, _ weight: [Float], epsilon: Double) -> Matrix {
        let square = x.values.reduce(0) { $0 + $1 * $1 } / Double(x.columns)
        let rstd = 1 / (square + epsilon).squareRoot()
        return Matrix(1, x.columns, zip(x.values, weight).map { $0 * rstd * Double($1) })
    }

    @Test(arguments: try Self.runs, Shader.Weight.ofLayers)
    func layer(_ run: FamilyRun, _ type: Shader.Weight) throws {
        for shape in Self.cases {
            var random = RandomValues(seed: 11)
            let multiple = WeightLayout.columnMultiple(type)
            let columns = (shape.columns + multiple - 1) / multiple * multiple
            let (weights, matrices) = try weight(run, type, [shape.out], columns, &random)
            let (factors, layer) = try adapter(
                run, rank: shape.rank, out: shape.out, columns: columns, &random)
            let x = Matrix(1, columns, random.normal(columns))
            let scale = random.uniform(columns, in: 0.5...1.5)
            let old = random.normal(shape.out)
            let y = try run.output(
                shape.adds ? old : [Float](repeating: .nan, count: shape.out), [1, shape.out])
            let input = try run.input(x)
            let norm = shape.normed ? InputNorm(weight: try run.input(scale, [columns]), epsilon: 0.01) : nil
            let biases = random.normal(shape.out)
            let bias = shape.biased ? try run.input(biases, [shape.out]) : nil
            try run.run {
                guard $0.fuses(weights[0], [factors]) else { throw TestFailure(description: "not fused") }
                if shape.adds {
                    try $0.linearStep(addingTo: y, input, weight: weights[0], adapter: factors, bias: bias)
                } else {
                    try $0.linearStep(
                        into: y, input, weight: weights[0], norm: norm, adapter: factors, bias: bias)
                }
            }
            var expected = layer(matrices[0]).forward(shape.normed ? normed(x, scale, epsilon: 0.01) : x)
            if shape.adds { expected = expected + Matrix(1, shape.out, old) }
            if shape.biased { expected = expected + Matrix(1, shape.out, biases) }
            let tolerance = Tolerance.float(roundings: Double(columns), scale: 2)
            let wrong = mismatch(try run.values(y), expected.values, tolerance)
            #expect(wrong == nil, "\(shape.testDescription): \(wrong ?? "")")
        }
    }

    /// Two weights that lie together, each with an adapter of its own rank, or none.
    @Test(arguments: try Self.runs, [(64, 8, 16), (144, 0, 8), (32, 0, 0)])
    func gated(_ run: FamilyRun, _ shape: (out: Int, gateRank: Int, upRank: Int)) throws {
        for type in [Shader.Weight.f32, .q4_1, .q6_k] {
            var random = RandomValues(seed: 12)
            let columns = 256
            // Where bindings begin at multiples of 256 bytes, Q6_K's rows do so by 64 only.
            let out = type == .q6_k ? (shape.out + 63) / 64 * 64 : shape.out
            let (weights, matrices) = try weight(run, type, [out, out], columns, &random)
            let joined = try #require(Weight.joined(weights))
            let (gate, gateLayer) = try adapter(
                run, rank: shape.gateRank, out: out, columns: columns, &random)
            let (up, upLayer) = try adapter(run, rank: shape.upRank, out: out, columns: columns, &random)
            let x = Matrix(1, columns, random.normal(columns, deviation: 0.3))
            let scale = random.uniform(columns, in: 0.5...1.5)
            let outputs = try Shader.Activation.allCases.map { ($0, try run.output([1, out])) }
            let (input, norm) = (try run.input(x), try run.input(scale, [columns]))
            try run.run {
                for (activation, y) in outputs {
                    try $0.gatedStep(
                        into: y, input, weight: joined, activation: activation,
                        norm: InputNorm(weight: norm, epsilon: 0.01), gate: gate, up: up)
                }
            }
            let n = normed(x, scale, epsilon: 0.01)
            let (gates, ups) = (
                gateLayer(matrices[0]).forward(n).values, upLayer(matrices[1]).forward(n).values
            )
            // A square's error grows with its root.
            let size = gates.reduce(1) { max($0, abs($1)) }
            for (activation, y) in outputs {
                let expected = ReferenceActivation.forward(activation, gates, gate: ups)
                let wrong = mismatch(
                    try run.values(y), expected,
                    .float(roundings: 256, scale: activation == .relu2 ? 64 * size : 64))
                #expect(wrong == nil, "\(type), \(activation): \(wrong ?? "")")
            }
        }
    }

    /// Weights of different types or widths, or with rows that are padding, are not one.
    @Test func whatLiesTogether() throws {
        let device = try TestDevices.main
        func joined(_ layouts: WeightLayout...) throws -> Weight? {
            Weight.joined(try device.makeWeights(layouts, labels: layouts.map { "\($0.rows)" }))
        }
        let one = WeightLayout(.q8_0, rows: 64, columns: 64)
        #expect(try joined(one, one, one)?.layout.rows == 192)
        #expect(try joined(one, WeightLayout(.q4_0, rows: 64, columns: 64)) == nil)
        #expect(try joined(one, WeightLayout(.q8_0, rows: 64, columns: 32)) == nil)
        #expect(try joined(WeightLayout(.q8_0, rows: 62, columns: 64), one) == nil)
    }
}
