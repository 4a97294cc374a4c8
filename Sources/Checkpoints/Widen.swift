// Q5_0 as Q8_0 without loss: a block of Q5_0 holds d and 32 numbers q of 0 … 31, x = d·(q − 16); Q8_0 has x = d·q,
// q of −128 … 127.

/// Blocks of Q5_0 as blocks of Q8_0.
package func widenedToQ8_0(_ blocks: UnsafeRawBufferPointer) -> [UInt8] {
    let (from, to) = (StorageType.q5_0.blockBytes, StorageType.q8_0.blockBytes)
    let count = blocks.count / from
    return [UInt8](unsafeUninitializedCapacity: count * to) { target, written in
        written = count * to
        guard let source = blocks.baseAddress, let target = UnsafeMutableRawPointer(target.baseAddress)
        else { return }
        for block in 0..<count { widen(source + block * from, target + block * to) }
    }
}

/// Bit j of the word behind d is the fifth bit of number j; byte j of the sixteen holds the low bits of number j, and
/// above them those of j + 16.
private func widen(_ block: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
    target.copyMemory(from: block, byteCount: 2)
    let high = block.loadUnaligned(fromByteOffset: 2, as: UInt32.self)
    for j in 0..<16 {
        let low = UInt32(block.load(fromByteOffset: 6 + j, as: UInt8.self))
        let (first, second) = (low & 15 | (high >> j & 1) << 4, low >> 4 | (high >> (j + 16) & 1) << 4)
        target.storeBytes(of: Int8(first) - 16, toByteOffset: 2 + j, as: Int8.self)
        target.storeBytes(of: Int8(second) - 16, toByteOffset: 18 + j, as: Int8.self)
    }
}
