// Gated short convolutions against their f64 reference, in every family, over several sequences in one list, and in pieces behind a past.

import Kernels
import TestSupport
import Testing

@Suite struct ConvolutionTests {
    struct Case: Sendable, CustomTestStringConvertible {
        /// Of the sequences.
        var lengths: [Int]
        var width: Int
        var taps: Int
        var isBiased = false
        var testDescription: String { "\(lengths) tokens of \(width), \(taps) taps" }

        var rows: Int { lengths.reduce(0, +) }
        /// (first, end) of each token's sequence.
        var spans: [Int32] {
            var end = 0
            return lengths.flatMap { length in
                let start = end
                end += length
                return (0..<length).flatMap { _ in [Int32(start), Int32(end)] }
            }
        }
        func reference(_ weight: [Float], _ bias: [Float]?) -> ReferenceConvolution {
            ReferenceConvolution(
                width: width, weight: weight.doubles, bias: bias?.doubles,
                first: (0..<rows).map { Int(spans[2 * $0]) })
        }
    }

    static let cases = [
        Case(lengths: [1], width: 4, taps: 3),
        Case(lengths: [2, 1, 5, 3], width: 36, taps: 3),
        Case(lengths: [33], width: 128, taps: 4, isBiased: true),
        Case(lengths: [1, 1, 40, 2, 9], width: 260, taps: 3, isBiased: true),
        Case(lengths: [5, 40], width: 12, taps: 9),
    ]

    @Test(arguments: try FamilyRun.all(), cases)
    func forwardAndBackward(_ run: FamilyRun, _ test: Case) throws {
        let (count, shape) = (test.rows * test.width, [test.rows, test.width])
        var random = RandomValues(seed: 21)
        let weight = random.normal(test.taps * test.width)
        let bias = test.isBiased ? random.normal(test.width) : nil
        let (b, c, x, da) = (
            random.normal(count), random.normal(count), random.normal(count), random.normal(count)
        )
        let convolution = ShortConvolution(
            weight: try run.input(weight, [test.taps, test.width]),
            bias: try bias.map { try run.input($0, [test.width]) })
        let spans = try run.input(test.spans, [test.rows, 2])
        let zero = try run.input([Int32(0)], [1])
        let (bTensor, cTensor, xTensor, daTensor) = (
            try run.input(b, shape), try run.input(c, shape), try run.input(x, shape),
            try run.input(da, shape)
        )
        let (a, db, dc, dx) = (
            try run.output(shape), try run.output(shape), try run.output(shape), try run.output(shape)
        )
        try run.run {
            try $0.shortConvolution(
                convolution, into: a, b: bTensor, c: cTensor, x: xTensor, spans: spans, offset: zero)
            try $0.shortConvolutionBackward(
                convolution, intoB: db, c: dc, x: dx, daTensor, b: bTensor, c: cTensor, x: xTensor,
                spans: spans)
        }
        let reference = test.reference(weight, bias)
        let wanted = reference.backward(da.doubles, b: b.doubles, c: c.doubles, x: x.doubles)
        for (output, expected) in [
            (a, reference.forward(b: b.doubles, c: c.doubles, x: x.doubles)), (db, wanted.b), (dc, wanted.c),
            (dx, wanted.x),
        ] {
            let wrong = mismatch(
                try run.values(output), expected, .float(roundings: 8, scale: 8 * Double(test.taps)))
            #expect(wrong == nil, "\(wrong ?? "")")
        }
    }

    /// In pieces that are shorter and longer than the taps; what was kept of before the sequence is never read.
    @Test(arguments: try FamilyRun.all(), [3, 4, 1])
    func piecesBehindAPastAreTheWhole(_ run: FamilyRun, _ taps: Int) throws {
        let test = Case(lengths: [17], width: 36, taps: taps, isBiased: true)
        var random = RandomValues(seed: 22)
        let (weight, bias) = (random.normal(taps * 36), random.normal(36))
        let (b, c, x) = (random.normal(17 * 36), random.normal(17 * 36), random.normal(17 * 36))
        let convolution = ShortConvolution(
            weight: try run.input(weight, [taps, 36]), bias: try run.input(bias, [36]))
        let past = try run.output([taps, 36])
        var got: [Float] = []
        for piece in [0..<1, 1..<2, 2..<4, 4..<5, 5..<12, 12..<13, 13..<17] {
            func part(_ values: [Float]) throws -> Tensor {
                try run.input(
                    Array(values[piece.lowerBound * 36..<piece.upperBound * 36]), [piece.count, 36])
            }
            let a = try run.output([piece.count, 36])
            let (b, c, x) = (try part(b), try part(c), try part(x))
            let offset = try run.input([Int32(piece.lowerBound)], [1])
            let spans = try run.input(piece.flatMap { _ in [Int32(0), 17] }, [piece.count, 2])
            try run.run {
                try $0.shortConvolution(
                    convolution, into: a, b: b, c: c, x: x, spans: spans, offset: offset, past: past)
                try $0.keepPast(of: convolution, into: past, b: b, x: x, offset: offset)
            }
            got += try run.values(a)
        }
        let expected = test.reference(weight, bias).forward(b: b.doubles, c: c.doubles, x: x.doubles)
        #expect(mismatch(got, expected, .float(roundings: 8, scale: 8 * Double(taps))) == nil)
    }

    @Test func referenceBackwardIsTheGradient() {
        let test = Case(lengths: [2, 5], width: 4, taps: 3)
        var random = RandomValues(seed: 23)
        let reference = test.reference(random.normal(12), random.normal(4))
        let (b, c) = (random.normal(28).doubles, random.normal(28).doubles)
        let (x, da) = (random.normal(28).doubles, random.normal(28).doubles)
        let got = reference.backward(da, b: b, c: c, x: x)
        let tolerance = Tolerance(absolute: 1e-7, relative: 1e-7)
        let db = finiteDifference(at: b) { weightedSum(reference.forward(b: $0, c: c, x: x), da) }
        let dc = finiteDifference(at: c) { weightedSum(reference.forward(b: b, c: $0, x: x), da) }
        let dx = finiteDifference(at: x) { weightedSum(reference.forward(b: b, c: c, x: $0), da) }
        #expect(mismatch(got.b, db, tolerance) == nil)
        #expect(mismatch(got.c, dc, tolerance) == nil)
        #expect(mismatch(got.x, dx, tolerance) == nil)
    }
}
