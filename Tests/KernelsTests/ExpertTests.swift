// Mixtures of experts against f64, in every family: routing with ties, the sort of slots, products of each weight type with experts that have
// many, few and no rows, sums, and all backwards.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct ExpertTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var tokens: Int
        var experts: Int
        var used: Int
        var scores = ExpertRouting.Scores.softmax(ofChosen: true)
        var isBiased = false
        /// Experts that no token goes to.
        var unused: Set<Int> = []
        var testDescription: String { "\(tokens) tokens, \(used) of \(experts), \(scores)" }

        /// Multiples of 1/8, which sums of a few bits keep apart.
        var bias: [Float] { (0..<experts).map { isBiased ? Float($0 % 5) / 8 : 0 } }
        var reference: ReferenceRouting { ReferenceRouting(used: used, scores, bias: bias.doubles) }
        func routing(_ run: FamilyRun) throws -> ExpertRouting {
            ExpertRouting(
                experts: experts, used: used, scores, bias: isBiased ? try run.input(bias, [experts]) : nil)
        }
        var pitch: Int { (experts + 3) / 4 * 4 }

        /// (N, pitch), behind the experts what would win. Few different values, so that many are equal.
        func logits(_ random: inout RandomValues) -> [Float] {
            (0..<tokens).flatMap { _ in
                let row = random.normal(experts, deviation: 3).enumerated().map {
                    unused.contains($0) ? -50 : ($1 * 4).rounded() / 4
                }
                return row + [Float](repeating: 99, count: pitch - experts)
            }
        }
    }

    static let cases = [
        Case(tokens: 1, experts: 8, used: 2),
        Case(tokens: 1, experts: 6, used: 6, scores: .softmax(ofChosen: false)),
        Case(tokens: 5, experts: 4, used: 1, scores: .softmax(ofChosen: false), isBiased: true),
        Case(tokens: 67, experts: 6, used: 3, unused: [0, 4]),
        Case(tokens: 300, experts: 33, used: 4, scores: .softmax(ofChosen: false), unused: [32]),
        Case(tokens: 40, experts: 8, used: 2, unused: [0, 1, 2, 4, 5, 7]),
        Case(
            tokens: 70, experts: 12, used: 4, scores: .sigmoid(isNormalised: true, scale: 2.5), isBiased: true
        ),
        Case(tokens: 9, experts: 5, used: 2, scores: .sigmoid(isNormalised: false, scale: 0.5)),
    ]

    /// Routes tokens on the device.
    private func routed(
        _ run: FamilyRun, _ test: Case, _ logits: [Float]
    ) throws -> ExpertSlots {
        let routing = try test.routing(run)
        let slots = try ExpertSlots(
            routing, tokens: test.tokens, run.device.capabilities, run.family
        ) { try run.output($0, dtype: $1) }
        let tensor = try run.input(logits, [test.tokens, test.pitch])
        let scratch = try run.output(slots.scratchShape(routing), dtype: .i32)
        try run.run { try $0.route(into: slots, tensor, routing, scratch: scratch) }
        return slots
    }

    @Test(arguments: try FamilyRun.all(), cases)
    func routesAndSorts(_ run: FamilyRun, _ test: Case) throws {
        var random = RandomValues(seed: 31)
        let logits = test.logits(&random)
        let slots = try routed(run, test, logits)
        let rows = (0..<test.tokens).map { row in
            Array(logits[row * test.pitch..<row * test.pitch + test.experts]).doubles
        }
        let chosen = rows.flatMap { test.reference.chosen($0) }
        #expect(try run.integers(slots.experts).map { Int($0) } == chosen)
        let scores = rows.flatMap { test.reference.scores($0) }
        #expect(mismatch(try run.values(slots.scores), scores, .float(roundings: 40)) == nil)
        let sorted = ReferenceSlots(chosen)
        #expect(try run.integers(slots.order).map { Int($0) } == sorted.order)
        #expect(try run.integers(slots.places).map { Int($0) } == sorted.places)
        // A token's own experts and no others are read.
        if test.tokens == 1 { #expect(slots.tiles.rows == test.used) }
        // Each place is in one tile, of its expert's.
        let tiles = try run.integers(slots.tiles).map { Int($0) }
        var covered: [Int] = []
        for tile in stride(from: 0, to: tiles.count, by: 4).map({ Array(tiles[$0..<$0 + 4]) }) {
            for place in tile[1]..<tile[2] {
                covered.append(place)
                #expect(chosen[sorted.order[place]] == tile[0])
            }
        }
        #expect(covered == Array(sorted.order.indices))
    }

    @Test(arguments: try FamilyRun.all(), cases)
    func gradientsOfLogits(_ run: FamilyRun, _ test: Case) throws {
        var random = RandomValues(seed: 32)
        let logits = test.logits(&random)
        let dscores = random.normal(test.tokens * test.used)
        let slots = try routed(run, test, logits)
        let shape = [test.tokens, test.pitch]
        let (tensor, gradient) = (try run.input(logits, shape), try run.input(dscores, [dscores.count]))
        let (dlogits, routing) = (try run.output(shape), try test.routing(run))
        try run.run {
            try $0.routeBackward(into: dlogits, gradient, logits: tensor, slots, routing)
        }
        let expected = (0..<test.tokens).flatMap { row in
            let own = Array(logits[row * test.pitch..<row * test.pitch + test.experts]).doubles
            let ds = Array(dscores[row * test.used..<(row + 1) * test.used]).doubles
            return test.reference.backward(ds, own) + [Double](repeating: 0, count: test.pitch - test.experts)
        }
        #expect(mismatch(try run.values(dlogits), expected, .float(roundings: 40)) == nil)
    }

    @Test(arguments: cases) func referenceBackwardIsTheGradient(_ test: Case) {
        var random = RandomValues(seed: 33)
        let (logits, ds) = (random.normal(test.experts).doubles, random.normal(test.used).doubles)
        let chosen = test.reference.chosen(logits)
        let measured = finiteDifference(at: logits) {
            weightedSum(test.reference.scores($0, of: chosen), ds)
        }
        let tolerance = Tolerance(absolute: 1e-8, relative: 1e-8)
        #expect(mismatch(test.reference.backward(ds, logits), measured, tolerance) == nil)
    }

    /// NaN must lead to no expert that is not there.
    @Test(arguments: try FamilyRun.ownLimits())
    func logitsThatAreNoNumbersChooseExperts(_ run: FamilyRun) throws {
        let test = Case(tokens: 3, experts: 4, used: 2)
        let slots = try routed(
            run, test, [.nan, .nan, .nan, .nan, 1, .nan, 2, .infinity, -.infinity, .nan, .nan, .nan])
        #expect(try run.integers(slots.experts).allSatisfy { 0..<4 ~= $0 })
        #expect(try run.integers(slots.places).sorted() == [0, 1, 2, 3, 4, 5])
    }

    // MARK: Products

    struct Shape: Sendable, CustomTestStringConvertible {
        var test: Case
        var outputs: Int
        var inputs: Int
        var testDescription: String { "\(test.testDescription) of \(outputs)x\(inputs)" }
    }

    /// The last are more than one binding of tiny limits, of rows and of weights.
    static let shapes = [
        Shape(test: Case(tokens: 1, experts: 8, used: 2), outputs: 64, inputs: 32),
        Shape(test: Case(tokens: 23, experts: 4, used: 2, unused: [1]), outputs: 36, inputs: 96),
        Shape(test: Case(tokens: 130, experts: 8, used: 3, unused: [3]), outputs: 100, inputs: 64),
    ]

    @Test(arguments: try FamilyRun.all(), shapes)
    func productsOfPlainWeights(_ run: FamilyRun, _ shape: Shape) throws {
        for type in [Shader.Weight.f32, .f16] { try check(run, type, shape) }
    }

    @Test(arguments: try FamilyRun.all(), Shader.Weight.allCases)
    func productsOfEveryType(_ run: FamilyRun, _ type: Shader.Weight) throws {
        let multiple = WeightLayout.columnMultiple(type)
        let test = Case(tokens: 37, experts: 3, used: 2, unused: [1])
        try check(run, type, Shape(test: test, outputs: 64, inputs: max(64, multiple)))
    }

    private func check(_ run: FamilyRun, _ type: Shader.Weight, _ shape: Shape) throws {
        let (test, outputs, inputs) = (shape.test, shape.outputs, (shape.inputs + 31) / 32 * 32)
        var random = RandomValues(seed: UInt64(test.tokens))
        let logits = test.logits(&random)
        let slots = try routed(run, test, logits)
        let chosen = try run.integers(slots.experts).map { Int($0) }
        let order = ReferenceSlots(chosen).order
        let references = (0..<test.experts).map { _ in
            ReferenceWeight(type, rows: outputs, columns: inputs, random: &random)
        }
        let whole = try run.device.makeWeight(
            WeightLayout(type, rows: test.experts * outputs, columns: inputs), label: "experts")
        let bytes = references.flatMap(\.bytes)
        try bytes.withUnsafeBytes { try run.device.upload($0, into: whole) }
        let weights = ExpertWeights(whole, experts: test.experts)

        let (tokens, count) = (test.tokens, order.count)
        let x = random.normal(tokens * inputs)
        let dy = random.normal(count * outputs)
        let old = random.normal(count * inputs)
        let dTokens = random.normal(tokens * outputs)
        let y = try run.output([count, outputs])
        let dx = try run.output(old, [count, inputs])
        let (dGathered, again) = (try run.output([count, inputs]), try run.output([count, outputs]))
        let (xTensor, dyTensor) = (
            try run.input(x, [tokens, inputs]), try run.input(dy, [count, outputs])
        )
        let rows = order.flatMap { slot in
            x[slot / test.used * inputs..<(slot / test.used + 1) * inputs]
        }
        let (rowsTensor, dTensor) = (
            try run.input(rows, [count, inputs]), try run.input(dTokens, [tokens, outputs])
        )
        try run.run {
            try $0.expertProduct(into: y, xTensor, weights, slots, isGathered: true)
            try $0.expertProduct(into: again, rowsTensor, weights, slots)
            try $0.expertProductBackward(into: dx, accumulate: true, dyTensor, weights, slots)
            try $0.expertProductBackward(into: dGathered, dTensor, weights, slots, isGathered: true)
        }
        var (wantY, wantDx, wantGathered) = ([Double](), [Double](), [Double]())
        for (place, slot) in order.enumerated() {
            let weight = references[chosen[slot]].matrix
            func row(_ values: [Float], _ index: Int, _ width: Int) -> Matrix {
                Matrix(1, width, Array(values[index * width..<(index + 1) * width]))
            }
            wantY += (row(rows, place, inputs) * weight.transposed).values
            wantDx += (row(dy, place, outputs) * weight + row(old, place, inputs)).values
            wantGathered += (row(dTokens, slot / test.used, outputs) * weight).values
        }
        for (name, output, expected) in [
            ("gathered", y, wantY), ("direct", again, wantY), ("backward", dx, wantDx),
            ("gathered backward", dGathered, wantGathered),
        ] {
            let wrong = mismatch(
                try run.values(output), expected, .float(roundings: Double(max(inputs, outputs))))
            #expect(wrong == nil, "\(name) \(type) \(shape.testDescription): \(wrong ?? "")")
        }
    }

    // MARK: Between and behind them

    @Test(arguments: try FamilyRun.all(), [cases[0], cases[3], cases[4]])
    func biases(_ run: FamilyRun, _ test: Case) throws {
        var random = RandomValues(seed: 36)
        let slots = try routed(run, test, test.logits(&random))
        let chosen = try run.integers(slots.experts).map { Int($0) }
        let (order, width) = (ReferenceSlots(chosen).order, 36)
        let bias = random.normal(test.experts * width)
        let (x, dy) = (random.normal(order.count * width), random.normal(test.tokens * width))
        let old = random.normal(order.count)
        let (y, dscores) = (try run.output(x, [order.count, width]), try run.output(old, [order.count]))
        let (biasTensor, dyTensor) = (
            try run.input(bias, [test.experts, width]), try run.input(dy, [test.tokens, width])
        )
        try run.run {
            try $0.addExpertRows(biasTensor, to: y, slots)
            try $0.expertBiasBackward(addingTo: dscores, dyTensor, biasTensor, slots)
        }
        let wantY = order.enumerated().flatMap { place, slot in
            (0..<width).map { Double(x[place * width + $0]) + Double(bias[chosen[slot] * width + $0]) }
        }
        let wantScores = chosen.enumerated().map { slot, expert in
            (0..<width).reduce(Double(old[slot])) {
                $0 + Double(bias[expert * width + $1]) * Double(dy[slot / test.used * width + $1])
            }
        }
        #expect(mismatch(try run.values(y), wantY, .float()) == nil)
        #expect(mismatch(try run.values(dscores), wantScores, .float(roundings: 40)) == nil)
    }

    @Test(
        arguments: try FamilyRun.all(),
        [(cases[0], .silu), (cases[3], .silu), (cases[4], .silu), (cases[3], .clamped)]
            as [(Case, Shader.Activation)])
    func sumsAndActivations(_ run: FamilyRun, _ both: (Case, Shader.Activation)) throws {
        let (test, function) = both
        var random = RandomValues(seed: 35)
        let slots = try routed(run, test, test.logits(&random))
        let sorted = ReferenceSlots(try run.integers(slots.experts).map { Int($0) })
        let scores = try run.values(slots.scores)
        let (count, width) = (sorted.order.count, 36)
        let x = random.normal(count * width)
        let (weighted, plain) = (
            try run.output([test.tokens, width]), try run.output([test.tokens, width])
        )
        let (gate, up, da) = (
            random.normal(count * width, deviation: 4),
            random.normal(count * width, deviation: function == .clamped ? 4 : 1),
            random.normal(count * width)
        )
        let (dgate, dup) = (try run.output(gate, [count, width]), try run.output(up, [count, width]))
        let dscores = try run.output([count])
        let (xTensor, daTensor) = (try run.input(x, [count, width]), try run.input(da, [count, width]))
        try run.run {
            try $0.combine(into: weighted, xTensor, slots, isWeighted: true)
            try $0.combine(into: plain, xTensor, slots, isWeighted: false)
            try $0.expertActivationBackward(
                function, intoScores: dscores, inPlaceOf: dgate, dup, daTensor, slots)
        }
        var (wantWeighted, wantPlain) = ([Double](), [Double]())
        for token in 0..<test.tokens {
            for column in 0..<width {
                let terms = (0..<test.used).map { j in
                    let slot = token * test.used + j
                    return (Double(scores[slot]), Double(x[sorted.places[slot] * width + column]))
                }
                wantWeighted.append(terms.reduce(0) { $0 + $1.0 * $1.1 })
                wantPlain.append(terms.reduce(0) { $0 + $1.1 })
            }
        }
        #expect(mismatch(try run.values(weighted), wantWeighted, .float()) == nil)
        #expect(mismatch(try run.values(plain), wantPlain, .float()) == nil)

        var wantScores = [Double](repeating: 0, count: count)
        var scaled: [Double] = []
        let a = ReferenceActivation.forward(function, gate.doubles, gate: up.doubles)
        for place in 0..<count {
            let slot = sorted.order[place]
            for i in place * width..<(place + 1) * width {
                wantScores[slot] += Double(da[i]) * a[i]
                scaled.append(Double(da[i]) * Double(scores[slot]))
            }
        }
        let expected = ReferenceActivation.backward(function, scaled, x: gate.doubles, gate: up.doubles)
        let scale = function == .clamped ? 32.0 : 8
        #expect(mismatch(try run.values(dgate), expected.dx, .float(scale: scale)) == nil)
        #expect(mismatch(try run.values(dup), expected.dgate, .float(scale: scale)) == nil)
        #expect(mismatch(try run.values(dscores), wantScores, .float(roundings: 40, scale: scale)) == nil)
    }
}
