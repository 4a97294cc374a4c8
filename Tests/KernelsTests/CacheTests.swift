// New tokens behind a cache of keys and values, in every family: what of them turns, and where it goes.

import Kernels
import TestSupport
import Testing

@Suite struct CacheTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let headSize: Int
        var rotarySize: Int?
        var isInterleaved = false
        let heads: Int
        let kvHeads: Int
        let offset: Int
        /// q, k and v lie in one matrix, behind each other.
        var isFused = false
        var hasQueryTable = false
        var testDescription: String {
            "\(rotarySize ?? headSize) of \(heads)/\(kvHeads) heads of \(headSize) at \(offset)"
                + (isInterleaved ? ", interleaved" : "") + (isFused ? ", fused" : "")
                + (hasQueryTable ? ", table for queries" : "")
        }
        var angles: RotaryAngles {
            let plain = RotaryAngles(headSize: rotarySize ?? headSize, base: 10000)
            return RotaryAngles(frequencies: plain.frequencies, scale: 1.1)
        }
        var reference: ReferenceRotary {
            ReferenceRotary(angles, headSize: headSize, isInterleaved: isInterleaved)
        }
        /// Of a position's queries.
        func factor(_ position: Int) -> Double { hasQueryTable ? 1 + 0.1 * Double(position / 4) : 1 }
    }

    /// Rows of a cache before and behind the new tokens stay as they are; tokens without room are dropped. A rotary size of
    /// 0 has no table.
    @Test(
        arguments: try FamilyRun.all(),
        [
            Case(headSize: 32, heads: 4, kvHeads: 2, offset: 5),
            Case(headSize: 64, heads: 9, kvHeads: 3, offset: 0),
            Case(headSize: 8, heads: 1, kvHeads: 1, offset: 12),
            Case(headSize: 32, heads: 4, kvHeads: 2, offset: 5, isFused: true),
            Case(headSize: 128, rotarySize: 96, heads: 2, kvHeads: 1, offset: 3, isFused: true),
            Case(headSize: 80, rotarySize: 20, heads: 2, kvHeads: 1, offset: 12),
            Case(headSize: 64, rotarySize: 32, isInterleaved: true, heads: 2, kvHeads: 2, offset: 1),
            Case(headSize: 64, rotarySize: 0, heads: 9, kvHeads: 3, offset: 12),
            Case(headSize: 32, heads: 4, kvHeads: 2, offset: 5, hasQueryTable: true),
        ])
    func appends(_ run: FamilyRun, _ shape: Case) throws {
        let (positions, capacity) = (RotaryTests.positions, 16)
        let count = positions.count
        let (wide, narrow) = (shape.heads * shape.headSize, shape.kvHeads * shape.headSize)
        let parts = [0..<wide, wide..<wide + narrow, wide + narrow..<wide + 2 * narrow]
        let pitch = wide + 2 * narrow
        var random = RandomValues(seed: 4)
        let all = random.normal(count * pitch)
        let (q, k, v) = (
            RotaryTests.columns(parts[0], of: all.doubles, pitch),
            RotaryTests.columns(parts[1], of: all.doubles, pitch),
            RotaryTests.columns(parts[2], of: all.doubles, pitch)
        )
        let old = random.normal(capacity * narrow)
        let fused = try run.output(all, [count, pitch])
        let queries = shape.isFused ? fused : try run.output(q.map(Float.init), [count, wide])
        let qInput = shape.isFused ? fused.columns(parts[0]) : queries
        let kInput =
            shape.isFused ? fused.columns(parts[1]) : try run.input(k.map(Float.init), [count, narrow])
        let vInput =
            shape.isFused ? fused.columns(parts[2]) : try run.input(v.map(Float.init), [count, narrow])
        let keys = try run.output(old, [capacity, narrow])
        let values = try run.output(old, [capacity, narrow])
        let positionTensor = try run.input(positions, [count])
        func table(_ factor: (Int) -> Double) throws -> Tensor {
            try run.input(
                shape.angles.table(positions: 42, factor: factor), [42, shape.rotarySize ?? shape.headSize])
        }
        let rotates = shape.rotarySize != 0
        let (plain, scaled) = (
            rotates ? try table { _ in 1 } : nil, shape.hasQueryTable ? try table(shape.factor) : nil
        )
        let offset = try run.input([Int32(shape.offset)], [1])
        try run.run {
            try $0.appendToCache(
                keys: keys, values: values, rotating: qInput, kInput, vInput, positions: positionTensor,
                table: plain, headSize: shape.headSize, isInterleaved: shape.isInterleaved,
                queryTable: scaled, offset: offset)
        }
        func rotated(_ x: [Double], factor: (Int) -> Double = { _ in 1 }) -> [Double] {
            rotates ? shape.reference.rotate(x, positions: positions, factor: factor) : x
        }
        func cached(_ new: [Double]) -> [Double] {
            let fitting = new.prefix((capacity - shape.offset) * narrow)
            var all = old.doubles
            all.replaceSubrange(shape.offset * narrow..<shape.offset * narrow + fitting.count, with: fitting)
            return all
        }
        let tolerance = rotates ? Tolerance.float(roundings: 4, scale: 4) : .exact
        let turned = rotated(q, factor: shape.factor)
        let expected =
            shape.isFused ? RotaryTests.put(turned, into: parts[0], of: all.doubles, pitch) : turned
        #expect(mismatch(try run.values(queries), expected, tolerance) == nil)
        #expect(mismatch(try run.values(keys), cached(rotated(k)), tolerance) == nil)
        #expect(mismatch(try run.values(values), cached(v), .exact) == nil)
    }
}
