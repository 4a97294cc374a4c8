// RMSNorm against its f64 reference, in every family.

import Kernels
import TestSupport
import Testing

@Suite struct NormTests {
    /// The last is more than one binding of a device with tiny limits.
    static let shapes = [(0, 32), (1, 4), (7, 28), (8, 32), (9, 36), (7, 576), (131, 132)]
    static let epsilon: Float = 1e-5

    @Test func referenceBackwardIsTheGradient() {
        var random = RandomValues(seed: 1)
        let (x, weight, dy) = (
            random.normal(36).doubles, random.normal(12).doubles, random.normal(36).doubles
        )
        let rstd = ReferenceNorm.forward(x, weight: weight, epsilon: 1e-2).rstd
        let dx = ReferenceNorm.backward(dy, x: x, weight: weight, rstd: rstd)
        let measured = finiteDifference(at: x) { x in
            weightedSum(ReferenceNorm.forward(x, weight: weight, epsilon: 1e-2).y, dy)
        }
        #expect(mismatch(dx, measured, Tolerance(absolute: 1e-8, relative: 1e-8)) == nil)
    }

    @Test(arguments: try FamilyRun.all(), shapes)
    func forward(_ run: FamilyRun, _ shape: (rows: Int, width: Int)) throws {
        var random = RandomValues(seed: 2)
        let (x, weight) = (random.normal(shape.rows * shape.width, deviation: 3), random.normal(shape.width))
        let (y, rstd) = (try run.output([shape.rows, shape.width]), try run.output([shape.rows]))
        let (xTensor, weightTensor) = (
            try run.input(x, [shape.rows, shape.width]), try run.input(weight, [shape.width])
        )
        let residual = random.normal(x.count)
        let (sum, residualTensor) = (
            try run.output([shape.rows, shape.width]), try run.input(residual, [shape.rows, shape.width])
        )
        let inPlace = try run.output(residual, [shape.rows, shape.width])
        try run.run {
            try $0.rmsNorm(into: y, rstd: rstd, xTensor, weight: weightTensor, epsilon: Self.epsilon)
            for (sum, residual) in [(sum, residualTensor), (inPlace, inPlace)] {
                try $0.rmsNorm(
                    into: sum, plus: residual, rstd: rstd, xTensor, weight: weightTensor,
                    epsilon: Self.epsilon)
            }
        }
        let expected = ReferenceNorm.forward(x.doubles, weight: weight.doubles, epsilon: Double(Self.epsilon))
        #expect(mismatch(try run.values(y), expected.y, .float()) == nil)
        #expect(mismatch(try run.values(rstd), expected.rstd, .float()) == nil)
        let expectedSum = zip(residual.doubles, expected.y).map(+)
        for sum in [sum, inPlace] {
            #expect(mismatch(try run.values(sum), expectedSum, .float(scale: 4)) == nil)
        }
    }

    /// The norm of every head of a query or key, in place: the rows (N·H, D) of a matrix (N, H·D), in more than one binding of
    /// tiny limits.
    @Test(arguments: try FamilyRun.all(), [64, 80, 96, 128, 256])
    func heads(_ run: FamilyRun, _ headSize: Int) throws {
        var random = RandomValues(seed: 5)
        let (tokens, heads) = (101, 3)
        let (width, rows) = (heads * headSize, tokens * heads)
        let (x, dy) = (random.normal(tokens * width), random.normal(tokens * width))
        let weight = random.normal(headSize)
        let (normed, dx) = (try run.output(x, [tokens, width]), try run.output(dy, [tokens, width]))
        let (rstd, xTensor) = (try run.output([rows]), try run.input(x, [tokens, width]))
        let weightTensor = try run.input(weight, [headSize])
        try run.run {
            let y = normed.reshaped([rows, headSize])
            try $0.rmsNorm(into: y, rstd: rstd, y, weight: weightTensor, epsilon: Self.epsilon)
            let gradient = dx.reshaped([rows, headSize])
            try $0.rmsNormBackward(
                into: gradient, gradient, x: xTensor.reshaped([rows, headSize]), weight: weightTensor,
                rstd: rstd)
        }
        let expected = ReferenceNorm.forward(x.doubles, weight: weight.doubles, epsilon: Double(Self.epsilon))
        let gradient = ReferenceNorm.backward(
            dy.doubles, x: x.doubles, weight: weight.doubles, rstd: expected.rstd)
        #expect(mismatch(try run.values(normed), expected.y, .float()) == nil)
        #expect(mismatch(try run.values(dx), gradient, .float(scale: 4)) == nil)
    }

    @Test(arguments: try FamilyRun.all(), shapes)
    func backward(_ run: FamilyRun, _ shape: (rows: Int, width: Int)) throws {
        var random = RandomValues(seed: 4)
        let count = shape.rows * shape.width
        let (x, dy, before) = (random.normal(count), random.normal(count), random.normal(count))
        let weight = random.normal(shape.width)
        let rstd = ReferenceNorm.forward(x.doubles, weight: weight.doubles, epsilon: 1e-5).rstd
        let (dx, accumulated) = (
            try run.output([shape.rows, shape.width]), try run.output(before, [shape.rows, shape.width])
        )
        let (dyTensor, xTensor) = (
            try run.input(dy, [shape.rows, shape.width]), try run.input(x, [shape.rows, shape.width])
        )
        let weightTensor = try run.input(weight, [shape.width])
        let rstdTensor = try run.input(rstd.map(Float.init), [shape.rows])
        try run.run {
            try $0.rmsNormBackward(into: dx, dyTensor, x: xTensor, weight: weightTensor, rstd: rstdTensor)
            try $0.rmsNormBackward(
                addingTo: accumulated, dyTensor, x: xTensor, weight: weightTensor, rstd: rstdTensor)
        }
        let expected = ReferenceNorm.backward(dy.doubles, x: x.doubles, weight: weight.doubles, rstd: rstd)
        #expect(mismatch(try run.values(dx), expected, .float(scale: 4)) == nil)
        #expect(
            mismatch(try run.values(accumulated), zip(before.doubles, expected).map(+), .float(scale: 4))
                == nil)
    }
}
