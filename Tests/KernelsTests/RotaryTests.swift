// Rotary embedding against its f64 reference, and the table of angles.

import Kernels
import TestSupport
import Testing

@Suite struct RotaryTests {
    static let positions: [Int32] = [0, 1, 2, 3, 0, 1, 37, 40, 5]

    @Test(arguments: try FamilyRun.all(), [(8, 1), (32, 4), (64, 3), (80, 2), (128, 1)])
    func rotates(_ run: FamilyRun, _ shape: (headSize: Int, heads: Int)) throws {
        let angles = RotaryAngles(headSize: shape.headSize, base: 10000)
        let dimensions = [Self.positions.count, shape.heads * shape.headSize]
        var random = RandomValues(seed: 1)
        let x = random.normal(dimensions[0] * dimensions[1])
        let input = try run.input(x, dimensions)
        let (y, inPlace, back) = (
            try run.output(dimensions), try run.output(x, dimensions), try run.output(dimensions)
        )
        let positions = try run.input(Self.positions, [Self.positions.count])
        let table = try run.input(angles.table(positions: 41), [41, shape.headSize])
        try run.run {
            try $0.rotary(into: y, input, positions: positions, table: table)
            try $0.rotary(into: inPlace, inPlace, positions: positions, table: table)
            try $0.rotary(into: back, inPlace, positions: positions, table: table, inverse: true)
        }
        let expected = ReferenceRotary.rotate(
            x.doubles, positions: Self.positions, frequencies: angles.frequencies, heads: shape.heads)
        #expect(mismatch(try run.values(y), expected, .float(roundings: 4, scale: 4)) == nil)
        #expect(try run.values(inPlace) == run.values(y))
        #expect(mismatch(try run.values(back), x.doubles, .float(roundings: 8, scale: 4)) == nil)
    }

    /// Rows of a cache before and behind the new tokens stay as they are; tokens without room are dropped.
    @Test(arguments: try FamilyRun.all(), [(32, 4, 2, 5), (64, 9, 3, 0), (8, 1, 1, 12)])
    func appendsToACache(
        _ run: FamilyRun, _ shape: (headSize: Int, heads: Int, kvHeads: Int, offset: Int)
    ) throws {
        let (count, capacity) = (Self.positions.count, 16)
        let angles = RotaryAngles(headSize: shape.headSize, base: 10000)
        let (wide, narrow) = (shape.heads * shape.headSize, shape.kvHeads * shape.headSize)
        var random = RandomValues(seed: 4)
        let (q, k, v) = (
            random.normal(count * wide), random.normal(count * narrow), random.normal(count * narrow)
        )
        let old = random.normal(capacity * narrow)
        let queries = try run.output(q, [count, wide])
        let keys = try run.output(old, [capacity, narrow])
        let values = try run.output(old, [capacity, narrow])
        let (kInput, vInput) = (try run.input(k, [count, narrow]), try run.input(v, [count, narrow]))
        let positions = try run.input(Self.positions, [count])
        let table = try run.input(angles.table(positions: 41), [41, shape.headSize])
        let offset = try run.input([Int32(shape.offset)], [1])
        try run.run {
            try $0.appendToCache(
                keys: keys, values: values, rotating: queries, kInput, vInput, positions: positions,
                table: table, offset: offset)
        }
        func rotated(_ x: [Float], _ heads: Int) -> [Double] {
            ReferenceRotary.rotate(
                x.doubles, positions: Self.positions, frequencies: angles.frequencies, heads: heads)
        }
        func cached(_ new: [Double]) -> [Double] {
            let fitting = new.prefix((capacity - shape.offset) * narrow)
            var all = old.doubles
            all.replaceSubrange(shape.offset * narrow..<shape.offset * narrow + fitting.count, with: fitting)
            return all
        }
        let tolerance = Tolerance.float(roundings: 4, scale: 4)
        #expect(mismatch(try run.values(queries), rotated(q, shape.heads), tolerance) == nil)
        #expect(mismatch(try run.values(keys), cached(rotated(k, shape.kvHeads)), tolerance) == nil)
        #expect(mismatch(try run.values(values), cached(v.doubles), .exact) == nil)
    }

    @Test func inverseIsTheGradient() {
        let angles = RotaryAngles(headSize: 8, base: 100)
        var random = RandomValues(seed: 2)
        let (x, dy) = (random.normal(32).doubles, random.normal(32).doubles)
        func rotate(_ x: [Double], direction: Double) -> [Double] {
            ReferenceRotary.rotate(
                x, positions: [3, 9], frequencies: angles.frequencies, heads: 2, direction: direction)
        }
        let measured = finiteDifference(at: x) { weightedSum(rotate($0, direction: 1), dy) }
        #expect(
            mismatch(rotate(dy, direction: -1), measured, Tolerance(absolute: 1e-9, relative: 1e-9)) == nil)
    }

    @Test func tableOfPlainFrequencies() {
        let angles = RotaryAngles(headSize: 8, base: 10000)
        #expect(
            mismatch(angles.frequencies, [1, 0.1, 0.01, 0.001], Tolerance(absolute: 0, relative: 1e-14))
                == nil)
        let table = angles.table(positions: 2)
        #expect(Array(table[0..<8]) == [1, 1, 1, 1, 0, 0, 0, 0])
        #expect(abs(table[8] - 0.5403023) < 1e-7 && abs(table[12] - 0.8414710) < 1e-7)
    }
}
