// Values to JSON text, byte for byte as Python's `json.dumps` (indented) or Rust's serde_json (compact)
// writes them.

extension JSON {
    package struct Style: Sendable {
        /// Spaces per level; nil puts everything on one line without spaces.
        package var indent: Int?
        /// Everything outside printable ASCII as \u escapes, as `json.dumps` does unless told otherwise.
        package var escapesNonASCII: Bool

        package init(indent: Int?, escapesNonASCII: Bool) {
            self.indent = indent
            self.escapesNonASCII = escapesNonASCII
        }

        package static let compact = Style(indent: nil, escapesNonASCII: false)
        package static let python = Style(indent: 2, escapesNonASCII: true)
    }

    /// A number that is not finite, which JSON cannot hold, is written as null.
    package func text(_ style: Style) -> String {
        var writer = JSONWriter(style: style)
        writer.write(self, level: 0)
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}

private struct JSONWriter {
    let style: JSON.Style
    var bytes: [UInt8] = []

    mutating func write(_ value: JSON, level: Int) {
        switch value {
        case .null: put("null")
        case .bool(let value): put(value ? "true" : "false")
        case .integer(let value): put(String(value))
        case .double(let value): put(value.isFinite ? value.description : "null")
        case .string(let text): write(text)
        case .array(let values):
            write(values, between: ("[", "]"), level: level) { writer, value in
                writer.write(value, level: level + 1)
            }
        case .object(let object):
            write(object.members, between: ("{", "}"), level: level) { writer, member in
                writer.write(member.key)
                writer.put(writer.style.indent == nil ? ":" : ": ")
                writer.write(member.value, level: level + 1)
            }
        }
    }

    private mutating func write<Element>(
        _ elements: [Element], between brackets: (String, String), level: Int,
        each: (inout JSONWriter, Element) -> Void
    ) {
        put(brackets.0)
        for (index, element) in elements.enumerated() {
            if index > 0 { put(",") }
            breakLine(level: level + 1)
            each(&self, element)
        }
        if !elements.isEmpty { breakLine(level: level) }
        put(brackets.1)
    }

    private mutating func write(_ text: String) {
        put("\"")
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": put("\\\"")
            case "\\": put("\\\\")
            case "\n": put("\\n")
            case "\r": put("\\r")
            case "\t": put("\\t")
            case "\u{8}": put("\\b")
            case "\u{C}": put("\\f")
            case "\u{0}"..<" ": escape(UInt16(scalar.value))
            case "\u{7F}"... where style.escapesNonASCII: for unit in String(scalar).utf16 { escape(unit) }
            default: bytes.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
            }
        }
        put("\"")
    }

    private mutating func escape(_ unit: UInt16) {
        let digits = String(unit, radix: 16)
        put("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
    }

    private mutating func breakLine(level: Int) {
        guard let indent = style.indent else { return }
        put("\n")
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indent * level))
    }

    private mutating func put(_ text: String) { bytes.append(contentsOf: text.utf8) }
}
