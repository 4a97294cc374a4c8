// Every form of a line becomes the right tokens and targets, and a bad line is named with its number.

import Checkpoints
import Foundation
import LoRAVK
import Testing
import Tokenizer

@Suite struct DatasetTests {
    private static let template = """
        {% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}\
        {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
        """

    /// A tokenizer of Tests/TokenizerTests/Data.
    static func tokenizer(_ name: String = "smollm", template: String? = template) throws -> Tokenizer {
        let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .path
        let path = "\(here)/TokenizerTests/Data/\(name).tokenizer.json"
        var config = TokenizerConfig()
        config.eosToken = name == "llama2" ? "</s>" : "<|im_end|>"
        config.chatTemplate = template
        return try Tokenizer(json: JSON.read(path), path: path, config: config)
    }

    private func read(
        _ text: String, name: String = "data.jsonl", _ tokenizer: Tokenizer? = nil,
        _ change: (inout TextFormat) -> Void = { _ in }
    ) throws -> Dataset {
        try read(Array(text.utf8), name: name, tokenizer, change)
    }

    private func read(
        _ bytes: [UInt8], name: String = "data.jsonl", _ tokenizer: Tokenizer? = nil,
        _ change: (inout TextFormat) -> Void = { _ in }
    ) throws -> Dataset {
        var format = TextFormat()
        change(&format)
        return try withTemporaryFolder { folder in
            try Data(bytes).write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
            return try Dataset("\(folder)/\(name)", tokenizer: tokenizer ?? Self.tokenizer(), format: format)
        }
    }

    /// The whole text of an example, and of its targets.
    private func decoded(_ example: Example, _ tokenizer: Tokenizer? = nil) throws -> (
        all: String, targets: String
    ) {
        let tokenizer = try tokenizer ?? Self.tokenizer()
        let targets = zip(example.tokens, example.labels).filter { $1 >= 0 }.map { token, label in
            #expect(token == label)
            return token
        }
        return (
            tokenizer.decode(example.tokens, skipSpecialTokens: false),
            tokenizer.decode(targets, skipSpecialTokens: false)
        )
    }

    // MARK: Forms of a line

    @Test func textIsLearnedWholeAndEnds() throws {
        let example = try #require(try read(#"{"text": "Ahoy there"}"#).examples.first)
        let (all, targets) = try decoded(example)
        #expect(all == "Ahoy there<|im_end|>" && targets == all)
        let open = try read(#"{"text": "Ahoy there"}"#) { $0.appendsEndOfText = false }
        #expect(try decoded(open.examples[0]).all == "Ahoy there")
    }

    @Test func ofPromptAndCompletionTheCompletionIsLearned() throws {
        let line = #"{"prompt": "One two", "completion": " three"}"#
        let example = try read(line).examples[0]
        let (all, targets) = try decoded(example)
        #expect(all == "One two three<|im_end|>" && targets == " three<|im_end|>")
        #expect(example.labels.prefix { $0 == TokenBatch.ignored }.count == example.labels.count { $0 < 0 })
        let both = try read(line) { $0.learnsPrompts = true }
        #expect(try decoded(both.examples[0]).targets == "One two three<|im_end|>")
    }

    @Test func ofAChatTheAssistantsTurnsAreLearned() throws {
        let line = """
            {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}, \
            {"role": "assistant", "content": "Ahoy!"}, {"role": "user", "content": "Bye"}, \
            {"role": "assistant", "content": "Farewell"}, {"role": "user", "content": "unanswered"}]}
            """
        let (all, targets) = try decoded(try read(line).examples[0])
        #expect(
            all.hasPrefix(
                """
                <|im_start|>system
                Be short.<|im_end|>
                <|im_start|>user
                Hi<|im_end|>
                <|im_start|>assistant
                Ahoy!<|im_end|>
                <|im_start|>user
                Bye<|im_end|>
                <|im_start|>assistant
                Farewell<|im_end|>
                """))
        // The text is the whole chat, as the template writes it.
        #expect(all.hasSuffix("<|im_start|>user\nunanswered<|im_end|>\n"))
        // Whether the line break behind a turn is learned is left open here.
        #expect(targets.replacing("\n", with: "") == "Ahoy!<|im_end|>Farewell<|im_end|>")
    }

