// The `decoder` of tokenizer.json. Of ByteFallback and Fuse nothing is left to do: bytes of tokens are joined in any case.

import Checkpoints

extension TokenDecoder.Style {
    init(_ file: JSONFields) throws(FileError) {
        let steps = try file.steps("decoder", list: "decoders")
        guard !steps.isEmpty else {
            throw file.wrong(
                "decoder", expected: "a decoder", remedy: "without one tokens cannot become text")
        }
        var isByteLevel = false
        var stripsLeadingSpace = false
        var wordPiece: Self?
        for step in steps {
            switch try step.string("type") {
            case "ByteLevel": isByteLevel = true
            case "Metaspace":
                let older = try step.optionalBool("add_prefix_space") ?? true ? "always" : "never"
                stripsLeadingSpace = try step.optionalString("prepend_scheme") ?? older != "never"
            case "Replace":
                guard try step.fields("pattern").optionalString("String") == "▁",
                    try step.string("content") == " "
                else { throw step.refusal("pattern", expected: "▁ replaced by a space") }
            case "Strip":
                guard try step.string("content") == " ", try step.integer("start") == 1,
                    try step.integer("stop") == 0
                else { throw step.refusal("start", expected: "one space at the start") }
                stripsLeadingSpace = true
            case "WordPiece":
                wordPiece = .wordPiece(
                    prefix: Array((try step.optionalString("prefix") ?? "##").utf8),
                    cleansUp: try step.optionalBool("cleanup") ?? true)
            case "ByteFallback", "Fuse": break
            default:
                throw step.refusal(
                    "type",
                    expected:
                        "ByteLevel, WordPiece, Metaspace, Replace, ByteFallback, Fuse or Strip of the decoder"
                )
            }
        }
        if let wordPiece {
            self = wordPiece
            return
        }
        self = isByteLevel ? .byteLevel : .metaspace(stripsLeadingSpace: stripsLeadingSpace)
    }
}
