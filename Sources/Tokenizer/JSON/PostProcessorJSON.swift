// The `post_processor` of tokenizer.json: what is put around a text.

import Checkpoints

enum PostProcessorJSON {
    private static let maximumCount = 256

    /// What a post-processor puts before and behind a text.
    static func surroundings(_ file: JSONFields) throws(FileError) -> ([Int32], [Int32]) {
        var (prefix, suffix): ([Int32], [Int32]) = ([], [])
        for step in try file.steps("post_processor", list: "processors") {
            switch try step.string("type") {
            case "ByteLevel": break
            case "TemplateProcessing": (prefix, suffix) = try template(step)
            case "BertProcessing", "RobertaProcessing":
                (prefix, suffix) = ([try token(step, "cls")], [try token(step, "sep")])
            default:
                throw step.refusal(
                    "type",
                    expected:
                        "TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing or Sequence of the post-processor"
                )
            }
        }
        return (prefix, suffix)
    }

    /// A token and its id, as a list of both.
    private static func token(_ step: JSONFields, _ key: String) throws(FileError) -> Int32 {
        let pair = try step.array(key)
        guard pair.count == 2, case .string = pair[0], case .integer(let number) = pair[1],
            let id = Int32(exactly: number), id >= 0
        else { throw step.wrong(key, expected: "a token and its id") }
        return id
    }

    private static func template(_ step: JSONFields) throws(FileError) -> ([Int32], [Int32]) {
        var (before, after): ([Int32], [Int32]) = ([], [])
        var isAfter = false
        for item in try step.array("single") {
            let item = try JSONFields(item, path: step.path)
            if try item.optionalFields("Sequence") != nil {
                guard !isAfter else { throw step.refusal("single", expected: "one sequence in the template") }
                isAfter = true
                continue
            }
            let name = try item.fields("SpecialToken").string("id")
            for id in try step.fields("special_tokens").fields(name).array("ids") {
                guard case .integer(let number) = id, let id = Int32(exactly: number), id >= 0 else {
                    throw FileError(step.path, "the template's token '\(name)' has the id \(id.summary)")
                }
                if isAfter { after.append(id) } else { before.append(id) }
                guard before.count + after.count <= maximumCount else {
                    throw FileError(
                        step.path, "the template adds more than \(maximumCount) tokens to a text")
                }
            }
        }
        return (before, after)
    }
}
