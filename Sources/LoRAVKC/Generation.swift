// Chapter "Generation" of loravk.h: an answer to a prompt.

import CLoRAVK
import LoRAVK
import Tokenizer

/// Where a caller wants an answer's tokens; checked before anything runs.
struct TokenRoom {
    private let tokens: UnsafeMutablePointer<Int32>?
    private let count: UnsafeMutablePointer<Int>?

    init(
        _ tokens: UnsafeMutablePointer<Int32>?, _ capacity: Int, _ count: UnsafeMutablePointer<Int>?,
        for options: AnswerOptions
    ) throws {
        guard tokens != nil || capacity == 0, tokens == nil || capacity >= options.maxTokens else {
            throw APIError(
                LORAVK_ERROR_BUFFER_TOO_SMALL,
                "tokens has room for \(UInt(bitPattern: capacity)), and \(options.maxTokens) may come")
        }
        (self.tokens, self.count) = (tokens, count)
    }

    func give(_ answer: GeneratedAnswer) {
        tokens?.update(from: answer.tokens, count: answer.tokens.count)
        count?.pointee = answer.tokens.count
    }
}

@c @implementation public func loravk_model_generate(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!, _ prompt: UnsafePointer<Int32>!, _ promptCount: Int,
    _ config: UnsafePointer<loravk_generation_config>!, _ tokens: UnsafeMutablePointer<Int32>!,
    _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>!
) -> loravk_status {
    call {
        let object = try modelObject(handle)
        let adapter = try optionalAdapter(adapter, of: object)
        let config = try read(config, defaults: .defaults)
        let prompt = Array(try array(prompt, promptCount, "prompt"))
        let options = try AnswerOptions(config)
        let room = try TokenRoom(tokens, capacity, count, for: options)
        let answer = try object.context.locked {
            let limit = object.model.mostCachedTokens
            guard prompt.count < limit else {
                throw APIError.argument(
                    "the prompt has \(prompt.count) tokens, and the model on this device \(limit) positions; cut it"
                )
            }
            let generator = try Generator(
                object.model, adapter, capacity: min(limit, prompt.count + min(options.maxTokens, limit)))
            return try object.answer(prompt, generator, config, options)
        }
        room.give(answer)
    }
}

extension ModelObject {
    /// Inside the context's lock, which is let go around the callbacks.
    func answer(
        _ prompt: [Int32], _ generator: Generator, _ config: loravk_generation_config,
        _ options: AnswerOptions
    ) throws -> GeneratedAnswer {
        // A model may have come without a tokenizer: then its config alone says what ends an answer.
        try generator.answer(prompt, try? tokenizer(), options) { piece in
            guard config.on_token != nil || config.on_choice != nil else { return true }
            return context.unlocked {
                if let choice = piece.choice { config.tell(choice) }
                return piece.text.withCString {
                    config.on_token?(config.user_data, piece.choice?.token ?? -1, $0, piece.text.utf8.count)
                        ?? true
                }
            }
        }
    }
}

extension loravk_generation_config {
    fileprivate func tell(_ choice: TokenChoice) {
        guard let on_choice, let logProbability = choice.logProbability else { return }
        let tokens = choice.likeliest.map(\.token)
        let logProbabilities = choice.likeliest.map(\.logProbability)
        on_choice(user_data, choice.token, logProbability, tokens, logProbabilities, tokens.count)
    }
}

extension AnswerOptions {
    init(_ config: loravk_generation_config) throws {
        self.init()
        guard config.max_tokens > 0 else {
            throw APIError.argument("config.max_tokens is \(config.max_tokens); it must be at least 1")
        }
        maxTokens = Int(config.max_tokens)
        stopTokens = Set(try array(config.stop_tokens, config.stop_token_count, "config.stop_tokens"))
        stopTexts = try texts(config.stop_strings, config.stop_string_count, "config.stop_strings")
        logProbabilities = config.on_choice == nil ? nil : Int(config.top_log_probabilities)
        sampling.temperature = config.temperature
        sampling.topK = Int(config.top_k)
        sampling.topP = config.top_p
        sampling.repetitionPenalty = config.repetition_penalty
        sampling.seed = config.seed
        try validate()
    }
}
