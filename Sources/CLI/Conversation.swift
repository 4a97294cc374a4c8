// A conversation that remembers what was said, as far as the cache reaches.

import Checkpoints
import LoRAVK
import Tokenizer

struct Conversation {
    /// Tokens that an answer must find free.
    private static let room = 64

    private let system: String?
    private(set) var chat: Chat
    /// The first turn that the model still sees.
    private(set) var firstTurn = 0

    init(system: String?) {
        self.system = system
        chat = Chat([(role: String, content: String)]())
        reset()
    }

    /// Nothing was said.
    mutating func reset() {
        chat = Chat([(role: String, content: String)]())
        if let system { chat = chat.withSystem(system) }
        firstTurn = 0
    }

    mutating func load(_ chat: Chat) { (self.chat, firstTurn) = (chat, 0) }

    /// Takes back the last question and what came after it; false where there is none.
    mutating func undo() -> Bool {
        guard let last = questions.last else { return false }
        chat.messages.removeLast(chat.messages.count - last)
        firstTurn = min(firstTurn, max(0, questions.count - 1))
        return true
    }

    mutating func ask(_ question: String) { say("user", question) }
    mutating func note(answer: String) { say("assistant", answer) }

    private mutating func say(_ role: String, _ text: String) {
        chat.messages.append(["role": .string(role), "content": .string(text)])
    }

    /// Where questions are among the messages.
    private var questions: [Int] {
        chat.messages.indices.filter { chat.messages[$0]["role"] == .string("user") }
    }

    /// What the model sees.
    private var seen: Chat {
        let questions = questions
        guard firstTurn > 0, firstTurn < questions.count else { return chat }
        var seen = chat
        seen.messages.removeSubrange(questions[0]..<questions[firstTurn])
        return seen
    }

    /// The tokens of all that was said, ending where an answer begins. Where too little room is left, the oldest turns go, as many as
    /// leave half of it free: then the next answers find what is left in the cache.
    mutating func tokens(_ capacity: Int, _ encode: (Chat) throws -> [Int32]) throws -> [Int32] {
        var tokens = try encode(seen)
        guard tokens.count + Self.room > capacity else { return tokens }
        while tokens.count > capacity / 2, firstTurn + 1 < questions.count {
            firstTurn += 1
            tokens = try encode(seen)
        }
        return tokens
    }
}
