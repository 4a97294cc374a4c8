// The `normalizer` of tokenizer.json.

import Checkpoints

extension Normalizer {
    static func list(_ file: JSONFields) throws(FileError) -> (steps: [Normalizer], growth: Int) {
        var list: [Normalizer] = []
        var growth = 1
        for step in try file.steps("normalizer", list: "normalizers") {
            let normalizer = try Normalizer(step)
            growth = min(growth * normalizer.growth, Int(Int32.max))
            list.append(normalizer)
        }
        guard growth <= maximumGrowth else {
            throw FileError(
                file.path,
                "the normalizers can make a text \(growth) times as long, the limit is \(maximumGrowth)")
        }
        return (list, growth)
    }

    private init(_ step: JSONFields) throws(FileError) {
        switch try step.string("type") {
        case "NFC": self = .nfc
        case "NFD": self = .nfd
        case "Lowercase": self = .lowercase
        case "BertNormalizer":
            let lowercases = try step.optionalBool("lowercase") ?? true
            self = .bert(
                BertNormalizer(
                    cleans: try step.optionalBool("clean_text") ?? true,
                    spacesIdeographs: try step.optionalBool("handle_chinese_chars") ?? true,
                    stripsAccents: try step.optionalBool("strip_accents") ?? lowercases,
                    lowercases: lowercases))
        case "Precompiled":
            self = .precompiled(
                try CharacterMap(base64: step.string("precompiled_charsmap"), path: step.path))
        case "Strip":
            self = .strip(
                left: try step.optionalBool("strip_left") ?? true,
                right: try step.optionalBool("strip_right") ?? true)
        case "Prepend": self = .prepend(Array(try step.string("prepend").utf8))
        case "Replace":
            let replacement = Array(try step.string("content").utf8)
            let pattern = try step.fields("pattern")
            if let expression = try pattern.optionalString("Regex") {
                self = .replaceMatches(try step.expression(expression), with: replacement)
            } else {
                let text = try pattern.string("String")
                guard !text.isEmpty else {
                    throw pattern.refusal("String", expected: "a text that is not empty")
                }
                self = .replace(Array(text.utf8), with: replacement)
            }
        default:
            throw step.refusal(
                "type",
                expected:
                    "NFC, NFD, Lowercase, Strip, Prepend, Replace, BertNormalizer, Precompiled or Sequence in the normalizer"
            )
        }
    }
}
