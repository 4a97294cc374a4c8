// Changes to a file's bytes, or to the values of its JSON, that depend on a seed alone.

import Checkpoints
import LoRAVK

struct Mutation {
    var random: RandomNumbers

    static let numbers: [UInt64] = [
        0, 1, 2, 3, 7, 8, 31, 32, 33, 127, 128, 255, 256, 4096, 65535, 65536, 1 << 20, 1 << 24, 1 << 31 - 1,
        1 << 31,
        1 << 32 - 1, 1 << 32, 1 << 40, 1 << 62, 1 << 63 - 1, 1 << 63, .max - 7, .max,
    ]
    private static let words = [
        "null", "true", "-1", "0", "1e308", "-1e308", "1e-320", "9223372036854775807", "9223372036854775808",
        "0.1",
        "4294967295", "\"\"", "[]", "{}", "[[[[[[[[", "{\"a\":", "\\u0000", "\\ud800", "\u{FEFF}", "\u{301}",
        "é", "😀",
        "NaN", "Infinity", "\n", "\r\n", " ", "\t", "{{", "}}", "{%", "%}", "{#", "#}", "../", "/", ".*", "(",
        ")+",
        "[a-z]{1,1000}", "(?:a|b)*", "\\p{L}+", "|upper", " for ", " if ", " in ", "range(99999)",
        "loop.index",
        "namespace", "macro", "|tojson", "|sort", "%s", "x: y=1", "family: shared",
    ]

    mutating func below(_ count: Int) -> Int { count <= 1 ? 0 : Int.random(in: 0..<count, using: &random) }
    mutating func chance(_ one: Int) -> Bool { below(one) == 0 }
    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }

    /// `head`: changes fall more often on so many bytes at the beginning.
    mutating func bytes(_ base: [UInt8], head: Int = .max) -> [UInt8] {
        var bytes = base
        for _ in 0...below(chance(4) ? 12 : 3) { change(&bytes, min(head, bytes.count)) }
        return bytes
    }

    private mutating func change(_ bytes: inout [UInt8], _ head: Int) {
        let place = below(chance(8) ? bytes.count + 1 : head + 1)
        let end = min(bytes.count, place + 1 + below(chance(6) ? 512 : 16))
        switch below(10) {
        case 0: if place < bytes.count { bytes[place] ^= 1 << UInt8(below(8)) }
        case 1: if place < bytes.count { bytes[place] = UInt8(truncatingIfNeeded: random.next()) }
        case 2: bytes.removeSubrange(place..<end)
        case 3: bytes.insert(contentsOf: Array(bytes[place..<end]), at: below(bytes.count + 1))
        case 4: bytes.insert(contentsOf: Self.words[below(Self.words.count)].utf8, at: place)
        case 5:
            let value = Self.numbers[below(Self.numbers.count)]
            for index in 0..<(chance(2) ? 4 : 8) where place + index < bytes.count {
                bytes[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8))
            }
        case 6: if chance(4) { bytes.removeSubrange(place...) }
        case 7:
            let part = Array(bytes[place..<end])
            for _ in 0..<below(chance(8) ? 2000 : 20) where bytes.count < 1 << 20 {
                bytes.insert(contentsOf: part, at: place)
            }
        case 8: replaceNumber(&bytes, from: place)
        default:
            let other = below(bytes.count + 1)
            for index in 0..<(end - place) where other + index < bytes.count {
                bytes.swapAt(place + index, other + index)
            }
        }
    }

    /// The next digits in the text become another number.
    private mutating func replaceNumber(_ bytes: inout [UInt8], from place: Int) {
        func isDigit(_ byte: UInt8) -> Bool { 0x30...0x39 ~= byte }
        guard let start = bytes[place...].firstIndex(where: isDigit) else { return }
        let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.count
        let text = chance(2) ? "\(Self.numbers[below(Self.numbers.count)])" : "\(below(300))"
        bytes.replaceSubrange(start..<end, with: text.utf8)
    }

    // MARK: JSON

    /// A document with other values here and there, which is still JSON.
    mutating func json(_ base: JSON) -> JSON {
        var json = base
        for _ in 0...below(3) { json = changed(json) }
        return json
    }

    private mutating func changed(_ json: JSON) -> JSON {
        switch json {
        case .object(var object) where object.count > 0 && !chance(5):
            let member = object.members[below(object.count)]
            switch below(12) {
            case 0: object[member.key] = nil
            case 1: object[String(decoding: bytes(Array(member.key.utf8)), as: UTF8.self)] = member.value
            case 2: object[member.key] = object.members[below(object.count)].value
            default: object[member.key] = changed(member.value)
            }
            return .object(object)
        case .array(var values) where !values.isEmpty && !chance(5):
            let index = below(values.count)
            switch below(8) {
            case 0: values.remove(at: index)
            case 1:
                for _ in 0..<below(chance(10) ? 5000 : 40) { values.insert(values[index], at: index) }
            default: values[index] = changed(values[index])
            }
            return .array(values)
        default: return value(json)
        }
    }

    private mutating func value(_ old: JSON) -> JSON {
        switch below(12) {
        case 0: return .null
        case 1: return .bool(chance(2))
        case 2: return .integer(Int(truncatingIfNeeded: Self.numbers[below(Self.numbers.count)]))
        case 3: return .integer(below(100) - 10)
        case 4: return .double(pick([0.1, -0.5, 1e308, -1e308, 1e-300, 1e38, 1e-45, 0, 2.5]))
        case 5: return .string(String(repeating: pick(Self.words), count: 1 + below(chance(10) ? 3000 : 3)))
        case 6: return .array([old, old])
        case 7: return .array([])
        case 8: return .object(["a": old])
        default:
            guard case .string(let text) = old else { return .integer(below(20)) }
            return .string(String(decoding: bytes(Array(text.utf8)), as: UTF8.self))
        }
    }

    /// A text to encode: words, marks, white space and what templates and tokenizers look for.
    mutating func text() -> String {
        var text = ""
        let parts = [
            "hello ", "world", " ", "\n", "  ", "é", "e\u{301}", "\u{301}\u{323}", "😀", "aaaa", "ab", "<s>",
            "</s>",
            "<|im_start|>", "1234", "'s", "中文", "\u{0}", "\t", "▁", "ﬃ", "İ", "\u{F73}",
        ]
        for _ in 0..<below(chance(10) ? 400 : 20) { text += pick(parts) }
        return text
    }
}
