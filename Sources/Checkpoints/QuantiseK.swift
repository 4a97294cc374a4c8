// Floats to GGUF's K-quants, the inverse of DequantiseK: blocks of 256 as 8 or 16 groups, x ≈ d·scale·q − dmin·minimum or
// x ≈ d·scale·(q − top). `GroupFit` finds each group's scale, then scales (and minima) are rounded to a few bits of the
// block's, and codes are found again with what came of them.
// Reference: ggml's reference quantisers without an importance matrix; tests compare bytes.

func encodeQ2_K(_ x: UnsafePointer<Float>, _ block: UnsafeMutableRawPointer) {
    withGroups(of: 16, x) { groups, codes in
        var scales = [GroupFit.Lanes](repeating: .zero, count: 2)
        var minima = scales
        for (part, fit) in groups.enumerated() {
            (scales[part], minima[part]) = fit.scaleAndMinimum(
                top: 3, weigh: .byMagnitude, from: -0.5, by: 0.1, tries: 16)
        }
        let (d, dmin) = (largest(scales) / 15, largest(minima) / 15)
        block.put(Half.bits(d), at: 80)
        block.put(Half.bits(dmin), at: 82)
        for (part, fit) in groups.enumerated() {
            let ratios = (
                nearest(scales[part] * ratio(15, largest(scales))),
                nearest(minima[part] * ratio(15, largest(minima)))
            )
            var (step, offset) = (GroupFit.Lanes.zero, GroupFit.Lanes.zero)
            for lane in 0..<8 {
                let both = UInt8(truncatingIfNeeded: ratios.0[lane] | ratios.1[lane] << 4)
                block.put(both, at: 8 * part + lane)
                step[lane] = UnsafeRawPointer(block).half(80) * Float(both & 15)
                offset[lane] = UnsafeRawPointer(block).half(82) * Float(both >> 4)
            }
            fit.code(step: step, offset: offset, 0...3)
            fit.store(codes + 128 * part)
        }
        putPairs(codes, into: block + 16)
    }
}

func encodeQ3_K(_ x: UnsafePointer<Float>, _ block: UnsafeMutableRawPointer) {
    withGroups(of: 16, x) { groups, codes in
        let scales = groups.map { $0.scale(refined: 4) }
        let widest = farthest(scales)
        let inverse = widest == 0 ? 0 : -32 / widest
        let d = widest == 0 ? 0 : 1 / inverse
        block.put(Half.bits(d), at: 108)
        for place in 96..<108 { block.put(0 as UInt8, at: place) }
        for (part, fit) in groups.enumerated() {
            let rounded = clamped(nearest(scales[part] * inverse), -32...31) &+ 32
            var step = GroupFit.Lanes.zero
            for lane in 0..<8 {
                let scale = widest == 0 ? 0 : UInt8(rounded[lane])
                block.or((scale & 15) << (4 * UInt8(part)), at: 96 + lane)
                block.or((scale >> 4) << (2 * UInt8(2 * part + lane / 4)), at: 104 + lane % 4)
                step[lane] = UnsafeRawPointer(block).half(108) * Float(Int(scale) - 32)
            }
            fit.code(step: step, -4...3)
            fit.store(codes + 128 * part)
        }
        for byte in 0..<32 {
            var mask: UInt8 = 0
            for bit in 0..<8 { mask |= (codes[32 * bit + byte] >> 2) << UInt8(bit) }
            block.put(mask, at: byte)
        }
        for place in 0..<256 { codes[place] &= 3 }
        putPairs(codes, into: block + 32)
    }
}

func encodeQ4_K(_ x: UnsafePointer<Float>, _ block: UnsafeMutableRawPointer) {
    withGroups(of: 32, x) { groups, codes in
        groups[0].codeWithMinimum(top: 15, from: -1, tries: 21, into: block)
        groups[0].store(codes)
        putNibbles(codes, into: block + 16)
    }
}

func encodeQ5_K(_ x: UnsafePointer<Float>, _ block: UnsafeMutableRawPointer) {
    withGroups(of: 32, x) { groups, codes in
        groups[0].codeWithMinimum(top: 31, from: -0.5, tries: 16, into: block)
        groups[0].store(codes)
        for byte in 0..<32 {
            var fifth: UInt8 = 0
            for group in 0..<8 { fifth |= (codes[32 * group + byte] >> 4) << UInt8(group) }
            block.put(fifth, at: 16 + byte)
        }
        for place in 0..<256 { codes[place] &= 15 }
        putNibbles(codes, into: block + 48)
    }
}

