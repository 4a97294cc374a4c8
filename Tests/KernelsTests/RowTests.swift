// Rows gathered by an index and scattered back, in every family; indices outside the tensor are padding.

import Kernels
import TestSupport
import Testing

@Suite struct RowTests {
    struct Case: Sendable {
        var many: Int
        var width: Int
        var index: [Int32]
    }
    static let cases = [
        Case(many: 5, width: 4, index: []),
        Case(many: 1, width: 4, index: [0]),
        Case(many: 9, width: 36, index: [8, -1, 0, 9, 3, .max, .min, 4]),
        Case(many: 200, width: 132, index: (0..<200).reversed() + [-100, 200]),
        Case(many: 33, width: 576, index: [32, 31, 0, 1]),
    ]

    @Test(arguments: try FamilyRun.all(), cases)
    func gather(_ run: FamilyRun, _ test: Case) throws {
        var random = RandomValues(seed: 9)
        let x = random.normal(test.many * test.width)
        let y = try run.output([test.index.count, test.width])
        let xTensor = try run.input(x, [test.many, test.width])
        let index = try run.input(test.index, [test.index.count])
        try run.run { try $0.gatherRows(into: y, xTensor, index: index) }
        let expected = ReferenceRows.gather(x.doubles, width: test.width, index: test.index)
        #expect(mismatch(try run.values(y), expected, .exact) == nil)
    }

    @Test(arguments: try FamilyRun.all(), cases)
    func scatter(_ run: FamilyRun, _ test: Case) throws {
        var random = RandomValues(seed: 10)
        let x = random.normal(test.index.count * test.width)
        let y = try run.output([test.many, test.width])
        let xTensor = try run.input(x, [test.index.count, test.width])
        let index = try run.input(test.index, [test.index.count])
        try run.run { try $0.scatterRows(into: y, xTensor, index: index) }
        let expected = ReferenceRows.scatter(x.doubles, width: test.width, index: test.index, rows: test.many)
        #expect(mismatch(try run.values(y), expected, .exact) == nil)
    }

    @Test func scatterIsTheBackwardOfGather() {
        var random = RandomValues(seed: 11)
        let (x, dy) = (random.normal(12).doubles, random.normal(16).doubles)
        let index: [Int32] = [2, -1, 0, 7]
        let dx = ReferenceRows.scatter(dy, width: 4, index: index, rows: 3)
        let measured = finiteDifference(at: x) {
            weightedSum(ReferenceRows.gather($0, width: 4, index: index), dy)
        }
        #expect(mismatch(dx, measured, Tolerance(absolute: 1e-9, relative: 1e-9)) == nil)
    }
}
