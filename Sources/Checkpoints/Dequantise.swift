// Stored numbers to Float on the host, row by row: plain types and GGUF's blocks of 32 (x = d·q or d·q + m).
// Reference: the block layouts of ggml; tests compare every type with the `gguf` package.

extension StorageType {
    /// Whether `StoredTensor.floats` reads the type.
    package var isReadable: Bool { decoder != nil }

    package static var readableNames: String {
        allCases.filter(\.isReadable).map(\.name).joined(separator: ", ")
    }

    /// Reads whole blocks; the type must be readable and the sizes agree.
    package func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<Float>) {
        guard let decoder else { preconditionFailure("\(name) cannot be read") }
        precondition(
            rowBytes(columns: target.count) == source.count,
            "\(source.count) bytes into \(target.count) floats")
        guard let first = source.baseAddress, let next = target.baseAddress else { return }
        decoder(first, next, target.count / blockElements)
    }

    /// Turns `blocks` blocks into floats.
    fileprivate typealias Decoder = (
        _ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ blocks: Int
    ) -> Void

    fileprivate var decoder: Decoder? {
        switch self {
        case .f32:
            { source, target, count in
                UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: 4 * count)
            }
        case .f16: { source, target, count in for i in 0..<count { target[i] = source.half(2 * i) } }
        case .bf16:
            { source, target, count in
                for i in 0..<count { target[i] = Float(bitPattern: UInt32(source.word(2 * i)) << 16) }
            }
        case .q4_0: { source, target, blocks in eachBlock(self, source, target, blocks, decodeQ4_0) }
        case .q4_1: { source, target, blocks in eachBlock(self, source, target, blocks, decodeQ4_1) }
        case .q5_0: { source, target, blocks in eachBlock(self, source, target, blocks, decodeQ5_0) }
        case .q5_1: { source, target, blocks in eachBlock(self, source, target, blocks, decodeQ5_1) }
        case .q8_0: { source, target, blocks in eachBlock(self, source, target, blocks, decodeQ8_0) }
        case .mxfp4: { source, target, blocks in eachBlock(self, source, target, blocks, decodeMXFP4) }
        case .q2_K: { source, target, blocks in eachBlock(self, source, target, blocks, decodeQ2_K) }
        case .q3_K: { source, target, blocks in eachBlock(self, source, target, blocks, decodeQ3_K) }
        case .q4_K: { source, target, blocks in eachBlock(self, source, target, blocks, decodeQ4_K) }
        case .q5_K: { source, target, blocks in eachBlock(self, source, target, blocks, decodeQ5_K) }
        case .q6_K: { source, target, blocks in eachBlock(self, source, target, blocks, decodeQ6_K) }
        default: nil
        }
    }
}

extension StoredTensor {
    /// Rows in Hugging Face order as floats, into a buffer of `range.count × columns`.
    package func floats(
        rows range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws(FileError) {
        try decode(range, try decoder(), into: target)
    }

    package func floats(rows range: Range<Int>) throws(FileError) -> [Float] {
        let decoder = try decoder()
        let count = range.count * columns
        return try Array(unsafeUninitializedCapacity: count) { (target, initialized) throws(FileError) in
            try decode(range, decoder, into: UnsafeMutableBufferPointer(rebasing: target[..<count]))
            initialized = count
        }
    }

    package func floats() throws(FileError) -> [Float] { try floats(rows: 0..<rows) }

    private func decoder() throws(FileError) -> StorageType.Decoder {
        if let decoder = type.decoder { return decoder }
        throw FileError(
            path, "tensor '\(name.shortened)' has the type \(type.name), which cannot be read as numbers",
            remedy: "use a file with one of \(StorageType.readableNames)")
    }

    private func decode(
        _ range: Range<Int>, _ decoder: StorageType.Decoder, into target: UnsafeMutableBufferPointer<Float>
    ) throws(FileError) {
        precondition(0 <= range.lowerBound && range.upperBound <= rows, "rows \(range) of \(rows)")
        precondition(target.count == range.count * columns, "\(target.count) floats for \(range.count) rows")
        guard var next = target.baseAddress, columns > 0 else { return }
        if isTransposed { return try decodeTransposed(range, decoder, into: next) }
        let blocks = columns / type.blockElements
        for piece in pieces(of: range) {
            try bytes(rows: piece).withUnsafeBytes { source in
                let size = source.count / piece.count
                for row in 0..<piece.count {
                    if let source = source.baseAddress { decoder(source + row * size, next, blocks) }
                    next += columns
                }
            }
        }
    }

    /// Of a type without blocks. Many rows are found column by column, few number by number.
    private func decodeTransposed(
        _ range: Range<Int>, _ decoder: StorageType.Decoder, into target: UnsafeMutablePointer<Float>
    ) throws(FileError) {
        precondition(type.blockElements == 1, "\(type.name) has no transpose")
        let size = type.blockBytes
        let column = UnsafeMutablePointer<Float>.allocate(capacity: rows)
        defer { column.deallocate() }
        var index = 0
        try eachPiece { (piece) throws(FileError) in
            guard let base = piece.baseAddress else { return }
            for source in stride(from: 0, to: piece.count, by: rows * size).map({ base + $0 }) {
                if range.count > 4 {
                    decoder(source, column, rows)
                } else {
                    for row in range { decoder(source + row * size, column + row, 1) }
                }
                for row in range { target[(row - range.lowerBound) * columns + index] = column[row] }
                index += 1
            }
        }
    }
}

extension StorageType {
    /// Where in a block the numbers lie that may not be finite, seen as words of 16 bits, and the bits of a word's exponent:
    /// the numbers themselves, or the scales of quantised ones. Nil for types that are not read.
    fileprivate var exponents: (offsets: [Int], mask: UInt16)? {
        let (half, brain): (UInt16, UInt16) = (0x7C00, 0x7F80)
        return switch self {
        case .f16, .q4_0, .q5_0, .q8_0: ([0], half)
        case .bf16: ([0], brain)
        case .f32: ([2], brain)
        case .q4_1, .q5_1, .q4_K, .q5_K: ([0, 2], half)
        case .q2_K: ([80, 82], half)
        case .q3_K: ([108], half)
        case .q6_K: ([208], half)
        // A byte beside the first two numbers: powers of 2 that leave no room for what they scale.
        case .mxfp4: ([0], 0xFC)
        default: nil
        }
    }
}

extension StorageType {
    /// The first of some rows, given as their bytes, with a number that is infinite or none, found without decoding: a
    /// quantised block is finite exactly when its scales are. Nil too where the type is not read as numbers.
    package func firstRowNotFinite(_ bytes: UnsafeRawBufferPointer, rows: Int) -> Int? {
        guard let (offsets, mask) = exponents, let base = bytes.baseAddress, rows > 0 else { return nil }
        let (size, rowBytes) = (blockBytes, bytes.count / rows)
        return (0..<rows).first { row in
            offsets.contains { offset in
                var at = row * rowBytes + offset
                while at < (row + 1) * rowBytes {
                    if base.word(at) & mask == mask { return true }
                    at += size
                }
                return false
            }
        }
    }
}

extension UnsafeRawPointer {
    @inline(__always) func byte(_ offset: Int) -> UInt8 { load(fromByteOffset: offset, as: UInt8.self) }
    @inline(__always) func word(_ offset: Int) -> UInt16 {
        loadUnaligned(fromByteOffset: offset, as: UInt16.self)
    }

