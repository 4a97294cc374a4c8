// The `pre_tokenizer` of tokenizer.json.

import Checkpoints

struct PreTokenizerJSON {
    private(set) var result = PreTokenizer()
    private(set) var isByteLevel = false

    init(_ file: JSONFields) throws(FileError) {
        for step in try file.steps("pre_tokenizer", list: "pretokenizers") {
            // What comes behind it would see bytes as characters.
            guard !isByteLevel else {
                throw step.refusal("type", expected: "ByteLevel as the last pre-tokenizer")
            }
            switch try step.string("type") {
            case "ByteLevel": try byteLevel(step)
            case "Digits":
                let isEach = try step.optionalBool("individual_digits") ?? false
                result.steps.append(
                    .split(
                        Splitter(
                            expression: .known(Expression.Family.numeric),
                            behavior: isEach ? .isolated : .contiguous)))
            case "Split": result.steps.append(.split(try Splitter(step)))
            case "Metaspace": try metaspace(step)
            case "BertPreTokenizer": result.steps.append(.bert)
            case "WhitespaceSplit":
                result.steps.append(.split(Splitter(expression: .known(#"\s"#), behavior: .removed)))
            default:
                throw step.refusal(
                    "type",
                    expected:
                        "ByteLevel, Digits, Split, Metaspace, BertPreTokenizer, WhitespaceSplit or Sequence of the pre-tokenizer"
                )
            }
        }
    }

    private mutating func byteLevel(_ step: JSONFields) throws(FileError) {
        isByteLevel = true
        if try step.optionalBool("add_prefix_space") ?? true {
            result.steps.append(.change(.prependOnce([UInt8(ascii: " ")], onlyFirst: false)))
        }
        if try step.optionalBool("use_regex") ?? true {
            result.steps.append(.split(Splitter(expression: .known(Expression.Family.gpt2))))
        }
    }

    private mutating func metaspace(_ step: JSONFields) throws(FileError) {
        let replacement = Array((try step.optionalString("replacement") ?? "▁").utf8)
        guard replacement == Array("▁".utf8) else { throw step.refusal("replacement", expected: "\"▁\"") }
        result.steps.append(.change(.replace([UInt8(ascii: " ")], with: replacement)))
        let older = try step.optionalBool("add_prefix_space") ?? true ? "always" : "never"
        switch try step.optionalString("prepend_scheme") ?? older {
        case "always": result.steps.append(.change(.prependOnce(replacement, onlyFirst: false)))
        case "first": result.steps.append(.change(.prependOnce(replacement, onlyFirst: true)))
        case "never": break
        default: throw step.refusal("prepend_scheme", expected: "\"always\", \"first\" or \"never\"")
        }
        if try step.optionalBool("split") ?? true {
            result.steps.append(
                .split(Splitter(expression: .known("▁"), behavior: .mergedWithNext)))
        }
    }
}

extension Splitter {
    fileprivate init(_ step: JSONFields) throws(FileError) {
        guard let behavior = Behavior(rawValue: try step.string("behavior")) else {
            throw step.refusal(
                "behavior", expected: Behavior.allCases.map(\.rawValue).joined(separator: ", "))
        }
        self.behavior = behavior
        isInverted = try step.optionalBool("invert") ?? false
        let pattern = try step.fields("pattern")
        if let text = try pattern.optionalString("String") {
            guard let expression = try? Expression(text: text) else {
                throw pattern.refusal("String", expected: "a text of 1 to 100 characters")
            }
            self.expression = expression
        } else {
            expression = try step.expression(pattern.string("Regex"))
        }
    }
}
