// Rotary embedding against its f64 reference, in every family.

import Kernels
import TestSupport
import Testing

@Suite struct RotaryTests {
    static let positions: [Int32] = [0, 1, 2, 3, 0, 1, 37, 40, 5]
    static let count = positions.count

    /// Heads, and what of them turns.
    struct Case: Sendable, CustomTestStringConvertible {
        let headSize: Int
        var rotarySize: Int?
        var isInterleaved = false
        let heads: Int
        var scale = 1.0
        var testDescription: String {
            "\(size) of \(heads) heads of \(headSize)\(isInterleaved ? ", interleaved" : "")"
        }
        var size: Int { rotarySize ?? headSize }
        var width: Int { heads * headSize }
        var angles: RotaryAngles {
            let plain = RotaryAngles(headSize: size, base: 10000)
            return RotaryAngles(frequencies: plain.frequencies, scale: scale)
        }
        var reference: ReferenceRotary {
            ReferenceRotary(angles, headSize: headSize, isInterleaved: isInterleaved)
        }
    }

    /// Whole heads; parts that are runs of whole vectors, and that are not; pairs of neighbours; scaled angles.
    static let cases = [
        Case(headSize: 8, heads: 1), Case(headSize: 32, heads: 4), Case(headSize: 64, heads: 3),
        Case(headSize: 80, heads: 2), Case(headSize: 96, heads: 3), Case(headSize: 128, heads: 1),
        Case(headSize: 256, heads: 2),
        Case(headSize: 64, rotarySize: 48, heads: 3), Case(headSize: 80, rotarySize: 32, heads: 2),
        Case(headSize: 128, rotarySize: 96, heads: 2, scale: 1.19),
        Case(headSize: 80, rotarySize: 20, heads: 2), Case(headSize: 16, rotarySize: 6, heads: 3),
        Case(headSize: 12, heads: 3), Case(headSize: 64, isInterleaved: true, heads: 3),
        Case(headSize: 128, rotarySize: 64, isInterleaved: true, heads: 2, scale: 1.3),
        Case(headSize: 16, rotarySize: 6, isInterleaved: true, heads: 2),
    ]

