// The random generator and dropout's masks: known answers, exact repetition, the same bits in every family.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct DropoutTests {
    /// The known answers that the authors of Philox publish (Random123, kat_vectors).
    @Test func philoxKnownAnswers() {
        let pi: [UInt32] = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]
        #expect(
            ReferenceRandom.philox([0, 0, 0, 0], key: [0, 0])
                == [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])
        #expect(
            ReferenceRandom.philox([.max, .max, .max, .max], key: [.max, .max])
                == [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd])
        #expect(
            ReferenceRandom.philox(pi, key: [0xa409_3822, 0x299f_31d0])
                == [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1])
    }

    @Test(arguments: try FamilyRun.all(), [0, 4, 260, 18_432])
    func equalsTheReferenceBitForBit(_ run: FamilyRun, _ count: Int) throws {
        var random = RandomValues(seed: 8)
        let x = random.normal(count)
        let (y, again) = (try run.output([count]), try run.output([count]))
        let tensor = try run.input(x, [count])
        let state = try Self.state(run, seed: 0x1234_5678_9abc_def0, pass: 77)
        try run.run {
            try $0.dropout(into: y, tensor, probability: 0.3, state: state, layer: 5, site: 2)
            try $0.dropout(into: again, tensor, probability: 0.3, state: state, layer: 5, site: 2)
        }
        let kept = ReferenceRandom.kept(
            count, probability: 0.3, seed: 0x1234_5678_9abc_def0, pass: 77, layer: 5, site: 2)
        let scale = Float(1 / 0.7)
        #expect(try run.values(y) == zip(x, kept).map { $1 ? $0 * scale : 0 })
        #expect(try run.values(again) == run.values(y))
    }

    @Test(arguments: try FamilyRun.ownLimits())
    func masksOfDifferentKeysAreIndependent(_ run: FamilyRun) throws {
        let count = 1 << 16
        let ones = try run.input([Float](repeating: 1, count: count), [count])
        func mask(_ p: Double, seed: UInt64 = 1, pass: UInt32 = 0, layer: Int = 0, site: Int = 0) throws
            -> [Bool]
        {
            let y = try run.output([count])
            let state = try Self.state(run, seed: seed, pass: pass)
            try run.run {
                try $0.dropout(into: y, ones, probability: p, state: state, layer: layer, site: site)
            }
            return try run.values(y).map { $0 != 0 }
        }
        let half = try mask(0.5)
        for other in [
            try mask(0.5, seed: 2), try mask(0.5, seed: 1 << 32 | 1), try mask(0.5, pass: 1),
            try mask(0.5, layer: 1), try mask(0.5, site: 1),
        ] {
            // Two independent fair masks agree in half the places; 5 standard deviations are 640 of 65536.
            let agreement = zip(half, other).filter { $0 == $1 }.count
            #expect(abs(agreement - count / 2) < 640)
        }
        for p in [0.0, 0.05, 0.5, 0.9] {
            let kept = Double(try mask(p).filter { $0 }.count)
            let deviation = (Double(count) * p * (1 - p)).squareRoot()
            #expect(abs(kept - Double(count) * (1 - p)) <= 5 * deviation)
        }
    }

    static func state(_ run: FamilyRun, seed: UInt64, pass: UInt32) throws -> BufferSlice {
        var state = StepState()
        state.seed = seed
        state.pass = pass
        let slice = try run.device.makeStepState()
        try run.device.upload([state], into: slice)
        return slice
    }
}
