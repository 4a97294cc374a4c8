// SentencePiece's table of what characters become before all else (`precompiled_charsmap`): the size of a double array in bytes,
// the array (a trie in 32-bit units: Aoe 1989, as Darts-clone packs it), and behind it texts that end with a zero.

import Checkpoints

struct CharacterMap: Sendable, Equatable {
    private static let maximumBytes = 1 << 24
    /// Characters of more bytes are looked up scalar by scalar.
    private static let longestCharacter = 6

    private let units: [UInt32]
    private let texts: [UInt8]
    /// A text is at most so many times as long as what it stands for.
    let growth: Int

    init(base64: String, path: String) throws(FileError) {
        guard let bytes = Self.decode(base64), bytes.count >= 4, bytes.count <= Self.maximumBytes else {
            throw FileError(
                path, "'precompiled_charsmap' is not base64 of at most \(Self.maximumBytes) bytes")
        }
        func word(_ place: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << UInt32(8 * $1) }
        }
        let size = Int(word(0))
        guard size % 4 == 0, size >= 4, size <= bytes.count - 4 else {
            throw FileError(
                path, "'precompiled_charsmap' says that its array has \(size) bytes, and has \(bytes.count)")
        }
        units = stride(from: 4, to: 4 + size, by: 4).map(word)
        texts = Array(bytes[(4 + size)...])
        growth = max(1, texts.split(separator: 0).map(\.count).max() ?? 1)
    }

    func apply(to text: inout [UInt8]) {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for character in String(decoding: text, as: UTF8.self) {
            let bytes = Array(character.utf8)
            if bytes.count < Self.longestCharacter, let other = replacement(of: bytes[...]) {
                result += other
                continue
            }
            UTF8Text.forEachScalar(of: bytes) { _, range in
                result += replacement(of: bytes[range]) ?? bytes[range]
            }
        }
        text = result
    }

    /// Of the shortest entry that the bytes begin with.
    private func replacement(of bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        var place = Self.offset(units[0])
        for byte in bytes {
            guard byte != 0 else { return nil }
            place ^= Int(byte)
            guard place < units.count, units[place] & 0x8000_00FF == UInt32(byte) else { return nil }
            let unit = units[place]
            place ^= Self.offset(unit)
            guard unit >> 8 & 1 == 1 else { continue }
            guard place < units.count else { return nil }
            let start = Int(units[place] & 0x7FFF_FFFF)
            guard start < texts.count else { return nil }
            return texts[start...].prefix { $0 != 0 }
        }
        return nil
    }

    private static func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & 0x200) >> 6) }

    private static func decode(_ base64: String) -> [UInt8]? {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var values = [UInt8?](repeating: nil, count: 256)
        for (value, letter) in alphabet.enumerated() { values[Int(letter)] = UInt8(value) }
        var bytes: [UInt8] = []
        var (bits, count) = (UInt32(0), 0)
        for letter in base64.utf8 {
            if letter == UInt8(ascii: "=") { break }
            guard let value = values[Int(letter)] else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bytes
    }
}
