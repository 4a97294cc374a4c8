// Floats to stored numbers, the inverse of Dequantise: plain types and GGUF's blocks of 32 (QuantiseK has those of 256). Each
// block is scaled so that its extreme value is the extreme code, and the others are rounded to the nearest: x ≈ d·q (+ m).
// Reference: the roundings of ggml's reference quantisers, which the package `gguf` repeats; tests compare bytes.

extension StorageType {
    /// Whether `encode` writes the type.
    package var isWritable: Bool { encoder != nil }

    package static var writableNames: String {
        allCases.filter(\.isWritable).map(\.name).joined(separator: ", ")
    }

    /// Writes whole blocks of finite numbers; the type must be writable and the sizes agree.
    package func encode(_ values: UnsafeBufferPointer<Float>, into target: UnsafeMutableRawBufferPointer) {
        guard let encoder else { preconditionFailure("\(name) cannot be written") }
        precondition(
            rowBytes(columns: values.count) == target.count,
            "\(values.count) floats into \(target.count) bytes")
        guard let source = values.baseAddress, let target = target.baseAddress else { return }
        encoder(source, target, values.count / blockElements)
    }

    /// Turns `blocks` blocks of floats into bytes.
    private typealias Encoder = (
        _ source: UnsafePointer<Float>, _ target: UnsafeMutableRawPointer, _ blocks: Int
    ) -> Void

    private var encoder: Encoder? {
        switch self {
        case .f32:
            { source, target, count in target.copyMemory(from: source, byteCount: 4 * count) }
        case .f16:
            { source, target, count in for i in 0..<count { target.put(Half.bits(source[i]), at: 2 * i) } }
        case .bf16:
            { source, target, count in
                for i in 0..<count { target.put(Half.brainBits(source[i]), at: 2 * i) }
            }
        case .q4_0: { source, target, blocks in eachBlock(self, source, target, blocks, encodeQ4_0) }
        case .q4_1: { source, target, blocks in eachBlock(self, source, target, blocks, encodeQ4_1) }
        case .q5_0: { source, target, blocks in eachBlock(self, source, target, blocks, encodeQ5_0) }
        case .q5_1: { source, target, blocks in eachBlock(self, source, target, blocks, encodeQ5_1) }
        case .q8_0: { source, target, blocks in eachBlock(self, source, target, blocks, encodeQ8_0) }
        case .q2_K: { source, target, blocks in eachBlock(self, source, target, blocks, encodeQ2_K) }
        case .q3_K: { source, target, blocks in eachBlock(self, source, target, blocks, encodeQ3_K) }
        case .q4_K: { source, target, blocks in eachBlock(self, source, target, blocks, encodeQ4_K) }
        case .q5_K: { source, target, blocks in eachBlock(self, source, target, blocks, encodeQ5_K) }
        case .q6_K: { source, target, blocks in eachBlock(self, source, target, blocks, encodeQ6_K) }
        default: nil
        }
    }
}

extension UnsafeMutableRawPointer {
    @inline(__always) func put<Value: BitwiseCopyable>(_ value: Value, at offset: Int) {
        storeBytes(of: value, toByteOffset: offset, as: Value.self)
    }
}

@inline(__always)
private func eachBlock(
    _ type: StorageType, _ source: UnsafePointer<Float>, _ target: UnsafeMutableRawPointer, _ blocks: Int,
    _ encode: (UnsafePointer<Float>, UnsafeMutableRawPointer) -> Void
) {
    let (bytes, elements) = (type.blockBytes, type.blockElements)
    for block in 0..<blocks { encode(source + block * elements, target + block * bytes) }
}

private let blockSize = 32

private func encodeQ4_0(_ x: UnsafePointer<Float>, _ block: UnsafeMutableRawPointer) {
    let d = signedExtreme(x) / -8
    let inverse = reciprocal(d)
    block.put(Half.bits(d), at: 0)
    putNibbles(into: block + 2) { code(x[$0] * inverse + 8.5, upTo: 15) }
}

private func encodeQ4_1(_ x: UnsafePointer<Float>, _ block: UnsafeMutableRawPointer) {
    let (low, high) = range(x)
    let d = (high - low) / 15
    let inverse = reciprocal(d)
    block.put(Half.bits(d), at: 0)
    block.put(Half.bits(low), at: 2)
    putNibbles(into: block + 4) { code((x[$0] - low) * inverse + 0.5, upTo: 15) }
}

private func encodeQ5_0(_ x: UnsafePointer<Float>, _ block: UnsafeMutableRawPointer) {
    let d = signedExtreme(x) / -16
    let inverse = reciprocal(d)
    block.put(Half.bits(d), at: 0)
    putFifthBits(into: block + 2) { code(x[$0] * inverse + 16.5, upTo: 31) }
    putNibbles(into: block + 6) { code(x[$0] * inverse + 16.5, upTo: 31) & 15 }
}

private func encodeQ5_1(_ x: UnsafePointer<Float>, _ block: UnsafeMutableRawPointer) {
    let (low, high) = range(x)
    let d = (high - low) / 31
    let inverse = reciprocal(d)
    block.put(Half.bits(d), at: 0)
    block.put(Half.bits(low), at: 2)
    putFifthBits(into: block + 4) { code((x[$0] - low) * inverse + 0.5, upTo: 31) }
    putNibbles(into: block + 8) { code((x[$0] - low) * inverse + 0.5, upTo: 31) & 15 }
}

private func encodeQ8_0(_ x: UnsafePointer<Float>, _ block: UnsafeMutableRawPointer) {
    var largest: Float = 0
    for j in 0..<blockSize { largest = max(largest, abs(x[j])) }
    let d = largest / 127
    let inverse = reciprocal(d)
    block.put(Half.bits(d), at: 0)
    for j in 0..<blockSize {
        // Halves away from zero. The clamp only matters where `inverse` is infinite, d being subnormal.
        let rounded = (x[j] * inverse).rounded(.toNearestOrAwayFromZero)
        block.put(Int8(Float.minimum(Float.maximum(rounded, -127), 127)), at: 2 + j)
    }
}

@inline(__always) private func reciprocal(_ d: Float) -> Float { d == 0 ? 0 : 1 / d }

/// Truncated and clamped; no number (0 times infinity, where d is subnormal) is 0.
@inline(__always) private func code(_ value: Float, upTo largest: Float) -> UInt8 {
    UInt8(Float.minimum(Float.maximum(value, 0), largest))
}

/// The first of the block's values that is farthest from zero, with its sign.
@inline(__always) private func signedExtreme(_ x: UnsafePointer<Float>) -> Float {
    var extreme = x[0]
    for j in 1..<blockSize where abs(x[j]) > abs(extreme) { extreme = x[j] }
    return extreme
}

@inline(__always) private func range(_ x: UnsafePointer<Float>) -> (low: Float, high: Float) {
    var (low, high) = (x[0], x[0])
    for j in 1..<blockSize { (low, high) = (min(low, x[j]), max(high, x[j])) }
    return (low, high)
}

/// Codes j and j + 16 share byte j.
@inline(__always)
private func putNibbles(into target: UnsafeMutableRawPointer, _ code: (Int) -> UInt8) {
    for j in 0..<blockSize / 2 { target.put(code(j) | code(j + blockSize / 2) << 4, at: j) }
}

@inline(__always)
private func putFifthBits(into target: UnsafeMutableRawPointer, _ code: (Int) -> UInt8) {
    var bits: UInt32 = 0
    for j in 0..<blockSize { bits |= UInt32(code(j) >> 4) << UInt32(j) }
    target.put(bits.littleEndian, at: 0)
}
