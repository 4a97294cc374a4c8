// Chapter "Generation" of loravk.h.

import CLoRAVK
import LoRAVK
import Tokenizer

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
        guard config.max_tokens > 0 else {
            throw APIError.argument("config.max_tokens is \(config.max_tokens); it must be at least 1")
        }
        let maxTokens = Int(config.max_tokens)
        guard tokens != nil || capacity == 0, tokens == nil || capacity >= maxTokens else {
            throw APIError(
                LORAVK_ERROR_BUFFER_TOO_SMALL,
                "tokens has room for \(UInt(bitPattern: capacity)), and \(maxTokens) may come")
        }
        let sampling = SamplerConfig(config)
        try sampling.validate()
        let stops = try array(config.stop_tokens, config.stop_token_count, "config.stop_tokens")
        let answer = try object.context.locked {
            try object.generate(prompt, adapter, config, sampling, stops: Set(stops))
        }
        tokens?.update(from: answer, count: answer.count)
        count?.pointee = answer.count
    }
}

extension ModelObject {
    fileprivate func generate(
        _ prompt: [Int32], _ adapter: Adapter?, _ config: loravk_generation_config, _ sampling: SamplerConfig,
        stops: Set<Int32>
    ) throws -> [Int32] {
        // Attention reads the cached keys whole.
        let keyBytes = model.spec.attentions.map { $0.kvHeads * $0.headSize * 4 }.max() ?? 4
        let limit = min(
            model.spec.contextLength, model.device.capabilities.maxStorageBufferRange / keyBytes)
        guard prompt.count < limit else {
            throw APIError.argument(
                "the prompt has \(prompt.count) tokens, and the model on this device \(limit) positions; cut it"
            )
        }
        let maxTokens = Int(config.max_tokens)
        let generator = try Generator(
            model, adapter, capacity: min(limit, prompt.count + min(maxTokens, limit)))
        // A model may have come without a tokenizer: then its config alone says what ends an answer.
        let tokenizer = try? self.tokenizer()
        var ends = stops.union(model.spec.tokens.eos.map { Int32($0) })
        ends.formUnion(tokenizer?.specialIDs.stops ?? [])
        var decoder = tokenizer?.streamDecoder(skipSpecialTokens: true)
        func tell(_ token: Int32, _ text: String) -> Bool {
            guard let callback = config.on_token else { return true }
            return context.unlocked {
                text.withCString { callback(config.user_data, token, $0, text.utf8.count) }
            }
        }
        var goesOn = true
        let answer = try generator.generate(
            prompt: prompt, maxTokens: maxTokens, stopTokens: ends, sampling: sampling
        ) { token in
            goesOn = tell(token, decoder?.append(token) ?? "")
            return goesOn
        }
        let rest = decoder?.finish() ?? ""
        if goesOn, !rest.isEmpty { _ = tell(-1, rest) }
        return answer
    }
}

extension SamplerConfig {
    fileprivate init(_ config: loravk_generation_config) {
        self.init()
        temperature = config.temperature
        topK = Int(config.top_k)
        topP = config.top_p
        repetitionPenalty = config.repetition_penalty
        seed = config.seed
    }
}
