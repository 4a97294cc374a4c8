// GGUF's k-quants, as a file stores their blocks of 256, turned into the layout of Shaders/lib/k_quants.glsl, bit for bit: the
// same quants, 6 or 8 bit scales and halves in other places.

extension WeightLayout {
    /// Row `row` of a band's four, from the file's blocks; the band's planes hold zeros or other rows.
    func repackK(
        _ source: UnsafeRawPointer, row: Int, tiles: UnsafeMutableRawPointer, scales: UnsafeMutableRawPointer?
    ) {
        guard let scales else { return }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { quants in
            guard let quants = quants.baseAddress else { return }
            for part in 0..<(columns / 256) {
                let from = source + part * sourceRowByteCount / (columns / 256)
                let to = scales + part * 8 * scaleByteCount
                switch type {
                case .q6_k: unpackQ6(from, quants, row: row, scales: to)
                default: unpackQ45(from, quants, row: row, scales: to)
                }
                for block in 0..<8 {
                    putBlock(
                        quants + block * 32, row: row, to: tiles + (part * 8 + block) * 8 * tileByteCount)
                }
            }
        }
    }

    /// Low nibbles tile by tile, then the row's words of higher bits.
    private func putBlock(_ quants: UnsafePointer<UInt8>, row: Int, to block: UnsafeMutableRawPointer) {
        let highBits = type == .q5_k ? 1 : 2
        let tilesAHalf = 4 / highBits
        var high: (UInt32, UInt32) = (0, 0)
        for tile in 0..<8 {
            var (low, above): (UInt16, UInt32) = (0, 0)
            for column in 0..<4 {
                let quant = quants[tile * 4 + column]
                low |= UInt16(quant & 15) << (4 * column)
                above |= UInt32(quant >> 4) << (4 * column)
            }
            block.storeBytes(of: low, toByteOffset: tile * 8 + row * 2, as: UInt16.self)
            let place = tile % (2 * tilesAHalf)
            above <<= place / tilesAHalf * 16 + place % tilesAHalf * highBits
            if tile < 2 * tilesAHalf { high.0 |= above } else { high.1 |= above }
        }
        if type == .q4_k { return }
        block.storeBytes(of: high.0, toByteOffset: 64 + row * 4, as: UInt32.self)
        if type == .q6_k { block.storeBytes(of: high.1, toByteOffset: 80 + row * 4, as: UInt32.self) }
    }

    /// f16 d, f16 dmin, 12 bytes of 6-bit scales and minima, in Q5_K 32 bytes of fifth bits, 128 bytes of nibbles.
    private func unpackQ45(
        _ source: UnsafeRawPointer, _ quants: UnsafeMutablePointer<UInt8>, row: Int,
        scales: UnsafeMutableRawPointer
    ) {
        func byte(_ offset: Int) -> UInt8 { source.load(fromByteOffset: offset, as: UInt8.self) }
        scales.storeBytes(of: source.loadUnaligned(as: UInt16.self), toByteOffset: row * 2, as: UInt16.self)
        scales.storeBytes(
            of: source.loadUnaligned(fromByteOffset: 2, as: UInt16.self), toByteOffset: 8 + row * 2,
            as: UInt16.self)
        let codes = type == .q5_k ? 48 : 16
        for group in 0..<8 {
            // The first four scales and minima lie in the low six bits, the others in nibbles and the bits left over.
            let (scale, minimum): (UInt8, UInt8) =
                group < 4
                ? (byte(4 + group) & 63, byte(8 + group) & 63)
                : (
                    byte(8 + group) & 15 | (byte(group) >> 6) << 4,
                    byte(8 + group) >> 4 | (byte(4 + group) >> 6) << 4
                )
            scales.storeBytes(of: scale, toByteOffset: 16 + group * 8 + row, as: UInt8.self)
            scales.storeBytes(of: minimum, toByteOffset: 16 + group * 8 + 4 + row, as: UInt8.self)
            for l in 0..<32 {
                let low = (byte(codes + group / 2 * 32 + l) >> (group % 2 * 4)) & 15
                let fifth = type == .q5_k ? (byte(16 + l) >> group) & 1 : 0
                quants[group * 32 + l] = low | fifth << 4
            }
        }
    }

    /// 128 bytes of low nibbles, 64 of two higher bits each, 16 scales of int8, f16 d; groups of 16, quants from 0.
    private func unpackQ6(
        _ source: UnsafeRawPointer, _ quants: UnsafeMutablePointer<UInt8>, row: Int,
        scales: UnsafeMutableRawPointer
    ) {
        func byte(_ offset: Int) -> UInt8 { source.load(fromByteOffset: offset, as: UInt8.self) }
        scales.storeBytes(
            of: source.loadUnaligned(fromByteOffset: 208, as: UInt16.self), toByteOffset: row * 2,
            as: UInt16.self)
        for group in 0..<16 {
            scales.storeBytes(
                of: byte(192 + group), toByteOffset: 16 + group / 2 * 8 + group % 2 * 4 + row, as: UInt8.self)
            let (half, quarter, column) = (group / 8, group % 8 / 2, group % 2 * 16)
            for l in column..<(column + 16) {
                let low = (byte(half * 64 + quarter % 2 * 32 + l) >> (quarter / 2 * 4)) & 15
                let high = (byte(128 + half * 32 + l) >> (quarter * 2)) & 3
                quants[group / 2 * 32 + l] = low | high << 4
            }
        }
    }
}
