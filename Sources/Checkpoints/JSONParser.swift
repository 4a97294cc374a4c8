// JSON text to values (RFC 8259), for untrusted input: nesting is capped, duplicate keys, NaN, byte-order
// marks and invalid UTF-8 are refused, and every error carries the offset of the byte that is wrong.

extension JSON {
    package static func parse(
        _ bytes: UnsafeRawBufferPointer, path: String, limits: LoadLimits = .standard
    ) throws(FileError) -> JSON {
        guard bytes.count <= limits.jsonBytes else {
            throw FileError(path, "has \(bytes.count) bytes of JSON, the limit is \(limits.jsonBytes)")
        }
        guard !bytes.starts(with: [0xEF, 0xBB, 0xBF]) else {
            throw FileError(
                path, at: .byte(0), "begins with a byte-order mark, which JSON does not allow",
                remedy: "save it as UTF-8 without one")
        }
        if let offset = firstInvalidUTF8(bytes) {
            throw FileError(
                path, at: .byte(offset), "the text is not valid UTF-8 here", remedy: "save the file as UTF-8")
        }
        var parser = JSONParser(bytes: bytes, path: path, limits: limits)
        return try parser.document()
    }

    package static func parse(
        _ bytes: [UInt8], path: String, limits: LoadLimits = .standard
    ) throws(FileError) -> JSON {
        try bytes.withUnsafeBufferPointer { (buffer) throws(FileError) in
            try parse(UnsafeRawBufferPointer(buffer), path: path, limits: limits)
        }
    }
}

private struct JSONParser {
    let bytes: UnsafeRawBufferPointer
    let path: String
    let limits: LoadLimits
    var at = 0
    var depth = 0
    var values = 0

    mutating func document() throws(FileError) -> JSON {
        let result = try value()
        skipSpace()
        guard at == bytes.count else { throw wrong("there is more text after the end of the JSON value") }
        return result
    }

    private mutating func value() throws(FileError) -> JSON {
        skipSpace()
        guard let first = peek() else { throw wrong("the text ends where a value belongs") }
        values += 1
        guard values <= limits.jsonValues else {
            throw wrong("there are more than \(limits.jsonValues) values, which is the limit")
        }
        switch first {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        case UInt8(ascii: "N"), UInt8(ascii: "I"):
            throw wrong("NaN and Infinity are not JSON numbers", remedy: "write a finite number or null")
        default: throw wrong("expected a value, found \(shown(first))")
        }
    }

