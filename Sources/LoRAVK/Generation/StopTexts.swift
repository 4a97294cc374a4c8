// Texts that end an answer, found across the borders of tokens. What may be the beginning of one is held back until the
// next text tells. A stop's first byte begins a character, so what is told is whole characters.

package struct StopTexts {
    private let stops: [[UInt8]]
    private var held: [UInt8] = []

    package init(_ texts: [String]) { stops = texts.map { Array($0.utf8) } }

    /// What of the text can be told, and whether a stop lies behind it.
    package mutating func append(_ text: String) -> (text: String, isEnd: Bool) {
        if stops.isEmpty { return (text, false) }
        held += Array(text.utf8)
        for start in held.indices where stops.contains(where: held[start...].starts(with:)) {
            defer { held = [] }
            return (String(decoding: held[..<start], as: UTF8.self), true)
        }
        let start = held.indices.first { start in stops.contains { $0.starts(with: held[start...]) } }
        let told = held[..<(start ?? held.count)]
        defer { held.removeFirst(told.count) }
        return (String(decoding: told, as: UTF8.self), false)
    }

    /// What was held back.
    package mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }
}
