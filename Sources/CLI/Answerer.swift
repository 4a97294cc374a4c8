// A model that answers, with its tokenizer, its chat template and a cache that stays from answer to answer.

import Checkpoints
import LoRAVK
import Tokenizer

final class Answerer {
    let tokenizer: Tokenizer
    let renderer: ChatRenderer?
    let generator: Generator
    var options: AnswerOptions

    var model: Transformer { generator.model }

    init(
        _ opened: (model: Transformer, adapter: Adapter?, tokenizer: Tokenizer), _ options: AnswerOptions,
        capacity: Int
    ) throws {
        if opened.adapter?.head != nil {
            throw ConfigError("the adapter is a classifier's, which generates no text; use lora-vk classify")
        }
        (tokenizer, self.options) = (opened.tokenizer, options)
        renderer = try ChatRenderer(tokenizer)
        generator = try Generator(opened.model, opened.adapter, capacity: capacity)
        generator.shouldStop = { Interrupt.isRequested }
    }

    /// A chat in the model's template, up to where the answer begins.
    func tokens(_ chat: Chat) throws -> [Int32] {
        guard let renderer else {
            throw ConfigError(
                "the model has no chat template; name the one that it was trained with by --chat-template")
        }
        return try Interrupt.watching {
            tokenizer.encode(try renderer.prompt(chat), addSpecialTokens: false)
        }
    }

    /// Makes room for a prompt and an answer, as far as the model has positions.
    func reserve(promptTokens: Int) throws {
        let most = model.mostCachedTokens
        try generator.reserve(min(most, promptTokens + min(options.maxTokens, most)))
    }

    /// The text's pieces are told as they come.
    func answer(_ tokens: [Int32], tell: (String) -> Void) throws -> GeneratedAnswer {
        try generator.answer(tokens, tokenizer, options) { piece in
            tell(piece.text)
            return true
        }
    }
}