    /// A binary16 number. Scaling by 2^112 rebiases the exponent and makes subnormals right as well; done in
    /// integers and one multiplication because the conversion is a library call on most x86 builds.
    @inline(__always) func half(_ offset: Int) -> Float {
        let bits = UInt32(word(offset))
        let magnitude = (bits & 0x7FFF) << 13
        let special: UInt32 = magnitude >= 0x0F80_0000 ? 0x7F80_0000 : 0
        let scaled = (Float(bitPattern: magnitude) * 0x1p112).bitPattern
        return Float(bitPattern: scaled | special | (bits & 0x8000) << 16)
    }
}

@inline(__always)
private func eachBlock(
    _ type: StorageType, _ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ blocks: Int,
    _ decode: (UnsafeRawPointer, UnsafeMutablePointer<Float>) -> Void
) {
    let (bytes, elements) = (type.blockBytes, type.blockElements)
    for block in 0..<blocks { decode(source + block * bytes, target + block * elements) }
}

private func decodeQ4_0(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let d = block.half(0)
    for j in 0..<16 {
        let q = block.byte(2 + j)
        x[j] = d * Float(Int32(q & 15) - 8)
        x[j + 16] = d * Float(Int32(q >> 4) - 8)
    }
}

private func decodeQ4_1(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let (d, m) = (block.half(0), block.half(2))
    for j in 0..<16 {
        let q = block.byte(4 + j)
        x[j] = d * Float(q & 15) + m
        x[j + 16] = d * Float(q >> 4) + m
    }
}

private func decodeQ5_0(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let d = block.half(0)
    let high = block.loadUnaligned(fromByteOffset: 2, as: UInt32.self)
    for j in 0..<16 {
        let q = UInt32(block.byte(6 + j))
        x[j] = d * Float(Int32(q & 15 | (high >> j & 1) << 4) - 16)
        x[j + 16] = d * Float(Int32(q >> 4 | (high >> (j + 16) & 1) << 4) - 16)
    }
}

private func decodeQ5_1(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let (d, m) = (block.half(0), block.half(2))
    let high = block.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
    for j in 0..<16 {
        let q = UInt32(block.byte(8 + j))
        x[j] = d * Float(q & 15 | (high >> j & 1) << 4) + m
        x[j + 16] = d * Float(q >> 4 | (high >> (j + 16) & 1) << 4) + m
    }
}

private func decodeQ8_0(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let d = block.half(0)
    for j in 0..<32 { x[j] = d * Float(block.load(fromByteOffset: 2 + j, as: Int8.self)) }
}

/// x = 2^(e − 127)·q, q = ±0, ½, 1, 1½, 2, 3, 4, 6 (OCP: Microscaling Formats, 2023). Byte e, then numbers as in Q4_0.
private func decodeMXFP4(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let e = Int(block.byte(0))
    let d = e == 255 ? Float.nan : Float(sign: .plus, exponent: e - 128, significand: 1)
    for j in 0..<16 {
        let q = block.byte(1 + j)
        x[j] = d * twiceFP4[Int(q & 15)]
        x[j + 16] = d * twiceFP4[Int(q >> 4)]
    }
}

private let twiceFP4: [Float] = [0, 1, 2, 3, 4, 6, 8, 12, -0.0, -1, -2, -3, -4, -6, -8, -12]

extension StoredTensor {
    /// A tensor of one dimension, in Hugging Face's order: a bias is stored as the rows of its matrix are.
    package func vector() throws(FileError) -> [Float] {
        let stored = try floats()
        return order == .asStored ? stored : stored.indices.map { stored[order.storedRow($0)] }
    }
}