    private mutating func object() throws(FileError) -> JSON {
        try enter()
        var result = JSON.Object()
        skipSpace()
        if take(UInt8(ascii: "}")) { return leave(.object(result)) }
        while true {
            skipSpace()
            let start = at
            guard peek() == UInt8(ascii: "\"") else { throw wrong("expected a key in double quotes") }
            let key = try string()
            skipSpace()
            guard take(UInt8(ascii: ":")) else {
                throw wrong("expected ':' after the key '\(key.shortened)'")
            }
            let member = try value()
            guard result.append(key, member) else {
                at = start
                throw wrong("the key '\(key.shortened)' appears twice in one object")
            }
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "}")) else { throw wrong("expected ',' or '}'") }
            return leave(.object(result))
        }
    }

    private mutating func array() throws(FileError) -> JSON {
        try enter()
        var result: [JSON] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return leave(.array(result)) }
        while true {
            result.append(try value())
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "]")) else { throw wrong("expected ',' or ']'") }
            return leave(.array(result))
        }
    }

    private mutating func string() throws(FileError) -> String {
        at += 1
        let start = at
        while at < bytes.count {
            let byte = bytes[at]
            if byte == UInt8(ascii: "\"") {
                defer { at += 1 }
                return String(decoding: bytes[start..<at], as: UTF8.self)
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            guard byte >= 0x20 else { throw wrong("a control character inside a string must be escaped") }
            at += 1
        }
        throw wrong("the text ends inside a string")
    }

    private mutating func escapedString(from start: Int) throws(FileError) -> String {
        var text = [UInt8](bytes[start..<at])
        while let byte = peek() {
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20:
                at -= 1
                throw wrong("a control character inside a string must be escaped")
            default: text.append(byte)
            }
        }
        throw wrong("the text ends inside a string")
    }

    private mutating func escape(into text: inout [UInt8]) throws(FileError) {
        guard let kind = peek() else { throw wrong("the text ends inside a string") }
        at += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(kind)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text.append(contentsOf: String(try unicodeEscape()).utf8)
        default:
            at -= 1
            throw wrong("\\\(shown(kind)) is not an escape of JSON")
        }
    }

    private mutating func unicodeEscape() throws(FileError) -> Unicode.Scalar {
        let start = at
        var code = try hexDigits()
        if 0xD800..<0xDC00 ~= code, take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) {
            let low = try hexDigits()
            if 0xDC00..<0xE000 ~= low { code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00) }
        }
        guard let scalar = Unicode.Scalar(code) else {
            at = start
            throw wrong("half of a surrogate pair stands alone in a \\u escape")
        }
        return scalar
    }

    private mutating func hexDigits() throws(FileError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek(), let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw wrong("\\u needs four hexadecimal digits")
            }
            code = code << 4 | UInt32(digit)
            at += 1
        }
        return code
    }

    private mutating func number() throws(FileError) -> JSON {
        let start = at
        let negative = take(UInt8(ascii: "-"))
        if !take(UInt8(ascii: "0")), digits() == 0 {
            throw wrong("expected a digit; NaN and Infinity are not JSON numbers")
        }
        var integral = true
        if take(UInt8(ascii: ".")) {
            integral = false
            guard digits() > 0 else { throw wrong("expected a digit after the decimal point") }
        }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            integral = false
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            guard digits() > 0 else { throw wrong("expected a digit in the exponent") }
        }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if integral, let value = Int(text), value != 0 || !negative { return .integer(value) }
        guard let value = Double(text), value.isFinite else {
            at = start
            throw wrong("the number \(text.prefix(40)) is too large")
        }
        return .double(value)
    }

    private mutating func digits() -> Int {
        let start = at
        while let byte = peek(), UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte { at += 1 }
        return at - start
    }

    private mutating func word(_ text: StaticString, _ value: JSON) throws(FileError) -> JSON {
        let end = at + text.utf8CodeUnitCount
        guard end <= bytes.count,
            bytes[at..<end].elementsEqual(UnsafeRawBufferPointer(start: text.utf8Start, count: end - at))
        else { throw wrong("expected \(text)") }
        at = end
        return value
    }

    private mutating func enter() throws(FileError) {
        depth += 1
        guard depth <= limits.depth else {
            throw wrong("the JSON is nested deeper than \(limits.depth) levels")
        }
        at += 1
    }

    private mutating func leave(_ value: JSON) -> JSON {
        depth -= 1
        return value
    }

    private mutating func skipSpace() {
        while at < bytes.count {
            switch bytes[at] {
            case 0x20, 0x0A, 0x0D, 0x09: at += 1
            default: return
            }
        }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard at < bytes.count, bytes[at] == byte else { return false }
        at += 1
        return true
    }

    private func peek() -> UInt8? { at < bytes.count ? bytes[at] : nil }

    private func shown(_ byte: UInt8) -> String {
        0x20..<0x7F ~= byte ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x\(String(byte, radix: 16))"
    }

    private func wrong(_ message: String, remedy: String? = nil) -> FileError {
        FileError(path, at: .byte(at), message, remedy: remedy)
    }
}

/// The offset of the first byte that is not part of well-formed UTF-8 (table 3-7 of the Unicode standard).
package func firstInvalidUTF8(_ bytes: UnsafeRawBufferPointer) -> Int? {
    var at = 0
    while at < bytes.count {
        if at + 8 <= bytes.count,
            bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
        {
            at += 8
            continue
        }
        let lead = bytes[at]
        let (length, second): (Int, ClosedRange<UInt8>)
        switch lead {
        case 0x00...0x7F: (length, second) = (1, 0x80...0xBF)
        case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: (length, second) = (3, 0x80...0xBF)
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        default: return at
        }
        guard at + length <= bytes.count else { return at }
        for offset in 1..<length where !((offset == 1 ? second : 0x80...0xBF) ~= bytes[at + offset]) {
            return at
        }
        at += length
    }
    return nil
}
