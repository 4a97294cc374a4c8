// Who goes on from a rung, and when.

import Sweeps
import Testing

@Suite struct HalvingTests {
    private func halving(_ factor: Double, _ rungs: Double) -> Halving {
        var halving = Halving()
        (halving.options[0].value, halving.options[1].value) = (factor, rungs)
        return halving
    }

    @Test func rungsAreThePartsOfTheSteps() {
        let halving = halving(3, 2)
        #expect((0..<2).map { halving.step($0, of: 90) } == [10, 30])
        #expect((0..<2).map { halving.survivors($0, of: 18) } == [6, 2])
        #expect((0..<2).map { halving.step($0, of: 100) } == [12, 34])
        #expect(halving.step(0, of: 1) == 1 && halving.survivors(1, of: 1) == 1)
    }

    @Test func theBestGoOnInTheirOrder() {
        let halving = halving(2, 1)
        #expect(halving.choose([3, 1, 2, 4], rung: 0, of: 4) == [1, 2])
        #expect(halving.choose([1, 1, 1, 1], rung: 0, of: 4) == [0, 1], "of equal losses the first")
        #expect(halving.choose([nil, nil, 5, nil], rung: 0, of: 4) == [2], "what diverged never goes on")
        #expect(halving.choose([nil, nil], rung: 0, of: 2).isEmpty)
    }
}
