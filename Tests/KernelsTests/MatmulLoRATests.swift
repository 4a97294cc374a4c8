// A linear layer with a LoRA adapter, forward and backward through the launchers, against f64; the f64 backward against
// finite differences.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct MatmulLoRATests {
    private static func layer(
        _ out: Int, _ in: Int, rank: Int, weight: Matrix, random: inout RandomValues
    ) -> ReferenceLoRALinear {
        ReferenceLoRALinear(
            weight: weight, loraA: Matrix(rank, `in`, random.normal(rank * `in`, deviation: 0.3)),
            loraB: Matrix(out, rank, random.normal(out * rank, deviation: 0.3)), scaling: 0.75)
    }

    @Test func referenceBackwardIsTheGradient() {
        var random = RandomValues(seed: 1)
        let layer = Self.layer(5, 6, rank: 2, weight: Matrix(5, 6, random.normal(30)), random: &random)
        let x = Matrix(3, 6, random.normal(18))
        let dy = Matrix(3, 5, random.normal(15))
        let gradients = layer.backward(dy, x: x)
        let tolerance = Tolerance(absolute: 1e-8, relative: 1e-8)
        func measured(_ at: Matrix, _ output: (Matrix) -> Matrix) -> [Double] {
            finiteDifference(at: at.values) { values in
                weightedSum(output(Matrix(at.rows, at.columns, values)).values, dy.values)
            }
        }
        #expect(mismatch(gradients.dx.values, measured(x) { layer.forward($0) }, tolerance) == nil)
        let dA = measured(layer.loraA) { loraA in
            var moved = layer
            moved.loraA = loraA
            return moved.forward(x)
        }
        #expect(mismatch(gradients.dA.values, dA, tolerance) == nil)
        let dB = measured(layer.loraB) { loraB in
            var moved = layer
            moved.loraB = loraB
            return moved.forward(x)
        }
        #expect(mismatch(gradients.dB.values, dB, tolerance) == nil)
    }

    /// (tokens, out, in, rank); the number of tokens is the length of the sums in dA and dB, and may be anything.
    static let shapes = [
        (1, 32, 64, 8), (7, 68, 32, 8), (33, 96, 128, 16), (45, 132, 64, 24), (64, 64, 96, 32),
        (130, 160, 160, 40),
    ]

    @Test(arguments: try FamilyRun.ofProducts(), shapes)
    func forwardAndBackward(_ run: FamilyRun, _ shape: (m: Int, out: Int, in: Int, rank: Int)) throws {
        var random = RandomValues(seed: UInt64(shape.m))
        let stored = ReferenceWeight(.q4_0, rows: shape.out, columns: shape.in, random: &random)
        let layer = Self.layer(shape.out, shape.in, rank: shape.rank, weight: stored.matrix, random: &random)
        let weight = try run.device.makeWeight(
            WeightLayout(.q4_0, rows: shape.out, columns: shape.in), label: "weight")
        try stored.bytes.withUnsafeBytes { try run.device.upload($0, into: weight) }
        let x = Matrix(shape.m, shape.in, random.normal(shape.m * shape.in))
        let dy = Matrix(shape.m, shape.out, random.normal(shape.m * shape.out))
        let oldA = random.normal(shape.rank * shape.in)
        let oldB = random.normal(shape.out * shape.rank)

        let (xInput, dyInput) = (try run.input(x), try run.input(dy))
        let (loraA, loraB) = (try run.input(layer.loraA), try run.input(layer.loraB))
        // Of many rows also as columns of a wider matrix, as layers with one input have them.
        func narrow() throws -> Tensor {
            let isPart = shape.m > CommandEncoder.fewRows
            let whole = try run.output([shape.m, shape.rank * (isPart ? 3 : 1)])
            return isPart ? whole.columns(shape.rank..<2 * shape.rank) : whole
        }
        let (h, g) = (try narrow(), try narrow())
        let y = try run.output([shape.m, shape.out])
        let dx = try run.output([shape.m, shape.in])
        let dA = try run.output(oldA, [shape.rank, shape.in])
        let dB = try run.output(oldB, [shape.out, shape.rank])
        let scaling = Float(layer.scaling)
        try run.run {
            try $0.loraDown(into: h, xInput, loraA: loraA, scaling: scaling)
            try $0.matmul(into: y, xInput, weight: weight, lora: LoRATerm(h: h, matrix: loraB))
            try $0.loraDownBackward(into: g, dyInput, loraB: loraB, scaling: scaling)
            try $0.loraGradientA(addingTo: dA, g: g, x: xInput)
            try $0.loraGradientB(addingTo: dB, dy: dyInput, h: h)
            try $0.matmulBackward(into: dx, dyInput, weight: weight, lora: LoRATerm(h: g, matrix: loraA))
        }
        let gradients = layer.backward(dy, x: x)
        let results: [(String, Tensor, Matrix)] = [
            ("y", y, layer.forward(x)), ("dx", dx, gradients.dx),
            ("dA", dA, gradients.dA + Matrix(shape.rank, shape.in, oldA)),
            ("dB", dB, gradients.dB + Matrix(shape.out, shape.rank, oldB)),
        ]
        for (name, result, expected) in results {
            let scale = Double(max(shape.m, shape.out, shape.in))
            let wrong = mismatch(try run.values(result), expected.values, .float(roundings: scale, scale: 2))
            #expect(wrong == nil, "\(name): \(wrong ?? "")")
        }
    }
}
