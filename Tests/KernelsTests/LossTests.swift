// Cross-entropy, the readout's squared error and the loss sum against their f64 references, in every family.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct LossTests {
    struct Shape: Sendable {
        var rows: Int
        var width: Int
        var columns: Int
    }
    /// Widths about one turn of the loop (16 floats a lane: 64 and 128), padding of 0 to more than one vec4; the last is more
    /// than one binding of a device with tiny limits.
    static let shapes = [
        Shape(rows: 0, width: 8, columns: 8), Shape(rows: 1, width: 4, columns: 1),
        Shape(rows: 7, width: 4, columns: 3), Shape(rows: 8, width: 60, columns: 60),
        Shape(rows: 9, width: 64, columns: 61), Shape(rows: 5, width: 124, columns: 124),
        Shape(rows: 31, width: 128, columns: 121), Shape(rows: 3, width: 132, columns: 130),
        Shape(rows: 9, width: 1000, columns: 993), Shape(rows: 300, width: 60, columns: 58),
    ]

    /// Logits with padding full of large numbers, and labels of which every third row is ignored.
    static func inputs(_ shape: Shape, seed: UInt64) -> (logits: [Float], labels: [Int32]) {
        var random = RandomValues(seed: seed)
        var logits = random.normal(shape.rows * shape.width, deviation: 5)
        for i in logits.indices where i % shape.width >= shape.columns { logits[i] = 1e9 }
        let labels = (0..<shape.rows).map { row in
            row % 3 == 2 ? -100 : Int32.random(in: 0..<Int32(shape.columns), using: &random)
        }
        // Rows 4, 7 …: the label's logit is the largest, so that some rows are correct.
        for row in stride(from: 4, to: shape.rows, by: 3) where labels[row] >= 0 {
            logits[row * shape.width + Int(labels[row])] = 30
        }
        return (logits, labels)
    }

    @Test func referenceGradientIsTheGradient() {
        var random = RandomValues(seed: 12)
        let logits = random.normal(18, deviation: 2).doubles
        let labels: [Int32] = [4, -100, 0]
        for (cap, smoothing, square) in [(nil, 0, 0), (2.5, 0, 0), (nil, 0.1, 0.3), (2.5, 0.2, 0.01)]
            as [(Double?, Double, Double)]
        {
            func loss(_ logits: [Double], scale: Double) -> (losses: [Double], gradient: [Double]) {
                let all = ReferenceLoss.crossEntropy(
                    logits, width: 6, columns: 5, labels: labels, scale: scale, cap: cap,
                    smoothing: smoothing,
                    square: square)
                return (all.losses, all.gradient)
            }
            let measured = finiteDifference(at: logits) { loss($0, scale: 1).losses.reduce(0, +) * 0.7 }
            let tolerance = Tolerance(absolute: 1e-9, relative: 1e-9)
            #expect(mismatch(loss(logits, scale: 0.7).gradient, measured, tolerance) == nil)
        }
    }

    @Test(arguments: try FamilyRun.all(), shapes)
    func crossEntropy(_ run: FamilyRun, _ shape: Shape) throws {
        let (logits, labels) = Self.inputs(shape, seed: 13)
        try check(run, shape, logits, labels)
        try check(run, shape, logits, labels, cap: 8)
    }

    /// Label smoothing and z-loss, each alone and together.
    @Test(arguments: try FamilyRun.all(), shapes)
    func crossEntropyThatIsSmoothed(_ run: FamilyRun, _ shape: Shape) throws {
        let (logits, labels) = Self.inputs(shape, seed: 21)
        for smoothing in [
            LossSmoothing(smoothing: 0.1), LossSmoothing(square: 0.01),
            LossSmoothing(smoothing: 0.2, square: 0.001),
        ] {
            try check(run, shape, logits, labels, smoothing: smoothing)
            try check(run, shape, logits, labels, cap: 8, smoothing: smoothing)
        }
    }

    /// Weights of any sign, and 0; a row that is ignored stays so.
    @Test(arguments: try FamilyRun.all(), shapes)
    func crossEntropyOfWeightedTargets(_ run: FamilyRun, _ shape: Shape) throws {
        let (logits, labels) = Self.inputs(shape, seed: 18)
        var random = RandomValues(seed: 19)
        var weights = random.normal(shape.rows, deviation: 2)
        for (index, weight) in ([0, 1, -3] as [Float]).enumerated() where index < shape.rows {
            weights[index] = weight
        }
        try check(run, shape, logits, labels, weights: weights)
        try check(run, shape, logits, labels, weights: weights, cap: 8)
    }

    /// A weight of 1 changes no bit.
    @Test(arguments: try FamilyRun.ownLimits())
    func weightsOfOneAreNone(_ run: FamilyRun) throws {
        let shape = Shape(rows: 9, width: 64, columns: 61)
        let (logits, labels) = Self.inputs(shape, seed: 20)
        let state = try run.device.makeStepState()
        try run.device.upload([StepState()], into: state)
        func result(_ weights: [Float]?) throws -> [Float] {
            let (losses, inPlace) = (try run.output([9]), try run.output(logits, [9, 64]))
            let (labels, weights) = (try run.input(labels, [9]), try weights.map { try run.input($0, [9]) })
            try run.run {
                try $0.crossEntropy(
                    into: losses, gradientInPlaceOf: inPlace, labels: labels, weights: weights, columns: 61,
                    state: state)
            }
            return try run.values(losses) + run.values(inPlace)
        }
        #expect(try result(nil) == result([Float](repeating: 1, count: 9)))
    }

    @Test(arguments: try FamilyRun.ownLimits())
    func wholeVocabulary(_ run: FamilyRun) throws {
        let shape = Shape(rows: 3, width: 128_256, columns: 128_253)
        let (logits, labels) = Self.inputs(shape, seed: 14)
        try check(run, shape, logits, labels)
    }

    @Test(arguments: try FamilyRun.all())
    func extremeLogitsAndTies(_ run: FamilyRun) throws {
        let rows: [[Float]] = [
            [1e4, -1e4, 0, 1e4], [-1e30, -1e30, -1e30, -1e30], [3e38, 1, 2, 3], [0, 0, 0, 0], [0, 0, 0, 0],
        ]
        for cap: Float? in [nil, 8] {
            try check(
                run, Shape(rows: 5, width: 4, columns: 4), rows.flatMap { $0 }, [3, 0, 1, 0, 2], cap: cap)
        }
    }

    @Test(arguments: try FamilyRun.all(), [Float.nan, .infinity])
    func notFiniteLogitsGiveNotFiniteLosses(_ run: FamilyRun, _ bad: Float) throws {
        var (logits, _) = Self.inputs(Shape(rows: 1, width: 132, columns: 132), seed: 15)
        logits[77] = bad
        let (losses, correct) = (try run.output([1]), try run.output([1], dtype: .i32))
        let (tensor, labels) = (try run.input(logits, [1, 132]), try run.input([5] as [Int32], [1]))
        try run.run {
            try $0.crossEntropy(into: losses, correct: correct, tensor, labels: labels, columns: 132)
        }
        #expect(try !run.values(losses)[0].isFinite)
    }

    private func check(
        _ run: FamilyRun, _ shape: Shape, _ logits: [Float], _ labels: [Int32], weights: [Float]? = nil,
        cap: Float? = nil, smoothing: LossSmoothing = LossSmoothing()
    ) throws {
        let scale: Float = 0.125
        let (losses, again) = (try run.output([shape.rows]), try run.output([shape.rows]))
        let correct = try run.output([shape.rows], dtype: .i32)
        let inPlace = try run.output(logits, [shape.rows, shape.width])
        let tensor = try run.input(logits, [shape.rows, shape.width])
        let labelTensor = try run.input(labels, [shape.rows])
        let weightTensor = try weights.map { try run.input($0, [shape.rows]) }
        var state = StepState()
        state.lossScale = scale
        let stateSlice = try run.device.makeStepState()
        try run.device.upload([state], into: stateSlice)
        try run.run {
            try $0.crossEntropy(
                into: losses, correct: correct, tensor, labels: labelTensor, columns: shape.columns,
                cap: cap)
            try $0.crossEntropy(
                into: again, gradientInPlaceOf: inPlace, labels: labelTensor, weights: weightTensor,
                columns: shape.columns, state: stateSlice, cap: cap, smoothing: smoothing)
        }
        func reference(
            _ weights: [Float]?, _ smoothing: LossSmoothing = LossSmoothing()
        ) -> (losses: [Double], correct: [UInt32], gradient: [Double]) {
            ReferenceLoss.crossEntropy(
                logits.doubles, width: shape.width, columns: shape.columns, labels: labels,
                weights: weights?.doubles, scale: Double(scale), cap: cap.map(Double.init),
                smoothing: Double(smoothing.smoothing), square: Double(smoothing.square))
        }
        let (plain, expected) = (reference(nil), reference(weights, smoothing))
        let largest = weights?.map { Double(abs($0)) }.max() ?? 1
        #expect(mismatch(try run.values(losses), plain.losses, .float(scale: 4)) == nil)
        #expect(mismatch(try run.values(again), expected.losses, .float(scale: 4 * largest)) == nil)
        #expect(
            mismatch(
                try run.values(inPlace), expected.gradient, .float(roundings: 64, scale: 0.125 * largest))
                == nil)
        #expect(try run.integers(correct) == expected.correct.map(Int32.init))
    }

    @Test(arguments: try FamilyRun.all(), [1, 7, 8, 9, 64, 65, 4097])
    func lossSum(_ run: FamilyRun, _ count: Int) throws {
        var random = RandomValues(seed: 16)
        // A large first term: a plain float sum would lose the small ones.
        let losses = [Float(1e5)] + random.uniform(count - 1, in: 0...0.01)
        let tensor = try run.input(losses, [count])
        let result = try run.device.makeStepResult()
        try run.run { try $0.lossSum(into: result, tensor) }
        let sum = try run.device.download(result, as: StepResult.self)[0].lossSum
        #expect(mismatch([sum], [losses.doubles.reduce(0, +)], .float(roundings: 2, scale: 0)) == nil)
    }

    @Test func referenceReadoutGradientIsTheGradient() {
        var random = RandomValues(seed: 17)
        let (z, weight, targets) = (
            random.normal(24).doubles, random.normal(8).doubles, random.normal(3).doubles
        )
        func readout(_ z: [Double]) -> (outputs: [Double], losses: [Double], gradient: [Double]) {
            ReferenceLoss.reluReadout(z, weight: weight, targets: targets, scale: 0.7)
        }
        let measured = finiteDifference(at: z) { readout($0).losses.reduce(0, +) * 0.7 }
        #expect(mismatch(readout(z).gradient, measured, Tolerance(absolute: 1e-8, relative: 1e-8)) == nil)
    }

    @Test(arguments: try FamilyRun.all(), NormTests.shapes)
    func reluReadout(_ run: FamilyRun, _ shape: (rows: Int, width: Int)) throws {
        var random = RandomValues(seed: 18)
        var z = random.normal(shape.rows * shape.width)
        for (i, edge) in zip(z.indices, [0, -0.0, 1e-30, -1e-30] as [Float]) { z[i] = edge }
        let (weight, targets) = (random.normal(shape.width), random.normal(shape.rows))
        let dz = try run.output([shape.rows, shape.width])
        let inPlace = try run.output(z, [shape.rows, shape.width])
        let (outputs, losses) = (try run.output([shape.rows]), try run.output([shape.rows]))
        let zTensor = try run.input(z, [shape.rows, shape.width])
        let (w, y) = (try run.input(weight, [shape.width]), try run.input(targets, [shape.rows]))
        try run.run {
            for (dz, z) in [(dz, zTensor), (inPlace, inPlace)] {
                try $0.reluReadout(
                    into: dz, outputs: outputs, losses: losses, z, weight: w, targets: y, scale: 0.25)
            }
        }
        let expected = ReferenceLoss.reluReadout(
            z.doubles, weight: weight.doubles, targets: targets.doubles, scale: 0.25)
        // The terms of a sum of C products have a size of √C.
        let size = Double(shape.width).squareRoot()
        #expect(mismatch(try run.values(outputs), expected.outputs, .float(scale: size)) == nil)
        #expect(mismatch(try run.values(losses), expected.losses, .float(scale: size * size)) == nil)
        for gradient in [dz, inPlace] {
            #expect(mismatch(try run.values(gradient), expected.gradient, .float(scale: size)) == nil)
        }
    }
}
