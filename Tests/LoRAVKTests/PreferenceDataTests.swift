// Rows of two answers and of judged answers: every form of them, what of them is learned, and what is refused.

import Checkpoints
import Foundation
import LoRAVK
import Testing
import Tokenizer

@Suite struct PreferenceDataTests {
    private func read(
        _ rows: [String], _ kind: Example.Kind = .pair, _ change: (inout TextFormat) -> Void = { _ in }
    ) throws -> Dataset {
        var format = TextFormat()
        format.kind = kind
        change(&format)
        return try Dataset(
            rows: rows, named: "rows", tokenizer: DatasetTests.tokenizer(), format: format)
    }

    /// Text and targets of both sequences.
    private func decoded(_ example: Example) throws -> [(all: String, targets: String)] {
        let tokenizer = try DatasetTests.tokenizer()
        return example.sequences.map { sequence in
            let targets = sequence.filter { example.labels[$0] >= 0 }.map { example.tokens[$0] }
            return (
                tokenizer.decode(Array(example.tokens[sequence]), skipSpecialTokens: false),
                tokenizer.decode(targets, skipSpecialTokens: false)
            )
        }
    }

    // MARK: Pairs

    @Test func ofAPairBothAnswersAreTargets() throws {
        let data = try read([#"{"prompt": "One two", "chosen": " three", "rejected": " four five"}"#])
        let example = data.examples[0]
        #expect(example.kind == .pair && data.warnings.isEmpty)
        let (chosen, rejected) = (try decoded(example)[0], try decoded(example)[1])
        #expect(chosen == ("One two three<|im_end|>", " three<|im_end|>"))
        #expect(rejected == ("One two four five<|im_end|>", " four five<|im_end|>"))
    }

    @Test func aPromptInsideOfBothTextsIsFound() throws {
        let inside = #"{"chosen": "One two three", "rejected": "One two four"}"#
        let beside = #"{"prompt": "One two", "chosen": " three", "rejected": " four"}"#
        // "th" and "f" differ, and the space before belongs to the answer.
        #expect(try read([inside]).examples == read([beside]).examples)
    }

    private static let question = #"{"role": "user", "content": "Hi"}"#
    private static func says(_ text: String) -> String { #"{"role": "assistant", "content": "\#(text)"}"# }

    @Test func allFormsOfChatsAreTheSamePair() throws {
        let (question, good, bad) = (Self.question, Self.says("Ahoy"), Self.says("Hello"))
        let forms = [
            #"{"prompt": [\#(question)], "chosen": [\#(good)], "rejected": [\#(bad)]}"#,
            #"{"chosen": [\#(question), \#(good)], "rejected": [\#(question), \#(bad)]}"#,
            #"{"prompt": "Hi", "chosen": [\#(question), \#(good)], "rejected": [\#(question), \#(bad)]}"#,
            #"{"prompt": [\#(question)], "chosen": [\#(question), \#(good)], "rejected": [\#(question), \#(bad)]}"#,
        ]
        let data = try read(forms)
        let texts = try decoded(data.examples[0])
        #expect(
            texts[0].all.hasPrefix(
                "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nAhoy<|im_end|>"))
        #expect(texts[0].targets.hasPrefix("Ahoy<|im_end|>") && texts[1].targets.hasPrefix("Hello<|im_end|>"))
        for example in data.examples { #expect(example == data.examples[0]) }
        #expect(data.warnings.isEmpty, "\(data.warnings)")
    }

    /// Answers of earlier turns are part of the prompt.
    @Test func ofWholeConversationsOnlyWhatDiffersIsLearned() throws {
        let turns = "\(Self.question), \(Self.says("One")), \(Self.question)"
        let example = try read([
            #"{"chosen": [\#(turns), \#(Self.says("Two"))], "rejected": [\#(turns), \#(Self.says("Three"))]}"#
        ]).examples[0]
        #expect(try decoded(example)[0].targets.hasPrefix("Two<|im_end|>"))
        #expect(try decoded(example)[1].targets.hasPrefix("Three<|im_end|>"))
    }

    @Test func pairsOfEqualAnswersAreLeftOutAndCounted() throws {
        let good = #"{"prompt": "a", "chosen": " b", "rejected": " c"}"#
        let equal = #"{"prompt": "a", "chosen": " b", "rejected": " b"}"#
        let said = Self.says("One")
        let equalChats =
            #"{"chosen": [\#(Self.question), \#(said)], "rejected": [\#(Self.question), \#(said)]}"#
        let data = try read([good, equal, good, equalChats])
        #expect(data.examples.count == 2 && data.skippedExamples == 2)
        #expect(
            data.warnings == [
                "2 rows have a chosen and a rejected answer that are equal, and are left out (rows 1, 3)"
            ])
        #expect(errorText { _ = try read([equal]) }?.contains("no pair of two different answers") == true)
        // What differs only behind the cut is equal.
        let long = String(repeating: " word", count: 40)
        let behind = #"{"prompt": "a", "chosen": "\#(long) b", "rejected": "\#(long) c"}"#
        #expect(try read([good, behind]) { $0.maxTokens = 16 }.examples.count == 1)
    }

    @Test func eachAnswerIsCutByItself() throws {
        let long = String(repeating: " word", count: 40)
        let data = try read([#"{"prompt": "a", "chosen": " b", "rejected": "\#(long)"}"#]) {
            $0.maxTokens = 16
        }
        let example = data.examples[0]
        #expect(data.cutExamples == 1 && example.sequences[1].count == 16)
        #expect(example.sequences[0].count < 6 && example.comparison?.second == example.sequences[0].count)
    }

    @Test func aPairLiesInOnePassWithTwoSpans() throws {
        let example = Example(
            chosen: Example(tokens: [1, 2, 3], labels: [-100, 2, 3]),
            rejected: Example(tokens: [1, 4, 5, 6], labels: [-100, 4, 5, 6]))
        #expect(example.countedTokens == 5)
        let batch = TokenBatch([example, example])
        #expect(
            batch.spans == [
                0, 3, 0, 3, 0, 3, 3, 7, 3, 7, 3, 7, 3, 7, 7, 10, 7, 10, 7, 10, 10, 14, 10, 14, 10, 14, 10, 14,
            ])
        #expect(batch.positions == [0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3])
        #expect(batch.answers.ranges == [0, 2, 2, 5, 5, 7, 7, 10] && batch.answers.pairs == 2)
        #expect(batch.targets == [2, 3, 4, 5, 6, 2, 3, 4, 5, 6])
        #expect(batch.shape == BatchShape(tokens: 16, counted: 16, pairs: 8))
        let padded = batch.padded(to: batch.shape)
        #expect(padded.answers.signs == [1, 1, 0, 0, 0, 0, 0, 0] && padded.answers.ranges.count == 32)
        #expect(TokenBatch.passes([example, example], tokens: 10).map(\.count) == [1, 1])
        #expect(example.first == Example(tokens: [1, 2, 3], labels: [-100, 2, 3]))
    }

    // MARK: Judged answers

    @Test func aJudgedAnswerHasAnothersBesideIt() throws {
        let rows = [
            #"{"prompt": "One", "completion": " two", "label": true}"#,
            #"{"prompt": "Three", "completion": " four", "label": false}"#,
            #"{"prompt": [\#(Self.question)], "completion": [\#(Self.says("Ahoy"))], "label": 1}"#,
        ]
        let data = try read(rows, .judged)
        #expect(data.examples.map { $0.comparison?.isDesired } == [true, false, true])
        let texts = try data.examples.map { try decoded($0) }
        #expect(texts[1][0] == ("Three four<|im_end|>", " four<|im_end|>"))
        #expect(texts[1][1] == ("Three two<|im_end|>", " two<|im_end|>"))
        #expect(texts[0][1].all.hasPrefix("OneAhoy<|im_end|>"))
        #expect(texts[2][1].all.hasSuffix("<|im_start|>assistant\n four<|im_end|>"))
        #expect(
            errorText { _ = try read([rows[0]], .judged) }?.contains("has one judged answer") == true)
    }

    // MARK: Formats

    @Test func theNameOfAFormatOverridesTheKeys() throws {
        let row = #"{"prompt": "One", "completion": " two", "text": "three"}"#
        let text = try read([row], .plain) { $0.name = "text" }
        #expect(text.examples[0].countedTokens == text.examples[0].tokens.count - 1)
        #expect(text.warnings.count == 2, "prompt and completion are told")
        #expect(try read([row], .plain).examples != text.examples)
        let missing = errorText { _ = try read([row], .plain) { $0.name = "chat" } }
        #expect(missing?.contains("rows[0]: 'conversations' is missing, expected an array") == true)
        let unknown = errorText { _ = try read([row], .plain) { $0.name = "txt" } }
        #expect(unknown?.contains("there is no data format 'txt'") == true)
        let other = errorText { _ = try read([row]) { $0.name = "chat" } }
        #expect(other?.contains("learns from pairs of a chosen and a rejected answer") == true)
    }

    private static let refused: [(row: String, kind: Example.Kind, reason: String)] = [
        (#"{"prompt": "a", "chosen": "b"}"#, .pair, "'rejected' is missing, expected a string"),
        (#"{"prompt": "a", "chosen": 1, "rejected": "b"}"#, .pair, "'chosen' is the number 1"),
        (#"{"chosen": [{"role": "user"}], "rejected": "b"}"#, .pair, "'rejected' is the string"),
        (
            #"{"prompt": "a", "completion": "b"}"#, .pair,
            "expected 'chosen' and 'rejected', perhaps with 'prompt'"
        ),
        (
            #"{"prompt": "a", "chosen": "b", "rejected": "c"}"#, .plain,
            "rows of the format preference are pairs of a chosen and a rejected answer"
        ),
        (
            #"{"chosen": "a", "rejected": "b"}"#, .plain,
            "rows of the format preference are pairs of a chosen and a rejected answer"
        ),
        (#"{"prompt": "a", "completion": "b"}"#, .judged, "'label' is missing, expected true or false"),
        (#"{"prompt": "a", "completion": "b", "label": 2}"#, .judged, "'label' is the number 2"),
    ]

    @Test(arguments: refused.indices)
    func whatIsNoPairIsNamed(_ index: Int) {
        let (row, kind, reason) = Self.refused[index]
        let text = errorText { _ = try read([row], kind) }
        #expect(
            text?.contains("rows[0]") == true && text?.contains(reason) == true, "\(text ?? "it was read")")
    }

    @Test func aFormatOfATestTargetIsOneFileAndOneLine() throws {
        Registries.formats.register(Shouted())
        let data = try read([#"{"shout": "ahoy"}"#], .plain)
        #expect(try decoded(data.examples[0])[0].all == "AHOY<|im_end|>")
    }
}

/// A format of a program that uses the library.
private struct Shouted: ExampleFormat {
    let name = "shouted"
    let summary = "a text in capitals"
    let keys = "'shout'"

    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool { row.object["shout"] != nil }

    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example {
        try reader.example(text: row.string("shout").uppercased())
    }
}
