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
        try run.run {
            try $0.rmsNorm(into: y, rstd: rstd, xTensor, weight: weightTensor, epsilon: Self.epsilon)
        }
        let expected = ReferenceNorm.forward(x.doubles, weight: weight.doubles, epsilon: Double(Self.epsilon))
        #expect(mismatch(try run.values(y), expected.y, .float()) == nil)
        #expect(mismatch(try run.values(rstd), expected.rstd, .float()) == nil)
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
