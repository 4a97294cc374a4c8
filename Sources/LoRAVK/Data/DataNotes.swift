// What of the lines of a file did not get into its examples, counted and said.

import Tokenizer

struct DataNotes {
    var chat = ChatNotes()
    /// Answers of chats without a token that ends the model's turn.
    var openAnswers = 0

    var warnings: [String] {
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
