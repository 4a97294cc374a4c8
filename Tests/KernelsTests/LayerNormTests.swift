// LayerNorm against its f64 reference, in every family.

import Kernels
import TestSupport
import Testing

@Suite struct LayerNormTests {
    static let epsilon: Float = 1e-5

    @Test func referenceBackwardIsTheGradient() {
        var random = RandomValues(seed: 1)
        let (x, dy) = (random.normal(36).doubles, random.normal(36).doubles)
        let (weight, bias) = (random.normal(12).doubles, random.normal(12).doubles)
        let forward = ReferenceLayerNorm.forward(x, weight: weight, bias: bias, epsilon: 1e-2)
        let dx = ReferenceLayerNorm.backward(dy, x: x, weight: weight, mean: forward.mean, rstd: forward.rstd)
        let measured = finiteDifference(at: x) { x in
            weightedSum(ReferenceLayerNorm.forward(x, weight: weight, bias: bias, epsilon: 1e-2).y, dy)
        }
        #expect(mismatch(dx, measured, Tolerance(absolute: 1e-8, relative: 1e-8)) == nil)
    }

    /// Also with a mean a thousand times the deviation, whose square leaves nothing of the variance in an f32.
    @Test(arguments: try FamilyRun.all(), NormTests.shapes)
    func forward(_ run: FamilyRun, _ shape: (rows: Int, width: Int)) throws {
        for offset: Float in [0, 3000] {
            var random = RandomValues(seed: 2)
            let x = random.normal(shape.rows * shape.width, deviation: 3).map { $0 + offset }
            let (weight, bias) = (random.normal(shape.width), random.normal(shape.width))
            let y = try run.output([shape.rows, shape.width])
            let inPlace = try run.output(x, [shape.rows, shape.width])
            let (mean, rstd) = (try run.output([shape.rows]), try run.output([shape.rows]))
            let xTensor = try run.input(x, [shape.rows, shape.width])
            let (w, b) = (try run.input(weight, [shape.width]), try run.input(bias, [shape.width]))
            try run.run {
                for (y, x) in [(y, xTensor), (inPlace, inPlace)] {
                    try $0.layerNorm(
                        into: y, mean: mean, rstd: rstd, x, weight: w, bias: b, epsilon: Self.epsilon)
                }
            }
            let expected = ReferenceLayerNorm.forward(
                x.doubles, weight: weight.doubles, bias: bias.doubles, epsilon: Double(Self.epsilon))
            // The mean's own rounding moves a row by so much of its deviation.
            let scale = 4 + Double(offset) / 3
            for values in [y, inPlace] {
                #expect(mismatch(try run.values(values), expected.y, .float(scale: scale)) == nil)
            }
            #expect(mismatch(try run.values(mean), expected.mean, .float()) == nil)
            #expect(mismatch(try run.values(rstd), expected.rstd, .float(scale: scale / 100)) == nil)
        }
    }

    @Test(arguments: try FamilyRun.all(), NormTests.shapes)
    func backward(_ run: FamilyRun, _ shape: (rows: Int, width: Int)) throws {
        var random = RandomValues(seed: 4)
        let count = shape.rows * shape.width
        let x = random.normal(count).map { $0 + 2 }
        let (dy, before, weight) = (random.normal(count), random.normal(count), random.normal(shape.width))
        let forward = ReferenceLayerNorm.forward(
            x.doubles, weight: weight.doubles, bias: weight.doubles, epsilon: 1e-5)
        let (mean, rstd) = (forward.mean.map(Float.init), forward.rstd.map(Float.init))
        let dx = try run.output([shape.rows, shape.width])
        let accumulated = try run.output(before, [shape.rows, shape.width])
        let inPlace = try run.output(dy, [shape.rows, shape.width])
        let (dyTensor, xTensor) = (
            try run.input(dy, [shape.rows, shape.width]), try run.input(x, [shape.rows, shape.width])
        )
        let weightTensor = try run.input(weight, [shape.width])
        let (means, rstds) = (try run.input(mean, [shape.rows]), try run.input(rstd, [shape.rows]))
        try run.run {
            for (dx, dy) in [(dx, dyTensor), (inPlace, inPlace)] {
                try $0.layerNormBackward(
                    into: dx, dy, x: xTensor, weight: weightTensor, mean: means, rstd: rstds)
            }
            try $0.layerNormBackward(
                addingTo: accumulated, dyTensor, x: xTensor, weight: weightTensor, mean: means, rstd: rstds)
        }
        let expected = ReferenceLayerNorm.backward(
            dy.doubles, x: x.doubles, weight: weight.doubles, mean: mean.doubles, rstd: rstd.doubles)
        // Of a row of few numbers rstd is large, and what is left of its gradient small.
        let scale = 4 * max(1, Double(rstd.max() ?? 1))
        for gradient in [dx, inPlace] {
            #expect(mismatch(try run.values(gradient), expected, .float(scale: scale)) == nil)
        }
        #expect(
            mismatch(try run.values(accumulated), zip(before.doubles, expected).map(+), .float(scale: scale))
                == nil)
    }
}