    @Test(arguments: try FamilyRun.all(), cases)
    func rotates(_ run: FamilyRun, _ shape: Case) throws {
        let dimensions = [Self.count, shape.width]
        var random = RandomValues(seed: 1)
        let x = random.normal(Self.count * shape.width)
        let input = try run.input(x, dimensions)
        let (y, inPlace, back) = (
            try run.output(dimensions), try run.output(x, dimensions), try run.output(dimensions)
        )
        try rotate(run, shape, [(y, input, false), (inPlace, inPlace, false), (back, inPlace, true)])
        let expected = shape.reference.rotate(x.doubles, positions: Self.positions)
        let restored = shape.reference.rotate(expected, positions: Self.positions, inverse: true)
        #expect(mismatch(try run.values(y), expected, .float(roundings: 4, scale: 4)) == nil)
        #expect(try run.values(inPlace) == run.values(y))
        #expect(mismatch(try run.values(back), restored, .float(roundings: 8, scale: 4)) == nil)
        if shape.scale == 1 { #expect(mismatch(restored, x.doubles, .float()) == nil) }
    }

    /// Queries and keys as columns of one matrix: the rest of it stays as it is.
    @Test(arguments: try FamilyRun.all(), [cases[2], cases[7], cases[10]])
    func rotatesColumns(_ run: FamilyRun, _ shape: Case) throws {
        let pitch = 3 * shape.width
        var random = RandomValues(seed: 5)
        let x = random.normal(Self.count * pitch)
        let (input, inPlace) = (
            try run.input(x, [Self.count, pitch]), try run.output(x, [Self.count, pitch])
        )
        let columns = shape.width..<2 * shape.width
        let y = try run.output([Self.count, shape.width])
        try rotate(
            run, shape,
            [(y, input.columns(columns), false), (inPlace.columns(columns), inPlace.columns(columns), false)])
        let expected = shape.reference.rotate(
            Self.columns(columns, of: x.doubles, pitch), positions: Self.positions)
        let tolerance = Tolerance.float(roundings: 4, scale: 4)
        #expect(mismatch(try run.values(y), expected, tolerance) == nil)
        let whole = Self.put(expected, into: columns, of: x.doubles, pitch)
        #expect(mismatch(try run.values(inPlace), whole, tolerance) == nil)
    }

    /// ⟨rotary(x), dy⟩ = ⟨x, inverse(dy)⟩ with any table, and rotary(x + y) = rotary(x) + rotary(y): so the inverse is the
    /// backward of angles that are scaled too, though it then turns nothing back.
    @Test(arguments: try FamilyRun.ownLimits(), cases.filter { $0.scale != 1 })
    func theInverseIsTheTranspose(_ run: FamilyRun, _ shape: Case) throws {
        let dimensions = [Self.count, shape.width]
        var random = RandomValues(seed: 2)
        let (x, dy) = (random.normal(Self.count * shape.width), random.normal(Self.count * shape.width))
        let sum = zip(x, dy).map { $0 + $1 }
        let inputs = try [x, dy, sum].map { try run.input($0, dimensions) }
        let outputs = try [x, dy, sum, dy].map { _ in try run.output(dimensions) }
        try rotate(
            run, shape,
            [
                (outputs[0], inputs[0], false), (outputs[1], inputs[1], false),
                (outputs[2], inputs[2], false), (outputs[3], inputs[1], true),
            ])
        let results = try outputs.map { try run.values($0).doubles }
        let tolerance = Tolerance.float(roundings: 8, scale: 8)
        #expect(mismatch(results[2], zip(results[0], results[1]).map { $0 + $1 }, tolerance) == nil)
        let (forward, backward) = (
            weightedSum(results[0], dy.doubles), weightedSum(x.doubles, results[3])
        )
        #expect(abs(forward - backward) < 1e-4, "\(forward) and \(backward)")
    }

    @Test func inverseIsTheGradient() {
        let angles = RotaryAngles(frequencies: RotaryAngles(headSize: 8, base: 100).frequencies, scale: 1.2)
        for isInterleaved in [false, true] {
            let reference = ReferenceRotary(angles, headSize: 12, isInterleaved: isInterleaved)
            var random = RandomValues(seed: 2)
            let (x, dy) = (random.normal(48).doubles, random.normal(48).doubles)
            let measured = finiteDifference(at: x) {
                weightedSum(reference.rotate($0, positions: [3, 9]), dy)
            }
            let inverse = reference.rotate(dy, positions: [3, 9], inverse: true)
            #expect(mismatch(inverse, measured, Tolerance(absolute: 1e-9, relative: 1e-9)) == nil)
        }
    }

    private func rotate(
        _ run: FamilyRun, _ shape: Case, _ pairs: [(y: Tensor, x: Tensor, inverse: Bool)]
    ) throws {
        let positions = try run.input(Self.positions, [Self.count])
        let table = try run.input(shape.angles.table(positions: 42), [42, shape.size])
        try run.run { encoder in
            for (y, x, inverse) in pairs {
                try encoder.rotary(
                    into: y, x, positions: positions, table: table, headSize: shape.headSize,
                    isInterleaved: shape.isInterleaved, inverse: inverse)
            }
        }
    }

    /// `columns` of rows of `pitch`.
    static func columns(_ columns: Range<Int>, of x: [Double], _ pitch: Int) -> [Double] {
        stride(from: 0, to: x.count, by: pitch).flatMap {
            x[$0 + columns.lowerBound..<$0 + columns.upperBound]
        }
    }

    static func put(
        _ values: [Double], into columns: Range<Int>, of x: [Double], _ pitch: Int
    ) -> [Double] {
        var all = x
        for row in 0..<x.count / pitch {
            let start = row * pitch + columns.lowerBound
            all.replaceSubrange(
                start..<start + columns.count,
                with: values[row * columns.count..<(row + 1) * columns.count])
        }
        return all
    }
}
