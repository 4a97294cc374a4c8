// Q5_0 as Q8_0 without loss: a block of Q5_0 holds d and 32 numbers q of 0 … 31, x = d·(q − 16); Q8_0 has x = d·q,
// q of −128 … 127.

extension StoredTensor {
    /// The rows of a Q5_0 tensor, in Hugging Face's order, as blocks of Q8_0.
    package func rowsAsQ8_0() -> [UInt8] {
        precondition(type == .q5_0, "\(type.name) as Q8_0")
        let blocks = columns / 32
        return [UInt8](unsafeUninitializedCapacity: rows * blocks * 34) { target, count in
            count = rows * blocks * 34
            guard var to = UnsafeMutableRawPointer(target.baseAddress) else { return }
            for row in 0..<rows {
                guard var from = rowBytes(row).baseAddress else { return }
                for _ in 0..<blocks {
                    widen(from, to)
                    from += 22
                    to += 34
                }
            }
        }
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
