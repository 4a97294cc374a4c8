// The filter `tojson` as transformers defines it: Python's json.dumps with ensure_ascii off unless asked for.

import Checkpoints

extension TemplateValue {
    /// As `tojson` writes it; empty for values that have no JSON.
    var json: String {
        var writer = TemplateJSONWriter()
        return writer.write(self) ? writer.text : ""
    }
}

struct TemplateJSONWriter {
    var indent: Int?
    var escapesNonASCII = false
    var sortsKeys = false
    var itemSeparator: String?
    var keySeparator = ": "

    private(set) var text = ""

    init() {}

    /// False where a value has no JSON.
    mutating func write(_ value: TemplateValue, level: Int = 0) -> Bool {
        switch value {
        case .none: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer, .float: text += value.text
        case .string(let string): writeString(string)
        case .list(let list):
            return writeAll(list.elements, "[", "]", level) { writer, element in
                writer.write(element, level: level + 1)
            }
        case .dictionary(let dictionary):
            var members = dictionary.members
            if sortsKeys {
                members.sort { $0.key.value.text.utf8.lexicographicallyPrecedes($1.key.value.text.utf8) }
            }
            return writeAll(members, "{", "}", level) { writer, member in
                // Keys are strings in JSON, of numbers and null too.
                if case .none = member.key {
                    writer.writeString("null")
                } else {
                    writer.writeString(member.key.value.text)
                }
                writer.text += writer.keySeparator
                return writer.write(member.value, level: level + 1)
            }
        case .undefined, .namespace, .loop, .macro, .caller, .function: return false
        }
        return true
    }

    private mutating func writeAll<Element>(
        _ elements: [Element], _ open: String, _ close: String, _ level: Int,
        _ write: (inout TemplateJSONWriter, Element) -> Bool
    ) -> Bool {
        text += open
        for (index, element) in elements.enumerated() {
            if index > 0 { text += itemSeparator ?? (indent == nil ? ", " : ",") }
            breakLine(level + 1)
            guard write(&self, element) else { return false }
        }
        if !elements.isEmpty { breakLine(level) }
        text += close
        return true
    }

    private mutating func breakLine(_ level: Int) {
        if let indent { text += "\n" + String(repeating: " ", count: indent * level) }
    }

    private mutating func writeString(_ string: String) {
        text += JSON.string(string).text(JSON.Style(indent: nil, escapesNonASCII: escapesNonASCII))
    }
}
