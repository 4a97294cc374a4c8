// The table of angles.

import Foundation
import Kernels
import TestSupport
import Testing

@Suite struct RotaryAnglesTests {
    @Test func tableOfPlainFrequencies() {
        let angles = RotaryAngles(headSize: 8, base: 10000)
        #expect(
            mismatch(angles.frequencies, [1, 0.1, 0.01, 0.001], Tolerance(absolute: 0, relative: 1e-14))
                == nil)
        let table = angles.table(positions: 2)
        #expect(Array(table[0..<8]) == [1, 1, 1, 1, 0, 0, 0, 0])
        #expect(abs(table[8] - 0.5403023) < 1e-7 && abs(table[12] - 0.8414710) < 1e-7)
    }

    @Test func scalesMultiplyCosinesAndSines() {
        let angles = RotaryAngles(frequencies: [0.5], scale: 1.5)
        let table = angles.table(positions: 9) { 1 + 0.1 * log(1 + Double($0 / 4)) }
        for (position, factor) in [(0, 1.0), (3, 1), (4, 1 + 0.1 * log(2)), (8, 1 + 0.1 * log(3))] {
            let angle = 0.5 * Double(position)
            #expect(table[2 * position] == Float(1.5 * factor * cos(angle)))
            #expect(table[2 * position + 1] == Float(1.5 * factor * sin(angle)))
        }
    }
}