func encodeQ6_K(_ x: UnsafePointer<Float>, _ block: UnsafeMutableRawPointer) {
    withGroups(of: 16, x) { groups, codes in
        let scales = groups.map { $0.scale(searched: 32) }
        let widest = farthest(scales)
        guard abs(widest) >= GroupFit.least else {
            for place in 0..<StorageType.q6_K.blockBytes { block.put(0 as UInt8, at: place) }
            return
        }
        let inverse = -128 / widest
        block.put(Half.bits(1 / inverse), at: 208)
        for (part, fit) in groups.enumerated() {
            let rounded = clamped(nearest(scales[part] * inverse), -128...127)
            var step = GroupFit.Lanes.zero
            for lane in 0..<8 {
                block.put(Int8(rounded[lane]), at: 192 + 8 * part + lane)
                step[lane] = UnsafeRawPointer(block).half(208) * Float(rounded[lane])
            }
            fit.code(step: step, -32...31)
            fit.store(codes + 128 * part)
        }
        for half in 0..<2 {
            let (codes, low, high) = (codes + 128 * half, block + 64 * half, block + 128 + 32 * half)
            for l in 0..<32 {
                let four = (codes[l], codes[l + 32], codes[l + 64], codes[l + 96])
                low.put(four.0 & 15 | (four.2 & 15) << 4, at: l)
                low.put(four.1 & 15 | (four.3 & 15) << 4, at: l + 32)
                let first = four.0 >> 4 | (four.1 >> 4) << 2
                high.put(first | (four.2 >> 4) << 4 | (four.3 >> 4) << 6, at: l)
            }
        }
    }
}

extension GroupFit {
    /// Scales and minima of 6 bits, packed into bytes 4 to 15 of the block as Q4_K and Q5_K have them.
    fileprivate func codeWithMinimum(
        top: Int32, from low: Float, tries: Int, into block: UnsafeMutableRawPointer
    ) {
        let (scales, minima) = scaleAndMinimum(top: top, weigh: .byMean, from: low, by: 0.1, tries: tries)
        let (widest, deepest) = (largest([scales]), largest([minima]))
        block.put(Half.bits(widest / 63), at: 0)
        block.put(Half.bits(deepest / 63), at: 2)
        let ratios = (nearest(scales * ratio(63, widest)), nearest(minima * ratio(63, deepest)))
        var (step, offset) = (Lanes.zero, Lanes.zero)
        let packed = block + 4
        for lane in 0..<8 {
            let scale = min(63, UInt8(truncatingIfNeeded: ratios.0[lane]))
            let minimum = min(63, UInt8(truncatingIfNeeded: ratios.1[lane]))
            if lane < 4 {
                packed.put(scale, at: lane)
                packed.put(minimum, at: lane + 4)
            } else {
                packed.put(scale & 15 | (minimum & 15) << 4, at: lane + 4)
                packed.or((scale >> 4) << 6, at: lane - 4)
                packed.or((minimum >> 4) << 6, at: lane)
            }
            step[lane] = UnsafeRawPointer(block).half(0) * Float(scale)
            offset[lane] = UnsafeRawPointer(block).half(2) * Float(minimum)
        }
        code(step: step, offset: offset, 0...top)
    }
}

/// The largest that is above zero.
private func largest(_ parts: [GroupFit.Lanes]) -> Float {
    var largest: Float = 0
    for part in parts { for lane in 0..<8 where part[lane] > largest { largest = part[lane] } }
    return largest
}

/// The first that is farthest from zero, with its sign.
private func farthest(_ parts: [GroupFit.Lanes]) -> Float {
    var farthest: Float = 0
    for part in parts { for lane in 0..<8 where abs(part[lane]) > abs(farthest) { farthest = part[lane] } }
    return farthest
}

private func ratio(_ top: Float, _ largest: Float) -> Float { largest > 0 ? top / largest : 0 }

extension UnsafeMutableRawPointer {
    @inline(__always) fileprivate func or(_ bits: UInt8, at offset: Int) {
        put(load(fromByteOffset: offset, as: UInt8.self) | bits, at: offset)
    }
}

/// Codes of 2 bits: four that are 32 apart share a byte.
private func putPairs(_ codes: UnsafePointer<UInt8>, into target: UnsafeMutableRawPointer) {
    for half in 0..<2 {
        let codes = codes + 128 * half
        for l in 0..<32 {
            let byte = codes[l] | codes[l + 32] << 2 | codes[l + 64] << 4 | codes[l + 96] << 6
            target.put(byte, at: 32 * half + l)
        }
    }
}

/// Codes of 4 bits: two that are 32 apart share a byte.
private func putNibbles(_ codes: UnsafePointer<UInt8>, into target: UnsafeMutableRawPointer) {
    for pair in 0..<4 {
        let codes = codes + 64 * pair
        for l in 0..<32 { target.put(codes[l] | codes[l + 32] << 4, at: 32 * pair + l) }
    }
}

/// A block of 256 as groups of `count`, eight to a fit, and room for its codes.
@inline(__always)
private func withGroups(
    of count: Int, _ x: UnsafePointer<Float>, _ body: ([GroupFit], UnsafeMutablePointer<UInt8>) -> Void
) {
    let parts = 32 / count
    withUnsafeTemporaryAllocation(of: GroupFit.Lanes.self, capacity: 64) { numbers in
        withUnsafeTemporaryAllocation(of: GroupFit.Codes.self, capacity: 64) { integers in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { codes in
                guard let numbers = numbers.baseAddress, let integers = integers.baseAddress,
                    let codes = codes.baseAddress
                else { return }
                let groups = (0..<parts).map { part in
                    let at = 2 * count * part
                    return GroupFit(
                        x + 128 * part, count: count, numbers: numbers + at, integers: integers + at)
                }
                body(groups, codes)
            }
        }
    }
}
