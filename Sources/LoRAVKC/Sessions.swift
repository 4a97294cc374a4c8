// Sessions of loravk.h: a model, a cache and the tokens that were said.

import CLoRAVK
import Checkpoints
import LoRAVK
import Tokenizer

/// Used inside its context's lock.
final class SessionObject: HandleObject, @unchecked Sendable {
    static let kind = "a session"
    let model: ModelObject
    private let generator: Generator
    /// Appended and answered ones; the cache has them but for the last of an answer.
    private(set) var tokens: [Int32] = []
    private var end: AnswerEnd?
    private var isBusy = false

    init(_ model: ModelObject, _ generator: Generator) { (self.model, self.generator) = (model, generator) }

    /// One call at a time: callbacks may not use the session that calls them.
    func use<Result>(_ body: () throws -> Result) throws -> Result {
        try model.context.locked {
            guard !isBusy else {
                throw APIError(LORAVK_ERROR_BUSY, "the session is in another call; wait until that returns")
            }
            isBusy = true
            defer { isBusy = false }
            return try body()
        }
    }

    /// The logits behind the last of them.
    func append(_ new: [Int32]) throws -> [Float] {
        let logits = try generator.prefill(tokens + new)
        tokens += new
        return logits ?? []
    }

    func answer(
        _ prompt: [Int32], _ config: loravk_generation_config, _ options: AnswerOptions
    ) throws -> GeneratedAnswer {
        let answer = try model.answer(prompt, generator, config, options)
        (tokens, end) = (prompt + answer.tokens, answer.end)
        return answer
    }

    func rewind(to count: Int) throws {
        guard (0...tokens.count).contains(count) else {
            throw APIError.argument(
                "count is \(UInt(bitPattern: count)), and the session has \(tokens.count) tokens")
        }
        tokens.removeLast(tokens.count - count)
        if count == 0 { try generator.reset() }
    }

    func set(adapter: Adapter?) { generator.adapter = adapter }

    var info: loravk_session_info {
        var info = loravk_session_info()
        (info.tokens, info.capacity) = (Int64(tokens.count), Int64(generator.capacity))
        let times = generator.times
        (info.kept_tokens, info.prompt_tokens) = (Int64(times.keptTokens), Int64(times.promptTokens))
        (info.prompt_seconds, info.answer_seconds) = (times.promptSeconds, times.stepSeconds)
        info.answer_tokens = Int64(times.answerTokens)
        copy(end?.rawValue ?? "", into: &info.finish_reason)
        return info
    }
}

private func session(_ handle: OpaquePointer?) throws -> SessionObject {
    try Handles.object(handle, SessionObject.self, "session")
}

@c @implementation public func loravk_session_create(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!, _ capacity: Int64,
    _ result: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let model = try modelObject(handle)
        let output = try Output(result, "session")
        let adapter = try optionalAdapter(adapter, of: model)
        let most = model.model.mostCachedTokens
        guard capacity == 0 || (2...Int64(most)).contains(capacity) else {
            throw APIError.argument(
                "capacity is \(capacity); it must be 2 to \(most), the model's positions on this device, or 0 for "
                    + "\(model.model.usualCapacity)")
        }
        let generator = try model.context.locked {
            try Generator(
                model.model, adapter, capacity: capacity == 0 ? model.model.usualCapacity : Int(capacity))
        }
        output.give(SessionObject(model, generator))
    }
}

@c @implementation public func loravk_session_append(
    _ handle: OpaquePointer!, _ tokens: UnsafePointer<Int32>!, _ count: Int,
    _ logits: UnsafeMutablePointer<Float>!, _ logitCount: Int
) -> loravk_status {
    call {
        let session = try session(handle)
        let tokens = Array(try array(tokens, count, "tokens"))
        let vocabulary = session.model.model.spec.vocabulary
        guard logitCount == (logits == nil ? 0 : vocabulary) else {
            throw APIError.argument(
                "logit_count is \(UInt(bitPattern: logitCount)); it must be \(vocabulary), or 0 where logits is NULL"
            )
        }
        let values = try session.use { try session.append(tokens) }
        logits?.update(from: values, count: values.count)
    }
}

@c @implementation public func loravk_session_generate(
    _ handle: OpaquePointer!, _ config: UnsafePointer<loravk_generation_config>!,
    _ tokens: UnsafeMutablePointer<Int32>!, _ capacity: Int, _ count: UnsafeMutablePointer<Int>!
) -> loravk_status {
    call {
        let session = try session(handle)
        let config = try read(config, defaults: .defaults)
        let options = try AnswerOptions(config)
        let room = try TokenRoom(tokens, capacity, count, for: options)
        room.give(try session.use { try session.answer(session.tokens, config, options) })
    }
}

@c @implementation public func loravk_session_chat(
    _ handle: OpaquePointer!, _ messages: UnsafePointer<CChar>!,
    _ config: UnsafePointer<loravk_generation_config>!,
    _ tokens: UnsafeMutablePointer<Int32>!, _ capacity: Int, _ count: UnsafeMutablePointer<Int>!
) -> loravk_status {
    call {
        let session = try session(handle)
        let messages = try text(messages, "messages")
        let config = try read(config, defaults: .defaults)
        let options = try AnswerOptions(config)
        let room = try TokenRoom(tokens, capacity, count, for: options)
        let answer = try session.use {
            let tokenizer = try session.model.tokenizer()
            guard let renderer = try ChatRenderer(tokenizer) else {
                throw APIError(LORAVK_ERROR_UNSUPPORTED, "the tokenizer came without a chat template")
            }
            let chat = try Chat(JSON.parse(Array(messages.utf8), path: "messages"), path: "messages")
            let prompt = tokenizer.encode(try renderer.prompt(chat), addSpecialTokens: false)
            return try session.answer(prompt, config, options)
        }
        room.give(answer)
    }
}

@c @implementation public func loravk_session_rewind(_ handle: OpaquePointer!, _ count: Int) -> loravk_status
{
    call {
        let session = try session(handle)
        try session.use { try session.rewind(to: count) }
    }
}

@c @implementation public func loravk_session_set_adapter(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!
) -> loravk_status {
    call {
        let session = try session(handle)
        let adapter = try optionalAdapter(adapter, of: session.model)
        try session.use { session.set(adapter: adapter) }
    }
}

@c @implementation public func loravk_session_get_info(
    _ handle: OpaquePointer!, _ info: UnsafeMutablePointer<loravk_session_info>!
) -> loravk_status {
    call {
        let session = try session(handle)
        try write(try session.use { session.info }, to: info)
    }
}

@c @implementation public func loravk_session_get_tokens(
    _ handle: OpaquePointer!, _ tokens: UnsafeMutablePointer<Int32>!, _ capacity: Int,
    _ count: UnsafeMutablePointer<Int>!
) -> loravk_status {
    call {
        let session = try session(handle)
        let count = try required(count, "count")
        let all = try session.use { session.tokens }
        try give(all, to: tokens, capacity, "tokens")
        count.pointee = all.count
    }
}

@c @implementation public func loravk_session_release(_ session: OpaquePointer!) {
    Handles.release(session, SessionObject.self)
}
