// An answer to a prompt: tokens are drawn and run until one ends it; their text is told as it becomes whole.

import Tokenizer

package struct AnswerOptions: Sendable {
    package var maxTokens = Defaults.answerTokens
    /// They end an answer and are no part of it.
    package var stopTokens: Set<Int32> = []
    /// So do these, wherever they come in the text.
    package var stopTexts: [String] = []
    package var sampling = SamplerConfig()
    /// Tells the logarithm of each token's probability, and so many of the likeliest in its place; nil: none.
    package var logProbabilities: Int?

    package init() {}

    package func validate() throws(ConfigError) {
        try sampling.validate()
        guard maxTokens >= 0 else {
            throw ConfigError("an answer has at most \(maxTokens) tokens; it must be 0 or more")
        }
        guard !stopTexts.contains("") else {
            throw ConfigError("a stop string is empty, and would end every answer before its first token")
        }
        if let count = logProbabilities, count < 0 {
            throw ConfigError("\(count) likely tokens are wanted in each place; it must be 0 or more")
        }
    }
}

package enum AnswerEnd: String, Sendable {
    /// The model ended it.
    case stopToken = "stop"
    case stopText = "stop_string"
    case length
    /// Of the cache.
    case full = "context"
    case interrupted
}

package struct GeneratedAnswer: Sendable {
    /// With those of a stop string.
    package internal(set) var tokens: [Int32] = []
    /// Without the stop string.
    package internal(set) var text = ""
    package internal(set) var choices: [TokenChoice] = []
    package internal(set) var end = AnswerEnd.length
}

/// What a token adds to the text.
package struct AnswerPiece: Sendable {
    /// nil: what was held back of the text is told at its end.
    package var choice: TokenChoice?
    package var text: String
}

extension Generator {
    /// Draws tokens behind a whole prompt and tells each, until `onChoice` says false.
    package func draw(
        _ prompt: [Int32], _ options: AnswerOptions, onChoice: (TokenChoice) -> Bool
    ) throws -> AnswerEnd {
        try options.validate()
        guard prompt.isEmpty || prompt.count < capacity else {
            throw ConfigError(
                "the prompt has \(prompt.count) tokens, and only \(capacity - 1) fit before an answer")
        }
        var sampler = Sampler(options.sampling)
        times = GenerationTimes()
        let start = ContinuousClock.now
        guard var logits = try prefill(prompt) else { return .interrupted }
        times.promptTokens = prompt.count - times.keptTokens
        times.promptSeconds = (ContinuousClock.now - start) / .seconds(1)
        var all = prompt
        while times.answerTokens < options.maxTokens {
            let stepStart = ContinuousClock.now
            guard logits.areFinite else {
                throw ConfigError(
                    "the logits behind \(all.count) tokens are not finite numbers: the weights, or the adapter with its "
                        + "scale, are too large or damaged; evaluate the model without the adapter to see which"
                )
            }
            let token = sampler.next(logits, after: all)
            if options.stopTokens.contains(token) { return .stopToken }
            all.append(token)
            times.answerTokens += 1
            let goesOn = onChoice(TokenChoice(token, of: logits, likeliest: options.logProbabilities))
            if times.answerTokens == options.maxTokens { break }
            if tokens.count == capacity { return .full }
            if !goesOn || shouldStop() { return .interrupted }
            logits = try append([token])
            times.stepTokens += 1
            times.stepSeconds += (ContinuousClock.now - stepStart) / .seconds(1)
        }
        return .length
    }

    /// Tokens until one of `stopTokens`, `maxTokens`, the cache's capacity, or until `onToken` says false.
    @discardableResult
    package func generate(
        prompt: [Int32], maxTokens: Int, stopTokens: Set<Int32>, sampling: SamplerConfig,
        onToken: (Int32) -> Bool = { _ in true }
    ) throws -> [Int32] {
        var options = AnswerOptions()
        (options.maxTokens, options.stopTokens, options.sampling) = (maxTokens, stopTokens, sampling)
        var answer: [Int32] = []
        _ = try draw(prompt, options) { choice in
            answer.append(choice.token)
            return onToken(choice.token)
        }
        return answer
    }

    /// The text's pieces are told as they become whole, until `onPiece` says false. What the model and its tokenizer take for an
    /// end ends it, too. Without a tokenizer there is no text.
    package func answer(
        _ prompt: [Int32], _ tokenizer: Tokenizer?, _ options: AnswerOptions,
        onPiece: (AnswerPiece) -> Bool = { _ in true }
    ) throws -> GeneratedAnswer {
        var options = options
        options.stopTokens.formUnion(model.endTokens(tokenizer))
        guard tokenizer != nil || options.stopTexts.isEmpty else {
            throw ConfigError("stop strings need the model's tokenizer, and it has none")
        }
        // A special token has no text.
        for id in options.stopTexts.compactMap({ tokenizer?.id($0) }) { options.stopTokens.insert(id) }
        var answer = GeneratedAnswer()
        var decoder = tokenizer?.streamDecoder(skipSpecialTokens: true)
        var stops = StopTexts(options.stopTexts)
        var (found, goesOn) = (false, true)
        func tell(_ text: String, _ choice: TokenChoice?) {
            answer.text += text
            goesOn = onPiece(AnswerPiece(choice: choice, text: text))
        }
        let end = try draw(prompt, options) { choice in
            answer.tokens.append(choice.token)
            if options.logProbabilities != nil { answer.choices.append(choice) }
            let text: String
            (text, found) = stops.append(decoder?.append(choice.token) ?? "")
            tell(text, choice)
            return goesOn && !found
        }
        if goesOn, !found {
            let text: String
            (text, found) = stops.append(decoder?.finish() ?? "")
            let rest = found ? text : text + stops.finish()
            if !rest.isEmpty { tell(rest, nil) }
        }
        answer.end = found ? .stopText : end
        return answer
    }
}

extension Transformer {
    /// Tokens that end an answer.
    package func endTokens(_ tokenizer: Tokenizer?) -> Set<Int32> {
        Set(spec.tokens.eos.map { Int32($0) }).union(tokenizer?.specialIDs.stops ?? [])
    }

    /// The most tokens that a cache can have: the model's positions, and attention reads the cached keys whole.
    package var mostCachedTokens: Int {
        let keyBytes = spec.attentions.map { $0.kvHeads * $0.headSize * 4 }.max() ?? 4
        return min(spec.contextLength, device.capabilities.maxStorageBufferRange / keyBytes)
    }

    /// Tokens of a session for which no number is given. Where long sequences rotate otherwise than short ones, it is a short one.
    package var usualCapacity: Int {
        min(mostCachedTokens, Defaults.sessionTokens, tokenRules.shortPositions ?? .max)
    }
}

extension [Float] {
    /// By the bits of the exponents, all of which are set for NaN and infinity.
    fileprivate var areFinite: Bool {
        withUnsafeBufferPointer { numbers in
            var carry: UInt32 = 0
            for number in numbers { carry |= (number.bitPattern & 0x7F80_0000) &+ 0x0080_0000 }
            return carry & 0x8000_0000 == 0
        }
    }
}
