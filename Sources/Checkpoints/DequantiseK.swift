// GGUF's K-quants: 256 numbers a block in 8 or 16 groups, each group with its own small integer scale (and
// minimum): x = d·scale·q − dmin·minimum. Reference: the block layouts of ggml.

func decodeQ2_K(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let (scales, codes) = (block, block + 16)
    let (d, dmin) = (block.half(80), block.half(82))
    for group in 0..<16 {
        let (scale, minimum) = (d * Float(scales.byte(group) & 15), dmin * Float(scales.byte(group) >> 4))
        let start = 32 * (group / 8) + 16 * (group % 2)
        let shift = 2 * UInt8(group % 8 / 2)
        for l in 0..<16 { x[16 * group + l] = scale * Float(codes.byte(start + l) >> shift & 3) - minimum }
    }
}

func decodeQ3_K(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let (mask, codes, scales) = (block, block + 32, block + 96)
    let d = block.half(108)
    for group in 0..<16 {
        let low = group < 8 ? scales.byte(group) & 15 : scales.byte(group - 8) >> 4
        let high = scales.byte(8 + group % 4) >> (2 * UInt8(group / 4)) & 3
        let scale = d * Float(Int32(low | high << 4) - 32)
        let column = 16 * (group % 2)
        let shift = 2 * UInt8(group % 8 / 2)
        let bit = UInt8(group / 2)
        for l in 0..<16 {
            let q = Int32(codes.byte(32 * (group / 8) + column + l) >> shift & 3)
            let offset = 4 - 4 * Int32(mask.byte(column + l) >> bit & 1)
            x[16 * group + l] = scale * Float(q - offset)
        }
    }
}

func decodeQ4_K(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let codes = block + 16
    for group in 0..<8 {
        let (scale, minimum) = scaleAndMinimum(block, group)
        let shift = 4 * UInt8(group % 2)
        for l in 0..<32 {
            x[32 * group + l] = scale * Float(codes.byte(32 * (group / 2) + l) >> shift & 15) - minimum
        }
    }
}

func decodeQ5_K(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let (high, codes) = (block + 16, block + 48)
    for group in 0..<8 {
        let (scale, minimum) = scaleAndMinimum(block, group)
        let shift = 4 * UInt8(group % 2)
        for l in 0..<32 {
            let low = codes.byte(32 * (group / 2) + l) >> shift & 15
            let bit = high.byte(l) >> UInt8(group) & 1
            x[32 * group + l] = scale * Float(low | bit << 4) - minimum
        }
    }
}

func decodeQ6_K(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let (low, high, scales) = (block, block + 128, block + 192)
    let d = block.half(208)
    for group in 0..<16 {
        let scale = d * Float(scales.load(fromByteOffset: group, as: Int8.self))
        let (half, quarter, column) = (group / 8, group % 8 / 2, 16 * (group % 2))
        let lowStart = 64 * half + 32 * (quarter % 2) + column
        let (lowShift, highShift) = (4 * UInt8(quarter / 2), 2 * UInt8(quarter))
        for l in 0..<16 {
            let q = low.byte(lowStart + l) >> lowShift & 15
            let bits = high.byte(32 * half + column + l) >> highShift & 3
            x[16 * group + l] = scale * Float(Int32(q | bits << 4) - 32)
        }
    }
}

/// The 6-bit scale and minimum of one of the 8 groups of Q4_K and Q5_K, packed into bytes 4 to 15 of the
/// block.
@inline(__always)
private func scaleAndMinimum(_ block: UnsafeRawPointer, _ group: Int) -> (scale: Float, minimum: Float) {
    let packed = block + 4
    let (scale, minimum): (UInt8, UInt8)
    if group < 4 {
        (scale, minimum) = (packed.byte(group) & 63, packed.byte(group + 4) & 63)
    } else {
        scale = packed.byte(group + 4) & 15 | (packed.byte(group - 4) >> 6) << 4
        minimum = packed.byte(group + 4) >> 4 | (packed.byte(group) >> 6) << 4
    }
    return (block.half(0) * Float(scale), block.half(2) * Float(minimum))
}
