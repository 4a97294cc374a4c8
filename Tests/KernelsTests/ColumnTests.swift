// A row added to all of a matrix, and columns copied between matrices of other widths, in every family.

import Kernels
import TestSupport
import Testing

@Suite struct ColumnTests {
    /// Columns from `first` of a matrix whose rows lie at `pitch`; the last two are more than one binding of tiny limits.
    struct Case: Sendable {
        var rows: Int
        var width: Int
        var pitch: Int
        var first: Int
    }
    static let cases = [
        Case(rows: 0, width: 4, pitch: 4, first: 0), Case(rows: 1, width: 4, pitch: 4, first: 0),
        Case(rows: 7, width: 36, pitch: 52, first: 0), Case(rows: 9, width: 64, pitch: 96, first: 32),
        Case(rows: 131, width: 132, pitch: 160, first: 8), Case(rows: 33, width: 576, pitch: 608, first: 4),
    ]

    /// The matrix in which a case's columns lie, and those columns.
    private func columns(_ test: Case, of whole: Tensor) -> Tensor {
        Tensor(whole.slice, shape: [test.rows, test.width], pitch: test.pitch, column: test.first)
    }

    private func elements(_ test: Case) -> [(wide: Int, own: Int)] {
        (0..<test.rows * test.width).map { i in
            (i / test.width * test.pitch + test.first + i % test.width, i)
        }
    }

    @Test(arguments: try FamilyRun.all(), cases)
    func addedRow(_ run: FamilyRun, _ test: Case) throws {
        var random = RandomValues(seed: 3)
        let (before, row) = (random.normal(test.rows * test.pitch), random.normal(test.width))
        let whole = try run.output(before, [test.rows, test.pitch])
        let rowTensor = try run.input(row, [test.width])
        try run.run { try $0.addRow(rowTensor, to: columns(test, of: whole)) }
        var expected = before
        for (wide, own) in elements(test) { expected[wide] += row[own % test.width] }
        #expect(try run.values(whole) == expected)
    }

    @Test(arguments: try FamilyRun.all(), cases)
    func copiedOutAndBack(_ run: FamilyRun, _ test: Case) throws {
        var random = RandomValues(seed: 4)
        let (wide, before) = (random.normal(test.rows * test.pitch), random.normal(test.rows * test.pitch))
        let source = try run.input(wide, [test.rows, test.pitch])
        let part = try run.output([test.rows, test.width])
        let back = try run.output(before, [test.rows, test.pitch])
        try run.run {
            try $0.copyColumns(into: part, columns(test, of: source))
            try $0.copyColumns(into: columns(test, of: back), part)
        }
        var (out, inPlace) = ([Float](repeating: .nan, count: test.rows * test.width), before)
        for place in elements(test) {
            out[place.own] = wide[place.wide]
            inPlace[place.wide] = wide[place.wide]
        }
        #expect(try run.values(part) == out)
        #expect(try run.values(back) == inPlace)
    }

    /// q, k and v of one product into matrices whose rows lie apart.
    @Test(arguments: try FamilyRun.all())
    func betweenColumns(_ run: FamilyRun) throws {
        var random = RandomValues(seed: 5)
        let (rows, widths) = (19, [96, 32, 32])
        let x = random.normal(rows * 160)
        let source = try run.input(x, [rows, 160])
        let targets = try widths.map { width in
            let pitch = Tensor.spreadPitch(width)
            let whole = try run.output([Float](repeating: 7, count: rows * pitch), [rows, pitch])
            return (whole: whole, part: Tensor(whole.slice, shape: [rows, width], pitch: pitch))
        }
        let starts = [0, 96, 128]
        try run.run {
            for i in widths.indices {
                try $0.copyColumns(
                    into: targets[i].part, source.columns(starts[i]..<starts[i] + widths[i]))
            }
        }
        for i in widths.indices {
            let pitch = targets[i].whole.width
            let expected = (0..<rows * pitch).map { at in
                at % pitch < widths[i] ? x[at / pitch * 160 + starts[i] + at % pitch] : 7
            }
            #expect(try run.values(targets[i].whole) == expected)
        }
    }
}
