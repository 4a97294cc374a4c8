// The byte-level alphabet of GPT-2: a vocabulary file shows each byte as one printable character. Bytes that are
// printable in Latin-1 stand for themselves; the 68 others follow one another from U+0100 on.

enum ByteLevel {
    /// The character of each byte.
    static let characters: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (UInt8.min...UInt8.max).map { byte in
            if isPrintable(byte) { return Unicode.Scalar(byte) }
            defer { next += 1 }
            return Unicode.Scalar(next) ?? "\u{FFFD}"
        }
    }()

    private static let bytes = Dictionary(uniqueKeysWithValues: zip(characters, UInt8.min...UInt8.max))

    private static func isPrintable(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: true
        default: false
        }
    }

    /// Text as a vocabulary shows it.
    static func encode(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count * 2)
        for byte in bytes { result.append(contentsOf: String(characters[Int(byte)]).utf8) }
        return result
    }

    /// The bytes that a token stands for; a token with other characters stands for its own text.
    static func decode(_ token: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(token.count)
        for scalar in String(decoding: token, as: UTF8.self).unicodeScalars {
            guard let byte = bytes[scalar] else { return Array(token) }
            result.append(byte)
        }
        return result
    }
}
