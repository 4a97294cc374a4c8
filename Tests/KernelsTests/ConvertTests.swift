// Conversions between floating-point formats, bit by bit, also where one binding does not hold them all.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct ConvertTests {
    private static let special: [Float] = [
        0, -0.0, 1, 1 + 0x1p-11, 1 + 0x3p-11, 65504, 65519, 65520, -1e9, 0x1p-14, 0x1p-24, 0x1p-25, 0x1.8p-25,
        -2e-8,
        .infinity, -.infinity, 1 + 0x1p-8, 1 + 0x3p-8, 3e38, .greatestFiniteMagnitude,
    ]

    private func brain(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        return UInt16(truncatingIfNeeded: (bits + 0x7fff + (bits >> 16 & 1)) >> 16)
    }

    @Test(arguments: try FamilyRun.all(), [20, 17_001])
    func roundsToNearestEven(_ run: FamilyRun, _ count: Int) throws {
        var random = RandomValues(seed: 8)
        let values = Self.special + random.normal(count - Self.special.count, deviation: 100)
        let room = (count + 3) / 4 * 4
        let wide = try run.device.makeTensor(
            values + [Float](repeating: 0, count: room - count), [room]
        ).slice
        func convert(_ x: BufferSlice, _ from: Shader.FloatFormat, _ to: Shader.FloatFormat) throws
            -> BufferSlice
        {
            let y = try run.device.makeBuffer(byteCount: room * to.byteCount, label: "y").slice()
            try run.run { try $0.convert(into: y, to, x, from, count: count) }
            return y
        }
        let (half, brain) = (try convert(wide, .f32, .f16), try convert(wide, .f32, .bf16))
        let halves = values.map { Float16($0) }
        let brains = values.map(self.brain)
        #expect(try run.device.download(half, as: UInt16.self).prefix(count) == halves.map(\.bitPattern)[...])
        #expect(try run.device.download(brain, as: UInt16.self).prefix(count) == brains[...])
        let back = try run.device.download(try convert(half, .f16, .f32), as: Float.self)
        #expect(back.prefix(count) == halves.map { Float($0) }[...])
        let both = try run.device.download(try convert(brain, .bf16, .f16), as: UInt16.self)
        let expected = brains.map { Float16(Float(bitPattern: UInt32($0) << 16)).bitPattern }
        #expect(both.prefix(count) == expected[...])
    }

    @Test(arguments: try FamilyRun.ownLimits())
    func whatIsNoNumberStaysNone(_ run: FamilyRun) throws {
        let x = try run.device.makeTensor([Float.nan, -.nan, Float(bitPattern: 0x7fff_ffff), 1], [4]).slice
        for format in [Shader.FloatFormat.f16, .bf16] {
            let y = try run.device.makeBuffer(byteCount: 8, label: "y").slice()
            let z = try run.device.makeBuffer(byteCount: 16, label: "z").slice()
            try run.run {
                try $0.convert(into: y, format, x, .f32, count: 4)
                try $0.convert(into: z, .f32, y, format, count: 4)
            }
            #expect(try run.device.download(z, as: Float.self).map(\.isNaN) == [true, true, true, false])
        }
    }
}
