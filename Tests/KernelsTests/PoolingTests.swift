// Means of rows and losses of vectors of texts against f64, in every family; their gradients against finite differences.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct PoolingTests {
    struct Case: Sendable {
        let rows: Int
        let width: Int
        /// (start, end): not in order, with gaps, single rows and none.
        let ranges: [Int32]
        var sequences: Int { ranges.count / 2 }

        func pooled(_ x: [Double]) -> [Double] {
            (0..<sequences).flatMap { sequence in
                let range = Int(ranges[2 * sequence])..<Int(ranges[2 * sequence + 1])
                return (0..<width).map { column in
                    range.reduce(0) { $0 + x[$1 * width + column] } / Double(max(range.count, 1))
                }
            }
        }
    }

    static let cases = [
        Case(rows: 1, width: 4, ranges: [0, 1]),
        Case(rows: 7, width: 12, ranges: [3, 7, 0, 1, 1, 1, 1, 3]),
        Case(rows: 67, width: 64, ranges: [0, 40, 40, 41, 43, 67]),
        Case(rows: 200, width: 260, ranges: (0..<50).flatMap { [Int32($0 * 4), Int32($0 * 4 + 3)] }),
    ]

    @Test(arguments: try FamilyRun.all(), cases)
    func means(_ run: FamilyRun, _ test: Case) throws {
        var random = RandomValues(seed: 21)
        let x = random.normal(test.rows * test.width)
        let y = try run.output([test.sequences, test.width])
        let (input, ranges) = (
            try run.input(x, [test.rows, test.width]), try run.input(test.ranges, [test.sequences, 2])
        )
        try run.run { try $0.pool(into: y, input, ranges: ranges) }
        #expect(mismatch(try run.values(y), test.pooled(x.doubles), .float(scale: 4)) == nil)
    }

    @Test(arguments: try FamilyRun.all(), cases)
    func gradientsOfMeans(_ run: FamilyRun, _ test: Case) throws {
        var random = RandomValues(seed: 22)
        let (x, dy) = (
            random.normal(test.rows * test.width).doubles, random.normal(test.sequences * test.width)
        )
        let dx = try run.output([test.rows, test.width])
        let (input, ranges) = (
            try run.input(dy, [test.sequences, test.width]), try run.input(test.ranges, [test.sequences, 2])
        )
        try run.run { try $0.poolBackward(into: dx, input, ranges: ranges) }
        let values = try run.values(dx)
        guard test.rows <= 7 else {
            // The mean is linear: its gradient in a direction says all.
            let direction = random.normal(x.count).doubles
            let change = weightedSum(test.pooled(direction), dy.doubles)
            let found = weightedSum(values.doubles, direction)
            #expect(abs(found - change) <= 1e-4 * max(1, abs(change)))
            return
        }
        let measured = finiteDifference(at: x) { weightedSum(test.pooled($0), dy.doubles) }
        #expect(mismatch(values, measured, .float(scale: 4)) == nil)
    }

    private static let scale: Float = 0.25

    private static func loss(
        _ kind: Shader.TextLoss, _ vectors: [[Double]], scores: [Float], width: Int, margin: Double
    ) -> [Double] {
        scores.indices.map { row in
            func difference(_ a: Int, _ b: Int) -> Double {
                (0..<width).reduce(0) {
                    let d = vectors[a][row * width + $1] - vectors[b][row * width + $1]
                    return $0 + d * d
                }
                .squareRoot()
            }
            if kind == .triplet { return max(0, difference(0, 1) - difference(0, 2) + margin) }
            let dot = (0..<width).reduce(0) {
                $0 + vectors[0][row * width + $1] * vectors[1][row * width + $1]
            }
            return (dot - Double(scores[row])) * (dot - Double(scores[row]))
        }
    }

    @Test(arguments: try FamilyRun.all(), [(1, 4), (3, 20), (9, 132)])
    func losses(_ run: FamilyRun, _ size: (rows: Int, width: Int)) throws {
        for loss in [Shader.TextLoss.cosine, .triplet] {
            try check(run, loss, rows: size.rows, width: size.width)
        }
    }

    private func check(_ run: FamilyRun, _ loss: Shader.TextLoss, rows: Int, width: Int) throws {
        var random = RandomValues(seed: 23)
        let count = loss == .triplet ? 3 : 2
        // Some triplets are far enough apart.
        let margin: Float = 0.5
        let vectors = (0..<count).map { _ in
            random.normal(rows * width, deviation: 1 / Float(width).squareRoot())
        }
        let scores = random.normal(rows)
        let shape = [rows, width]
        let inputs = try vectors.map { try run.input($0, shape) }
        let gradients = try vectors.map { _ in try run.output(shape) }
        let (losses, scoreTensor) = (try run.output([rows]), try run.input(scores, [rows]))
        var state = StepState()
        state.lossScale = Self.scale
        let slice = try run.device.makeStepState()
        try run.device.upload([state], into: slice)
        try run.run {
            try $0.textLoss(
                loss, into: losses, gradients: gradients, inputs, scores: scoreTensor, margin: margin,
                state: slice,
                label: "texts")
        }
        func value(_ vectors: [[Double]]) -> [Double] {
            Self.loss(loss, vectors, scores: scores, width: width, margin: Double(margin))
        }
        #expect(mismatch(try run.values(losses), value(vectors.map(\.doubles)), .float(scale: 4)) == nil)
        for (index, gradient) in gradients.enumerated() {
            let measured = finiteDifference(at: vectors[index].doubles) { changed in
                var all = vectors.map(\.doubles)
                all[index] = changed
                return value(all).reduce(0, +) * Double(Self.scale)
            }
            let tolerance = Tolerance(absolute: 1e-5, relative: 1e-4)
            #expect(mismatch(try run.values(gradient), measured, tolerance) == nil, "gradient \(index)")
        }
    }
}
