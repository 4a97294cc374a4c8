// Attention and its backward against their f64 reference, in every family.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct AttentionTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let segments: [Int]
        let heads: Int
        let kvHeads: Int
        let headSize: Int
        var testDescription: String { "\(segments) of \(heads)/\(kvHeads) heads of \(headSize)" }
        var tokens: Int { segments.reduce(0, +) }
        var reference: ReferenceAttention {
            ReferenceAttention(segments: segments, heads: heads, kvHeads: kvHeads, headSize: headSize)
        }
    }

    /// Lengths astride every tile, segments that begin and end inside one, every ratio of heads and every
    /// unrolling. The first two also split where limits are tiny.
    static let cases = [
        Case(segments: [7, 1, 9, 1, 1, 14], heads: 3, kvHeads: 1, headSize: 64),
        Case(segments: [5, 6], heads: 4, kvHeads: 2, headSize: 4),
        Case(segments: [], heads: 3, kvHeads: 1, headSize: 64),
        Case(segments: [1], heads: 3, kvHeads: 1, headSize: 64),
        Case(segments: [1, 1, 1], heads: 3, kvHeads: 1, headSize: 64),
        Case(segments: [16, 17], heads: 6, kvHeads: 2, headSize: 64),
        Case(segments: [31, 2], heads: 4, kvHeads: 1, headSize: 32),
        Case(segments: [8, 24], heads: 2, kvHeads: 2, headSize: 80),
        Case(segments: [19], heads: 4, kvHeads: 1, headSize: 128),
    ]

    @Test func referenceBackwardIsTheGradient() {
        let reference = ReferenceAttention(segments: [3, 1, 4], heads: 2, kvHeads: 1, headSize: 4)
        var random = RandomValues(seed: 1)
        let (q, dout) = (random.normal(8 * 8).doubles, random.normal(8 * 8).doubles)
        let (k, v) = (random.normal(8 * 4).doubles, random.normal(8 * 4).doubles)
        let gradients = reference.backward(dout, q: q, k: k, v: v)
        let tolerance = Tolerance(absolute: 1e-8, relative: 1e-8)
        let dq = finiteDifference(at: q) { weightedSum(reference.forward(q: $0, k: k, v: v).out, dout) }
        let dk = finiteDifference(at: k) { weightedSum(reference.forward(q: q, k: $0, v: v).out, dout) }
        let dv = finiteDifference(at: v) { weightedSum(reference.forward(q: q, k: k, v: $0).out, dout) }
        #expect(mismatch(gradients.dq, dq, tolerance) == nil)
        #expect(mismatch(gradients.dk, dk, tolerance) == nil)
        #expect(mismatch(gradients.dv, dv, tolerance) == nil)
    }

    @Test(arguments: try FamilyRun.ownLimits(), cases.dropFirst(2))
    func forwardAndBackward(_ run: FamilyRun, _ shape: Case) throws {
        try check(run, shape, deviation: 1)
    }

    @Test(arguments: try FamilyRun.all(), cases.prefix(2))
    func forwardAndBackwardInPieces(_ run: FamilyRun, _ shape: Case) throws {
        try check(run, shape, deviation: 1)
    }

    /// Not in shared memory on a CPU, where compiling it takes half a minute.
    @Test(
        arguments: try FamilyRun.ownLimits().filter {
            $0.family != .shared || $0.device.capabilities.type != .cpu
        })
    func largestHeads(_ run: FamilyRun) throws {
        try check(run, Case(segments: [21], heads: 1, kvHeads: 1, headSize: 256), deviation: 1)
    }

    /// Scores of hundreds: only the highest matters, and nothing overflows.
    @Test(arguments: try FamilyRun.all())
    func sharpScores(_ run: FamilyRun) throws {
        try check(run, Case(segments: [3, 38], heads: 3, kvHeads: 1, headSize: 64), deviation: 12)
    }

    private func check(_ run: FamilyRun, _ shape: Case, deviation: Float) throws {
        var random = RandomValues(seed: 2)
        let (wide, narrow) = (
            [shape.tokens, shape.heads * shape.headSize], [shape.tokens, shape.kvHeads * shape.headSize]
        )
        let q = random.normal(wide[0] * wide[1], deviation: deviation)
        let k = random.normal(narrow[0] * narrow[1], deviation: deviation)
        let v = random.normal(narrow[0] * narrow[1])
        let dout = random.normal(wide[0] * wide[1])
        let reference = shape.reference
        let (qTensor, doutTensor) = (try run.input(q, wide), try run.input(dout, wide))
        let (kTensor, vTensor) = (try run.input(k, narrow), try run.input(v, narrow))
        let spans = try run.input(reference.spans, [shape.tokens, 2])
        let (out, dq) = (try run.output(wide), try run.output(wide))
        let (dk, dv) = (try run.output(narrow), try run.output(narrow))
        let (lse, delta) = (
            try run.output([shape.tokens, shape.heads]), try run.output([shape.tokens, shape.heads])
        )
        try run.run { encoder in
            try encoder.attention(
                into: out, lse: lse, q: qTensor, k: kTensor, v: vTensor, spans: spans, heads: shape.heads,
                kvHeads: shape.kvHeads)
            try encoder.attentionBackward(
                intoQ: dq, k: dk, v: dv, delta: delta, doutTensor, out: out, lse: lse, q: qTensor, k: kTensor,
                v: vTensor, spans: spans, heads: shape.heads, kvHeads: shape.kvHeads)
        }
        let expected = reference.forward(q: q.doubles, k: k.doubles, v: v.doubles)
        let gradients = reference.backward(dout.doubles, q: q.doubles, k: k.doubles, v: v.doubles)
        // A score of magnitude s carries s·ulp of error into the exponent, and so into every probability.
        let size = Double(deviation * deviation) * Double(shape.headSize).squareRoot()
        let sum = Double(deviation) * Double(shape.headSize).squareRoot()
        #expect(mismatch(try run.values(out), expected.out, .float(scale: max(size / 4, 1))) == nil)
        #expect(mismatch(try run.values(lse), expected.lse, .float(scale: max(size / 4, 1))) == nil)
        #expect(mismatch(try run.values(dq), gradients.dq, .float(scale: max(size, 1) * sum)) == nil)
        #expect(mismatch(try run.values(dk), gradients.dk, .float(scale: max(size, 1) * sum)) == nil)
        #expect(mismatch(try run.values(dv), gradients.dv, .float(scale: max(size, 1) * 4)) == nil)
    }

    /// Few queries take the decoding kernel, more the tiled one; the cache is longer than what is filled.
    @Test(arguments: try FamilyRun.all(), [(1, 0), (1, 37), (2, 8), (30, 11)])
    func queriesBehindACache(_ run: FamilyRun, _ lengths: (queries: Int, offset: Int)) throws {
        let (heads, kvHeads, headSize, capacity) = (3, 1, 64, 64)
        var random = RandomValues(seed: 3)
        let q = random.normal(lengths.queries * heads * headSize)
        let filled = (lengths.queries + lengths.offset) * kvHeads * headSize
        let unused = [Float](repeating: .nan, count: capacity * kvHeads * headSize - filled)
        let (k, v) = (random.normal(filled), random.normal(filled))
        let out = try run.output([lengths.queries, heads * headSize])
        let lse = try run.output([lengths.queries, heads])
        let qTensor = try run.input(q, [lengths.queries, heads * headSize])
        let kTensor = try run.input(k + unused, [capacity, kvHeads * headSize])
        let vTensor = try run.input(v + unused, [capacity, kvHeads * headSize])
        let spans = try run.input([Int32](repeating: 0, count: lengths.queries * 2), [lengths.queries, 2])
        let offset = try run.input([Int32(lengths.offset)], [1])
        try run.run {
            try $0.attention(
                into: out, lse: lse, q: qTensor, k: kTensor, v: vTensor, spans: spans, heads: heads,
                kvHeads: kvHeads,
                keyOffset: offset)
        }
        let reference = ReferenceAttention(
            queries: lengths.queries, offset: lengths.offset, heads: heads, kvHeads: kvHeads,
            headSize: headSize)
        let expected = reference.forward(q: q.doubles, k: k.doubles, v: v.doubles)
        #expect(mismatch(try run.values(out), expected.out, .float(scale: 2)) == nil)
        #expect(mismatch(try run.values(lse), expected.lse, .float(scale: 2)) == nil)
    }
}
