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
        var window = Int.max
        var scale: Float?
        var scoreCap: Float?
        var hasSinks = false
        var testDescription: String {
            let window = window == .max ? "" : ", window \(window)"
            let cap = scoreCap.map { ", cap \($0)" } ?? ""
            return
                "\(segments) of \(heads)/\(kvHeads) heads of \(headSize)\(window)\(cap)\(hasSinks ? ", sinks" : "")"
        }
        var tokens: Int { segments.reduce(0, +) }
        var shape: AttentionShape {
            AttentionShape(
                heads: heads, kvHeads: kvHeads, headSize: headSize, scale: scale, scoreCap: scoreCap)
        }
        func with(window: Int) -> Case {
            var other = self
            other.window = window
            return other
        }
        var reference: ReferenceAttention {
            var reference = ReferenceAttention(segments: segments, window: window, shape: shape)
            reference.sinks = hasSinks ? AttentionTests.sinks(heads).doubles : nil
            return reference
        }
    }

    /// Below the scores, among them, and far above them.
    private static func sinks(_ heads: Int) -> [Float] { (0..<heads).map { [0.5, 30, -2, -40][$0 % 4] } }

    /// The first two also split where limits are tiny.
    static let sunk = [
        Case(segments: [7, 1, 9, 1, 1, 14], heads: 3, kvHeads: 1, headSize: 64, hasSinks: true),
        Case(segments: [5, 6], heads: 4, kvHeads: 2, headSize: 4, window: 3, hasSinks: true),
        Case(segments: [], heads: 3, kvHeads: 1, headSize: 64, hasSinks: true),
        Case(segments: [16, 17], heads: 6, kvHeads: 2, headSize: 64, window: 5, hasSinks: true),
        Case(segments: [11, 2], heads: 2, kvHeads: 1, headSize: 96, scoreCap: 2, hasSinks: true),
    ]

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
        Case(segments: [11, 2], heads: 2, kvHeads: 1, headSize: 96),
        Case(segments: [19], heads: 4, kvHeads: 1, headSize: 128),
    ]

    /// Windows of one key, inside a tile, over several tiles and workgroups, as long as a segment and longer than all, over
    /// tokens that make one sequence or several.
    static let windowed = [
        Case(segments: [7, 1, 9, 1, 1, 14], heads: 3, kvHeads: 1, headSize: 64, window: 1),
        Case(segments: [7, 1, 9, 1, 1, 14], heads: 3, kvHeads: 1, headSize: 64, window: 3),
        Case(segments: [61], heads: 3, kvHeads: 1, headSize: 64, window: 5),
        Case(segments: [61], heads: 3, kvHeads: 1, headSize: 64, window: 60),
        Case(segments: [40, 21], heads: 3, kvHeads: 1, headSize: 64, window: 21),
        Case(segments: [40, 21], heads: 3, kvHeads: 1, headSize: 64, window: 1000),
        Case(segments: [70, 3], heads: 4, kvHeads: 2, headSize: 4, window: 33),
    ]

    @Test(arguments: [nil, [0.3, -1]] as [[Double]?])
    func referenceBackwardIsTheGradient(_ sinks: [Double]?) {
        var attention = ReferenceAttention(
            segments: [3, 1, 4], window: 3,
            shape: AttentionShape(heads: 2, kvHeads: 1, headSize: 4, scale: 0.7, scoreCap: 1.5))
        attention.sinks = sinks
        let reference = attention
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

    @Test(arguments: try FamilyRun.ofProducts(), cases.prefix(2))
    func forwardAndBackwardInPieces(_ run: FamilyRun, _ shape: Case) throws {
        try check(run, shape, deviation: 1)
    }

    @Test(arguments: try FamilyRun.ownLimits(), windowed)
    func slidingWindows(_ run: FamilyRun, _ shape: Case) throws {
        try check(run, shape, deviation: 1)
    }

    @Test(arguments: try FamilyRun.allAndWholeSums(), sunk.prefix(2))
    func sinksInPieces(_ run: FamilyRun, _ shape: Case) throws { try check(run, shape, deviation: 1) }

    @Test(arguments: try FamilyRun.ownLimits(), sunk.dropFirst(2))
    func sinks(_ run: FamilyRun, _ shape: Case) throws { try check(run, shape, deviation: 1) }

    @Test(arguments: try FamilyRun.all(), [(1, 0), (1, 37), (30, 11)])
    func sinksBehindACache(_ run: FamilyRun, _ lengths: (queries: Int, offset: Int)) throws {
        let shape = AttentionShape(heads: 4, kvHeads: 2, headSize: 16)
        for window in [Int.max, 12] {
            try checkBehindACache(run, shape, lengths, window, sinks: Self.sinks(4))
        }
        guard lengths.offset == 37, run.device.capabilities.maxStorageBufferRange >= 700 * 256 * 4 else {
            return
        }
        let wide = AttentionShape(heads: 4, kvHeads: 2, headSize: 128)
        try checkBehindACache(run, wide, (1, 699), .max, capacity: 700, sinks: Self.sinks(4))
    }

    /// A window as wide as the sequence changes no bit.
    @Test(arguments: try FamilyRun.ownLimits())
    func aWindowOfTheSequenceIsNone(_ run: FamilyRun) throws {
        let full = try results(run, Self.windowed[3].with(window: .max), deviation: 1)
        #expect(try results(run, Self.windowed[3].with(window: 61), deviation: 1) == full)
    }

    /// Scores far below the cap, around it and far above it: of hundreds times the cap, whose exponential overflows.
    @Test(arguments: try FamilyRun.all(), [0.3, 2, 60] as [Float])
    func cappedScores(_ run: FamilyRun, _ deviation: Float) throws {
        let shape = Case(
            segments: [17, 6], heads: 4, kvHeads: 2, headSize: 16, window: 9, scale: 0.3, scoreCap: 2)
        try check(run, shape, deviation: deviation)
    }

    /// A scale of its own without a cap, as with heads that were normed.
    @Test(arguments: try FamilyRun.ownLimits())
    func scaledScores(_ run: FamilyRun) throws {
        try check(
            run, Case(segments: [5, 6], heads: 4, kvHeads: 2, headSize: 4, scale: 1), deviation: 1)
    }

    @Test(arguments: try FamilyRun.ownLimits())
    func largestHeads(_ run: FamilyRun) throws {
        let shape = Case(segments: [21], heads: 1, kvHeads: 1, headSize: 256)
        try check(run, shape, deviation: 1)
        try checkBehindACache(run, shape.shape, (1, 20), .max)
    }

    /// The family shared as on a device whose lanes have few registers, and with the least shared memory that Vulkan allows.
    @Test(
        arguments: try FamilyRun.ownLimits().filter { $0.family == .shared },
        [cases[0], cases[7], cases[9], Case(segments: [21], heads: 2, kvHeads: 1, headSize: 256)])
    func smallestDevice(_ run: FamilyRun, _ shape: Case) throws {
        try check(run, shape, deviation: 1) {
            $0.capabilities.vendorID = 0x8086
            $0.capabilities.maxSharedMemory = 16384
        }
    }

    /// Scores of hundreds: only the highest matters, and nothing overflows.
    @Test(arguments: try FamilyRun.all())
    func sharpScores(_ run: FamilyRun) throws {
        try check(run, Case(segments: [3, 38], heads: 3, kvHeads: 1, headSize: 64), deviation: 12)
    }

    private func check(
        _ run: FamilyRun, _ shape: Case, deviation: Float, prepare: (CommandEncoder) -> Void = { _ in }
    ) throws {
        let inputs = Inputs(shape, deviation: deviation)
        let results = try results(run, shape, deviation: deviation, prepare: prepare)
        let (q, k, v, dout) = (inputs.q.doubles, inputs.k.doubles, inputs.v.doubles, inputs.dout.doubles)
        let expected = shape.reference.forward(q: q, k: k, v: v)
        let gradients = shape.reference.backward(dout, q: q, k: k, v: v)
        // A score of magnitude s carries s·ulp of error into the exponent, and so into every probability.
        let product = Double(deviation * deviation) * Double(shape.headSize)
        let size = min(product * Double(shape.shape.scale), Double(shape.scoreCap ?? .infinity))
        let sum = Double(deviation) * Double(shape.headSize).squareRoot()
        #expect(mismatch(results.out, expected.out, .float(scale: max(size / 4, 1))) == nil)
        #expect(mismatch(results.lse, expected.lse, .float(scale: max(size / 4, 1))) == nil)
        #expect(mismatch(results.dq, gradients.dq, .float(scale: max(size, 1) * sum)) == nil)
        #expect(mismatch(results.dk, gradients.dk, .float(scale: max(size, 1) * sum)) == nil)
        #expect(mismatch(results.dv, gradients.dv, .float(scale: max(size, 1) * 4)) == nil)
    }

    private struct Inputs {
        let q, k, v, dout: [Float]

        init(_ shape: Case, deviation: Float) {
            var random = RandomValues(seed: 2)
            let wide = shape.tokens * shape.heads * shape.headSize
            let narrow = shape.tokens * shape.kvHeads * shape.headSize
            q = random.normal(wide, deviation: deviation)
            k = random.normal(narrow, deviation: deviation)
            v = random.normal(narrow)
            dout = random.normal(wide)
        }
    }

    private struct Results: Equatable {
        let out, lse, dq, dk, dv: [Float]
    }

    private func results(
        _ run: FamilyRun, _ shape: Case, deviation: Float, prepare: (CommandEncoder) -> Void = { _ in }
    ) throws -> Results {
        let inputs = Inputs(shape, deviation: deviation)
        let wide = [shape.tokens, shape.heads * shape.headSize]
        let narrow = [shape.tokens, shape.kvHeads * shape.headSize]
        let (q, dout) = (try run.input(inputs.q, wide), try run.input(inputs.dout, wide))
        let (k, v) = (try run.input(inputs.k, narrow), try run.input(inputs.v, narrow))
        let spans = try run.input(shape.reference.spans, [shape.tokens, 2])
        let (out, dq) = (try run.output(wide), try run.output(wide))
        let (dk, dv) = (try run.output(narrow), try run.output(narrow))
        let (lse, delta) = (
            try run.output([shape.tokens, shape.heads]), try run.output([shape.tokens, shape.heads])
        )
        let sinks = shape.hasSinks ? try run.input(Self.sinks(shape.heads), [shape.heads]) : nil
        try run.run { encoder in
            prepare(encoder)
            try encoder.attention(
                into: out, lse: lse, q: q, k: k, v: v, spans: spans, shape: shape.shape, sinks: sinks)
            try encoder.attentionBackward(
                intoQ: dq, k: dk, v: dv, delta: delta, dout, out: out, lse: lse, q: q, k: k, v: v,
                spans: spans, shape: shape.shape)
        }
        return Results(
            out: try run.values(out), lse: try run.values(lse), dq: try run.values(dq),
            dk: try run.values(dk), dv: try run.values(dv))
    }

    /// Few queries take the decoding kernel, more (a piece of a prompt) the tiled one; the cache is longer than what is
    /// filled. A windowed query sees nothing in front of its window: keys there are no numbers.
    @Test(arguments: try FamilyRun.all(), [(1, 0), (1, 37), (2, 8), (30, 11)])
    func queriesBehindACache(_ run: FamilyRun, _ lengths: (queries: Int, offset: Int)) throws {
        let shape = AttentionShape(heads: 3, kvHeads: 1, headSize: 64)
        for window in [Int.max, 12, 1] { try checkBehindACache(run, shape, lengths, window) }
    }

    @Test(arguments: try FamilyRun.all(), [(1, 37), (30, 11)])
    func cappedQueriesBehindACache(_ run: FamilyRun, _ lengths: (queries: Int, offset: Int)) throws {
        let shape = AttentionShape(heads: 4, kvHeads: 2, headSize: 16, scale: 0.3, scoreCap: 2)
        try checkBehindACache(run, shape, lengths, 12)
    }

    @Test(arguments: try FamilyRun.ownLimits())
    func aQueryOfLargeHeadsBehindACache(_ run: FamilyRun) throws {
        try checkBehindACache(
            run, AttentionShape(heads: 2, kvHeads: 1, headSize: 96), (1, 20), .max)
    }

    /// Many keys are shared out over workgroups, of which some have none where few are filled or seen.
    @Test(
        arguments: try FamilyRun.ofProducts(),
        [(1, 0), (1, 70), (1, 699), (3, 300), (1, 130)])
    func aQueryOfManyKeys(_ run: FamilyRun, _ lengths: (queries: Int, offset: Int)) throws {
        let shape = AttentionShape(heads: 4, kvHeads: 2, headSize: 128)
        guard run.device.capabilities.maxStorageBufferRange >= 700 * 256 * 4 else { return }
        for window in [Int.max, 150, 1] { try checkBehindACache(run, shape, lengths, window, capacity: 700) }
        try checkBehindACache(
            run, AttentionShape(heads: 3, kvHeads: 1, headSize: 16, scale: 0.3, scoreCap: 2), lengths, 299,
            capacity: 700)
    }

    private func checkBehindACache(
        _ run: FamilyRun, _ shape: AttentionShape, _ lengths: (queries: Int, offset: Int), _ window: Int,
        capacity: Int = 64, sinks: [Float]? = nil
    ) throws {
        let width = shape.kvHeads * shape.headSize
        var attention = ReferenceAttention(
            queries: lengths.queries, offset: lengths.offset, window: window, shape: shape)
        attention.sinks = sinks?.doubles
        let reference = attention
        let sinkTensor = try sinks.map { try run.input($0, [$0.count]) }
        var random = RandomValues(seed: 3)
        let q = random.normal(lengths.queries * shape.heads * shape.headSize)
        let filled = lengths.queries + lengths.offset
        let (k, v) = (random.normal(filled * width), random.normal(filled * width))
        func cache(_ filled: [Float]) throws -> Tensor {
            var all = [Float](repeating: .nan, count: capacity * width)
            all.replaceSubrange(0..<filled.count, with: filled)
            let unseen = (reference.seen.first?.lowerBound ?? 0) * width
            all.replaceSubrange(0..<unseen, with: [Float](repeating: .nan, count: unseen))
            return try run.input(all, [capacity, width])
        }
        let out = try run.output([lengths.queries, shape.heads * shape.headSize])
        let lse = try run.output([lengths.queries, shape.heads])
        let qTensor = try run.input(q, [lengths.queries, shape.heads * shape.headSize])
        let (keys, values) = (try cache(k), try cache(v))
        let spans = try run.input(reference.spans, [lengths.queries, 2])
        let offset = try run.input([Int32(lengths.offset)], [1])
        try run.run {
            try $0.attention(
                into: out, lse: lse, q: qTensor, k: keys, v: values, spans: spans, shape: shape,
                keyOffset: offset, sinks: sinkTensor)
        }
        let expected = reference.forward(q: q.doubles, k: k.doubles, v: v.doubles)
        #expect(mismatch(try run.values(out), expected.out, .float(scale: 2)) == nil)
        #expect(mismatch(try run.values(lse), expected.lse, .float(scale: 2)) == nil)
    }
}
