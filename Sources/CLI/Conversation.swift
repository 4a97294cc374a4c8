// A conversation that remembers what was said, as far as the model's positions reach.

import LoRAVK
import Tokenizer

struct Conversation {
    typealias Message = (role: String, content: String)

    /// Positions that an answer must find free.
    private static let room = 64

    private let system: [Message]
    private var turns: [Message] = []

    init(system: String?) { self.system = system.map { [(role: "system", content: $0)] } ?? [] }

    /// The tokens of all that was said, ending where the answer to `question` begins. The oldest turns go where there are more than
    /// the model has positions for.
    mutating func ask(
        _ question: String, _ renderer: ChatRenderer, _ tokenizer: Tokenizer, positions: Int
    ) throws -> [Int32] {
        turns.append((role: "user", content: question))
        while true {
            let text = try renderer.render(Chat(system + turns), addGenerationPrompt: true)
            let tokens = tokenizer.encode(text, addSpecialTokens: false)
            if turns.count < 3 || tokens.count + Self.room <= positions { return tokens }
            turns.removeFirst(2)
        }
    }

    mutating func note(answer: String) { turns.append((role: "assistant", content: answer)) }
}
