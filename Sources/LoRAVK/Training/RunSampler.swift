// Answers to given prompts in the middle of a run, by the adapter as it is then: always the most likely token, so that they can be
// compared.

import Kernels
import Tokenizer

/// A prompt and what was answered.
package struct Sample: Sendable, Equatable {
    package let prompt: String
    package let answer: String
}

/// Not thread-safe: used by one run.
package final class RunSampler {
    private let prompts: [(text: String, tokens: [Int32])]
    private let maxTokens: Int
    private let tokenizer: Tokenizer

    /// Prompts are questions in the model's chat template where it has one, else the beginning of a text.
    package init(
        _ prompts: [String], _ tokenizer: Tokenizer, maxTokens: Int = Defaults.sampleTokens,
        date: TemplateDate = .now()
    ) throws {
        guard maxTokens > 0 else {
            throw ConfigError("samples have at most \(maxTokens) tokens; it must be at least 1")
        }
        let renderer = try ChatRenderer(tokenizer, date: date)
        self.prompts = try prompts.map { text in
            guard let renderer else { return (text, tokenizer.encode(text)) }
            let chat = try renderer.render(
                Chat([(role: "user", content: text)]), addGenerationPrompt: true)
            return (text, tokenizer.encode(chat, addSpecialTokens: false))
        }
        (self.maxTokens, self.tokenizer) = (maxTokens, tokenizer)
    }

    func samples(_ model: Transformer, _ adapter: Adapter) throws -> [Sample] {
        var options = AnswerOptions()
        options.maxTokens = maxTokens
        let limit = model.mostCachedTokens
        let longest = prompts.map(\.tokens.count).max() ?? 0
        let generator = try Generator(
            model, adapter, capacity: min(limit, longest + min(maxTokens, limit)))
        return try prompts.map { text, tokens in
            Sample(prompt: text, answer: try generator.answer(tokens, tokenizer, options).text)
        }
    }
}