    @Test func tokenIDsAreTakenAsTheyAre() throws {
        let plain = try read(#"{"input_ids": [5, 6, 7]}"#).examples[0]
        #expect(plain == Example(tokens: [5, 6, 7]))
        let labelled = try read(#"{"input_ids": [5, 6, 7, 8], "labels": [-100, -100, 7, 8]}"#).examples[0]
        #expect(labelled == Example(tokens: [5, 6, 7, 8], labels: [-100, -100, 7, 8]))
    }

    @Test func templatesMakePromptAndCompletionFromFields() throws {
        let line = #"{"text": "Fine film", "label": 1, "stars": 4, "part": 0.5}"#
        let example = try read(line) {
            $0.promptTemplate = "{{Review}: {text} {stars} {part}\nFeeling:"
            $0.completionTemplate = " {label:bad|good}"
        }.examples[0]
        let (all, targets) = try decoded(example)
        #expect(all == "{Review}: Fine film 4 0.5\nFeeling: good<|im_end|>")
        #expect(targets == " good<|im_end|>")
    }

    @Test func aBeginningTokenComesOnceBeforeThePrompt() throws {
        let tokenizer = try Self.tokenizer("llama2", template: nil)
        let bos = try #require(tokenizer.id("<s>"))
        let example = try read(#"{"prompt": "one two", "completion": "three"}"#, tokenizer).examples[0]
        #expect(example.tokens.first == bos && example.tokens.count { $0 == bos } == 1)
        #expect(example.tokens.last == tokenizer.id("</s>"))
    }

    @Test func longExamplesAreCutAndEmptyOnesLeftOut() throws {
        let data = try read(
            """
            {"prompt": "one two three four five six seven eight", "completion": " nine"}
            {"text": "one two three four five six seven eight nine ten"}
            {"text": ""}
            {"text": "a b"}
            """
        ) {
            $0.maxTokens = 6
            $0.appendsEndOfText = false
        }
        #expect(data.examples.map(\.tokens.count).max() == 6)
        #expect(data.examples.count == 2 && data.skippedExamples == 2 && data.cutExamples == 2)
        #expect(data.tokens == data.examples.reduce(0) { $0 + $1.tokens.count })
        #expect(data.countedTokens == data.examples.reduce(0) { $0 + $1.countedTokens })
    }

    // MARK: Lines and files

    @Test func lineEndsMarksAndBlankLinesDoNotMatter() throws {
        let plain = try read("{\"text\": \"one two\"}\n{\"text\": \"three four\"}\n").examples
        #expect(plain.count == 2)
        for text in [
            "{\"text\": \"one two\"}\r\n{\"text\": \"three four\"}\r\n",
            "\u{FEFF}{\"text\": \"one two\"}\n{\"text\": \"three four\"}",
            "\n  \n\r\n{\"text\": \"one two\"}\n\t\n{\"text\": \"three four\"}\n\n\n",
            "  {\"text\" :\t\"one two\"} \n{\"text\": \"three four\", \"extra\": null}",
        ] { #expect(try read(text).examples == plain) }
    }

    @Test func plainTextIsCutInPieces() throws {
        let text = (0..<40).map { "number \($0)." }.joined(separator: "\n")
        let data = try read(text, name: "book.txt") { $0.maxTokens = 16 }
        #expect(data.examples.count > 4 && data.examples.dropLast().allSatisfy { $0.tokens.count == 16 })
        let tokens = data.examples.flatMap(\.tokens)
        #expect(try Self.tokenizer().decode(tokens, skipSpecialTokens: false) == text + "<|im_end|>")
        let bad = errorText { _ = try read([0x61, 0xFF, 0x62], name: "book.txt") }
        #expect(bad?.contains("book.txt: is not UTF-8 text") == true)
    }

    @Test func aFolderHasAFileForEachSplit() throws {
        try withTemporaryFolder { folder in
            func put(_ name: String, _ text: String) throws {
                try AtomicFile.write("{\"text\": \"\(text)\"}", to: "\(folder)/\(name)")
            }
            try put("train.jsonl", "for training")
            try put("valid.jsonl", "for validation")
            let tokenizer = try Self.tokenizer()
            func text(_ split: Dataset.Split) throws -> String {
                let data = try Dataset(folder, split: split, tokenizer: tokenizer, format: TextFormat())
                return try decoded(data.examples[0]).all
            }
            #expect(
                try text(.train) == "for training<|im_end|>" && text(.valid) == "for validation<|im_end|>")
            #expect(
                Dataset.has(.train, in: folder) && Dataset.has(.valid, in: folder)
                    && !Dataset.has(.test, in: folder))
            #expect(
                !Dataset.has(.train, in: "\(folder)/train.jsonl")
                    && !Dataset.has(.train, in: "\(folder)/none"))
            #expect(errorText { _ = try text(.test) } == "\(folder): has no test.jsonl")
            let missing = errorText {
                _ = try Dataset("\(folder)/none", tokenizer: tokenizer, format: TextFormat())
            }
            #expect(missing?.hasPrefix("\(folder)/none: does not exist; name a .jsonl") == true)
        }
    }

    // MARK: Forms of a file

    @Test(arguments: [
        (
            "data.json",
            #"[{"prompt": "a \"b\"", "completion": " c,\nd"}, {"prompt": "e", "completion": " f"}]"#
        ),
        (
            "data.jsonl",
            #" [ {"prompt": "a \"b\"", "completion": " c,\nd"},  {"prompt": "e", "completion": " f"}]"#
        ),
        ("data.csv", "prompt,completion,id\r\n\"a \"\"b\"\"\",\" c,\nd\",1\r\n\r\ne, f,2"),
        ("data.TSV", "id\tcompletion\tprompt\n1\t\" c,\nd\"\t\"a \"\"b\"\"\"\n2\t f\te\n"),
    ])
    func everyFormGivesTheSame(_ name: String, _ text: String) throws {
        let lines =
            #"{"prompt": "a \"b\"", "completion": " c,\nd"}"# + "\n\n"
            + #"{"prompt": "e", "completion": " f"}"#
        let (data, wanted) = (try read(text, name: name), try read(lines))
        #expect(data.examples == wanted.examples && wanted.places.map(\.number) == [1, 3])
        let isTable = !name.hasPrefix("data.json")
        #expect(data.places.map(\.number) == (isTable ? (name == "data.csv" ? [2, 5] : [2, 4]) : [1, 2]))
        #expect(data.warnings.count == (isTable ? 1 : 0))
        #expect(data.warnings.allSatisfy { $0 == "'id' of 2 lines is not used: no form of data has it here" })
    }

    @Test func aNumberInATableChoosesToo() throws {
        let table = try read("text,label\nFine film,1\n", name: "d.csv") {
            ($0.promptTemplate, $0.completionTemplate) = ("{text}:", " {label:bad|good}")
        }
        #expect(try decoded(table.examples[0]).all == "Fine film: good<|im_end|>" && table.warnings.isEmpty)
    }

    // MARK: What is refused

    private static let good = #"{"text": "fine"}"#
    /// The third line of a file, and a part of what is said about it.
    private static let refused: [(line: String, reason: String)] = [
        ("say hello", "expected a value, found 's'"),
        (#"{"text": "cut"#, "a string"),
        (#"{"text": NaN}"#, "NaN and Infinity are not JSON numbers"),
        (#"{"text": "a", "score": -Infinity}"#, "NaN and Infinity are not JSON numbers"),
        (#"{"text": 7}"#, "'text' is the number 7, expected a string"),
        (#"{"text": ["a"]}"#, "'text' is an array of 1, expected a string"),
        (#"{"text": "a"} {"text": "b"}"#, "more text after the end"),
        (#"["text"]"#, "holds an array of 1, expected an object"),
        ("42", "holds the number 42, expected an object"),
        (#"{"txt": "a"}"#, #"has the keys ["txt"], expected 'messages', 'conversations', 'instruction'"#),
        ("{}", "expected 'messages', 'conversations', 'instruction'"),
        (#"{"text": null}"#, "expected 'messages', 'conversations', 'instruction'"),
        (#"{"prompt": "a"}"#, "'completion' is missing, expected a string"),
        (#"{"prompt": 1, "completion": "b"}"#, "'prompt' is the number 1"),
        (#"{"prompt": "a", "completion": {"b": 1}}"#, "'completion' is an object of 1 keys"),
        (#"{"messages": "a"}"#, "'messages' is the string"),
        (#"{"messages": []}"#, "has no message of the assistant"),
        (#"{"messages": [{"role": "user", "content": "a"}]}"#, "has no message of the assistant"),
        (#"{"messages": ["a"]}"#, "holds the string \"a\", expected an object"),
        (#"{"messages": [{"role": "assistant"}]}"#, "'content' is missing"),
        (#"{"messages": [{"role": "assistant", "content": 3}]}"#, "'content' is the number 3"),
        (#"{"messages": [{"content": "a"}]}"#, "'role' is missing"),
        (#"{"input_ids": [1, 2.5]}"#, "'input_ids' holds the number 2.5, expected token ids below 700"),
        (#"{"input_ids": [1, 700]}"#, "'input_ids' holds the number 700, expected token ids below 700"),
        (#"{"input_ids": [-1]}"#, "'input_ids' holds the number -1"),
        (#"{"input_ids": [9223372036854775808]}"#, "'input_ids' holds"),
        (#"{"input_ids": [1, 2], "labels": [1]}"#, "has 2 input_ids and 1 labels, expected as many"),
        (#"{"input_ids": [1, 2], "labels": [1, -101]}"#, "'labels' holds the number -101"),
        (#"{"text": "a", "text": "b"}"#, "the key 'text' appears twice"),
        (String(repeating: "[", count: 100_000), "nested deeper than 64 levels"),
        (#"{"text":"# + String(repeating: #"{"a":"#, count: 100_000), "nested deeper than 64 levels"),
    ]

    @Test(arguments: refused.indices)
    func aBadLineIsNamedWithItsNumber(_ index: Int) {
        let (line, reason) = Self.refused[index]
        for end in ["\n", "\r\n"] {
            let text = errorText { _ = try read([Self.good, "", line, Self.good].joined(separator: end)) }
            #expect(text?.contains("/data.jsonl:3") == true, "\(text ?? "it was read")")
            #expect(text?.contains(reason) == true, "\(text ?? "it was read")")
            #expect(text?.contains("\n") == false && (text?.count ?? 0) < 600)
        }
    }

    @Test func bytesThatAreNotTextAreNamedWithTheirPlace() {
        let line = Array(#"{"text": ""#.utf8) + [0x61, 0xC3, 0x28] + Array("\"}".utf8)
        let text = errorText { _ = try read(Array("\(Self.good)\n".utf8) + line) }
        #expect(
            text?.contains("/data.jsonl:2, byte 11: the text is not valid UTF-8 here") == true,
            "\(text ?? "")")
    }

    @Test func aMarkInTheMiddleIsNotText() {
        let text = errorText { _ = try read("\(Self.good)\n\u{FEFF}\(Self.good)") }
        #expect(text?.contains("/data.jsonl:2") == true && text?.contains("byte-order mark") == true)
    }

    @Test func filesWithoutAnExampleAreRefused() {
        for text in ["", "\n", " \r\n\n", "\u{FEFF}", #"{"text": ""}"#] {
            let error = errorText { _ = try read(text) { $0.appendsEndOfText = false } }
            #expect(
                error?.contains("data.jsonl: has no example with a token to learn") == true,
                "\(error ?? "read")")
        }
        let cut = errorText {
            _ = try read(#"{"prompt": "one two three four", "completion": "five"}"#) { $0.maxTokens = 2 }
        }
        #expect(cut?.contains("1 were empty, or longer than 2 tokens") == true)
    }

    @Test func aLongLineIsReadAndAHugeOneRefused() throws {
        let long = String(repeating: "word ", count: 200_000)
        let data = try read(#"{"text": ""# + long + #""}"#) { $0.maxTokens = 64 }
        #expect(data.examples.count == 1 && data.examples[0].tokens.count == 64 && data.cutExamples == 1)
        let huge =
            Array("\(Self.good)\n".utf8) + [UInt8](repeating: 0x20, count: 65 << 20) + Array(Self.good.utf8)
        let text = errorText { _ = try read(huge) }
        #expect(
            text?.contains("/data.jsonl:2: is a line of \((65 << 20) + Self.good.utf8.count) bytes") == true)
    }

    @Test func templatesThatCannotBeFilledAreRefused() {
        func text(_ prompt: String?, _ completion: String?, _ line: String = #"{"text": "a", "label": 2}"#)
            -> String?
        {
            errorText {
                _ = try read(line) {
                    $0.promptTemplate = prompt
                    $0.completionTemplate = completion
                }
            }
        }
        #expect(text("{text}", nil)?.contains("a prompt template needs a completion template") == true)
        #expect(text(nil, "{text}")?.contains("a prompt template needs a completion template") == true)
        #expect(text("{text", "x")?.contains("has a '{' without '}'") == true)
        #expect(
            text("{body}", "x")?.contains("data.jsonl:1: has no field 'body', which the template names")
                == true)
        #expect(text("{text}", "{label:a|b}")?.contains("'label' is the number 2, expected 0 to 1") == true)
        #expect(text("{text}", "{text:a|b}")?.contains("'text' is the string \"a\", expected 0 to 1") == true)
        #expect(
            text("{a}", "x", #"{"a": [1]}"#)?.contains("'a' is an array of 1, expected a text or a number")
                == true)
    }

    @Test func chatsNeedATemplate() throws {
        let line = #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
        let none = try Self.tokenizer(template: nil)
        #expect(
            errorText { _ = try read(line, none) }?.contains(
                "the model has no chat template; give it one by --chat-template")
                == true)
        // What stands before the turns may change with them.
        let counting = try Self.tokenizer(
            template: "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}")
        let (all, targets) = try decoded(try read(line, counting).examples[0])
        #expect(all == "2ab" && targets == "b")
    }
}
