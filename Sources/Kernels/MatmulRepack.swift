// Rows as a file stores them, turned into the tiles and scales of a WeightLayout.
// GGUF blocks of 32: Q8_0 = f16 d, 32 × int8; Q4_0 = f16 d, 16 bytes; Q4_1 = f16 d, f16 m, 16 bytes; byte j of the
// sixteen holds element j in its low nibble and element j + 16 in its high one; MXFP4 = byte e, 16 bytes of the same.

extension WeightLayout {
    /// Repacks rows 4·bands. `tiles` and `scales` begin at the first of those bands and are overwritten.
    func repack(
        _ source: UnsafeRawBufferPointer, bands: Range<Int>, tiles: UnsafeMutableRawBufferPointer,
        scales: UnsafeMutableRawBufferPointer
    ) {
        guard let source = source.baseAddress, let tiles = tiles.baseAddress else { return }
        for band in bands {
            let tiles = tiles + (band - bands.lowerBound) * bandTileByteCount
            let scales = scales.baseAddress.map { $0 + (band - bands.lowerBound) * bandScaleByteCount }
            if band * 4 + 4 > sourceRows {
                tiles.initializeMemory(as: UInt8.self, repeating: 0, count: bandTileByteCount)
                scales?.initializeMemory(as: UInt8.self, repeating: 0, count: bandScaleByteCount)
            }
            for r in 0..<min(4, sourceRows - band * 4) {
                let row = source + (band * 4 + r) * sourceRowByteCount
                switch type {
                case .f32: scatter(row, as: SIMD4<UInt32>.self, to: tiles + r * 16)
                case .f16, .bf16: scatter(row, as: SIMD4<UInt16>.self, to: tiles + r * 8)
                case .q8_0: repackQ8(row, row: r, tiles: tiles, scales: scales)
                case .q4_0: repackQ4(row, row: r, headerByteCount: 2, tiles: tiles, scales: scales)
                case .q4_1: repackQ4(row, row: r, headerByteCount: 4, tiles: tiles, scales: scales)
                case .mxfp4: repackMXFP4(row, row: r, tiles: tiles, scales: scales)
                case .q4_k, .q5_k, .q6_k: repackK(row, row: r, tiles: tiles, scales: scales)
                }
            }
        }
    }

    /// Every four numbers of a row go to the next tile.
    private func scatter<Four: BitwiseCopyable>(
        _ row: UnsafeRawPointer, as type: Four.Type, to tiles: UnsafeMutableRawPointer
    ) {
        for tile in 0..<(columns / 4) {
            let four = row.loadUnaligned(fromByteOffset: tile * MemoryLayout<Four>.size, as: Four.self)
            tiles.storeBytes(of: four, toByteOffset: tile * tileByteCount, as: Four.self)
        }
    }

    private func repackQ8(
        _ source: UnsafeRawPointer, row: Int, tiles: UnsafeMutableRawPointer, scales: UnsafeMutableRawPointer?
    ) {
        for block in 0..<(columns / 32) {
            let from = source + block * 34
            scales?.storeBytes(
                of: from.loadUnaligned(as: UInt16.self), toByteOffset: block * scaleByteCount + row * 2,
                as: UInt16.self)
            for tile in 0..<8 {
                tiles.storeBytes(
                    of: from.loadUnaligned(fromByteOffset: 2 + tile * 4, as: UInt32.self),
                    toByteOffset: (block * 8 + tile) * 16 + row * 4, as: UInt32.self)
            }
        }
    }

    private func repackQ4(
        _ source: UnsafeRawPointer, row: Int, headerByteCount: Int, tiles: UnsafeMutableRawPointer,
        scales: UnsafeMutableRawPointer?
    ) {
        for block in 0..<(columns / 32) {
            let from = source + block * (headerByteCount + 16)
            // d, and m behind the four rows' d.
            for header in 0..<(headerByteCount / 2) {
                scales?.storeBytes(
                    of: from.loadUnaligned(fromByteOffset: header * 2, as: UInt16.self),
                    toByteOffset: block * scaleByteCount + header * 8 + row * 2, as: UInt16.self)
            }
            repackNibbles(from + headerByteCount, row: row, tiles: tiles + block * 64)
        }
    }

    private func repackMXFP4(
        _ source: UnsafeRawPointer, row: Int, tiles: UnsafeMutableRawPointer, scales: UnsafeMutableRawPointer?
    ) {
        for block in 0..<(columns / 32) {
            let from = source + block * 17
            scales?.storeBytes(
                of: from.load(as: UInt8.self), toByteOffset: block * scaleByteCount + row, as: UInt8.self)
            repackNibbles(from + 1, row: row, tiles: tiles + block * 64)
        }
    }

    /// The sixteen bytes of a block into a row of its 8 tiles.
    private func repackNibbles(_ source: UnsafeRawPointer, row: Int, tiles: UnsafeMutableRawPointer) {
        for tile in 0..<4 {
            let bytes = source.loadUnaligned(fromByteOffset: tile * 4, as: UInt32.self)
            tiles.storeBytes(of: Self.lowNibbles(bytes), toByteOffset: tile * 8 + row * 2, as: UInt16.self)
            tiles.storeBytes(
                of: Self.lowNibbles(bytes >> 4), toByteOffset: (tile + 4) * 8 + row * 2, as: UInt16.self)
        }
    }

    /// The low nibbles of four bytes, side by side.
    private static func lowNibbles(_ bytes: UInt32) -> UInt16 {
        let pairs = (bytes & 0x0F0F_0F0F) | (bytes & 0x0F0F_0F0F) >> 4
        return UInt16(truncatingIfNeeded: (pairs & 0xFF) | (pairs >> 8 & 0xFF00))
    }
}
