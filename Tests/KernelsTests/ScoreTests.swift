// The gradient of a head's scores against differences of the loss in f64: few rows and more than a workgroup has, one output and more
// than a row of padding, padding behind the rows, and scores that saturate.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct ScoreTests {
    private struct Size {
        var rows: Int
        var padding: Int
        var outputs: Int
    }
    private static let sizes = [
        Size(rows: 2, padding: 6, outputs: 1), Size(rows: 8, padding: 0, outputs: 3),
        Size(rows: 70, padding: 2, outputs: 9), Size(rows: 130, padding: 6, outputs: 2),
    ]
    static let losses: [ScoreLoss] = [.label, .labels, .numbers, .pair]

    private static let scale: Float = 0.25
    private static let centre: Float = 0.125

    private func gradient(
        _ run: FamilyRun, _ loss: ScoreLoss, _ scores: [Float], targets: [Int32], values: [Float],
        outputs: Int
    ) throws -> [Float] {
        let (rows, pitch) = (targets.count, scores.count / targets.count)
        let state = try run.device.makeStepState()
        var step = StepState()
        step.lossScale = Self.scale
        try run.device.upload([step], into: state)
        let shape = [rows, pitch]
        let (z, t) = (try run.input(scores, shape), try run.input(targets, [rows]))
        let v = loss == .label ? nil : try run.input(values, [rows, values.count / rows])
        let dz = try run.output(shape)
        try run.run {
            try $0.scoreGradient(
                into: dz, z, targets: t, values: v, outputs: outputs, loss: loss, centre: Self.centre,
                state: state)
        }
        return try run.values(dz)
    }

    @Test(arguments: try FamilyRun.all(), losses)
    func gradientIsThatOfTheLoss(_ run: FamilyRun, _ loss: ScoreLoss) throws {
        for size in Self.sizes {
            let outputs = loss == .pair ? 1 : size.outputs
            let (rows, pitch) = (size.rows + size.padding, (outputs + 7) / 8 * 8)
            var random = RandomValues(seed: UInt64(rows))
            let scores = random.normal(rows * pitch, deviation: 2)
            let numbers = random.normal(rows * outputs, deviation: 1)
            let values = numbers.map { loss == .labels ? ($0 > 0 ? Float(1) : 0) : $0 }
            let targets = (0..<rows).map { row -> Int32 in
                row < size.rows ? Int32.random(in: 0..<Int32(outputs), using: &random) : -100
            }
            var expected = [Double](repeating: 0, count: rows * pitch)
            let step = loss == .pair ? 2 : 1
            for row in stride(from: 0, to: size.rows, by: step) {
                let places =
                    loss == .pair ? [row * pitch, (row + 1) * pitch] : (0..<outputs).map { row * pitch + $0 }
                let slope = finiteDifference(at: places.map { Double(scores[$0]) }) { z in
                    ReferenceScores.loss(
                        loss, z, target: Int(targets[row]),
                        values: values[row * outputs..<(row + 1) * outputs].map(Double.init),
                        centre: Double(Self.centre))
                }
                for (place, value) in zip(places, slope) { expected[place] = value * Double(Self.scale) }
            }
            let found = try gradient(run, loss, scores, targets: targets, values: values, outputs: outputs)
            #expect(
                mismatch(found, expected, Tolerance(absolute: 2e-6, relative: 1e-5)) == nil, "\(loss) \(size)"
            )
        }
    }

    @Test(arguments: try FamilyRun.all(), losses)
    func scoresThatSaturateHaveFiniteGradients(_ run: FamilyRun, _ loss: ScoreLoss) throws {
        let scores: [Float] = [1e4, -1e4, 88, 0, 0, 0, 0, 0, -1e4, 1e4, -88, 0, 0, 0, 0, 0]
        let outputs = loss == .pair ? 1 : 3
        let found = try gradient(
            run, loss, scores, targets: [1, 0], values: [Float](repeating: 1, count: 2 * outputs),
            outputs: outputs)
        #expect(found.allSatisfy(\.isFinite) && (loss == .pair || found.contains { $0 != 0 }))
    }
}
