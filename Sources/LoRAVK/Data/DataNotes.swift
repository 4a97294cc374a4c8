// What of the lines of a file did not get into its examples, counted and said.

import Checkpoints
import Tokenizer

package struct DataNotes {
    var chat = ChatNotes()
    /// The labels that lines have.
    var labels = LabelBook()
    /// Answers of chats without a token that ends the model's turn.
    var openAnswers = 0
    /// How many lines have a key that was not read.
    var unusedKeys: [String: Int] = [:]
    /// Numbers of examples that were cut, and of lines without anything to learn.
    var cut: [Int] = []
    var skipped: [Int] = []
    /// Of pairs whose two answers are equal.
    var undecided: [Int] = []

    /// `unit`: what the numbers count.
    func warnings(_ unit: String, maxTokens: Int) -> [String] {
        var sentences: [String] = []
        let left = Set(skipped + undecided)
        let cut = cut.filter { !left.contains($0) }
        if !cut.isEmpty {
            sentences.append(
                "\(Self.counted(cut.count, "example is", "examples are")) longer than \(maxTokens) tokens and "
                    + "cut (\(Self.list(cut, unit)))")
        }
        if !skipped.isEmpty {
            sentences.append(
                "\(Self.counted(skipped.count, unit + " has", unit + "s have")) nothing to learn and "
                    + "\(skipped.count == 1 ? "is" : "are") left out (\(Self.list(skipped, unit)))")
        }
        if !undecided.isEmpty {
            sentences.append(
                "\(Self.counted(undecided.count, unit + " has", unit + "s have")) a chosen and a rejected answer that are "
                    + "equal, and \(undecided.count == 1 ? "is" : "are") left out (\(Self.list(undecided, unit)))"
            )
        }
        for (key, count) in unusedKeys.sorted(by: { $0.key < $1.key }) {
            sentences.append(
                "'\(key.shortened)' of \(Self.counted(count, unit, unit + "s")) is not used: no form of data has it here"
            )
        }
        return sentences + chatWarnings
    }

    private static func counted(_ count: Int, _ one: String, _ many: String) -> String {
        "\(count) \(count == 1 ? one : many)"
    }

    private static func list(_ numbers: [Int], _ unit: String) -> String {
        let shown = numbers.prefix(8).map(String.init).joined(separator: ", ")
        return "\(unit)\(numbers.count == 1 ? "" : "s") \(shown)\(numbers.count > 8 ? ", …" : "")"
    }

    private var chatWarnings: [String] {
        var sentences = chat.unusedKeys.sorted { $0.key < $1.key }.map { key, count in
            "the chat template leaves out '\(key)' \(count == 1 ? "once" : "\(count) times"): it is not learned"
        }
        if chat.lostAnswers > 0 {
            sentences.append(
                "\(Self.answers(chat.lostAnswers)) not found in what the chat template writes, and not learned"
            )
        }
        if openAnswers > 0 {
            sentences.append(
                "\(Self.answers(openAnswers)) followed by no token that ends a turn: "
                    + "the model does not learn to stop there")
        }
        return sentences
    }

    private static func answers(_ count: Int) -> String {
        count == 1 ? "1 answer is" : "\(count) answers are"
    }
}
