// Sessions of the C API against generation from zero, and sums of adapters.

import CLoRAVK
import LoRAVKC
import TestSupport
import Testing

@Suite struct SessionTests {
    private let prompt: [Int32] = [40, 7, 300, 12, 99, 5]

    private func config(_ maxTokens: Int32 = 8) -> loravk_generation_config {
        var config = loravk_generation_config()
        _ = loravk_generation_config_init(&config, MemoryLayout<loravk_generation_config>.size)
        config.max_tokens = maxTokens
        return config
    }

    private func session(_ model: Handle, _ adapter: Handle? = nil, capacity: Int64 = 0) throws -> Handle {
        try Handle(loravk_session_release) {
            loravk_session_create(model.pointer, adapter?.pointer, capacity, $0)
        }
    }

    private func info(_ session: Handle) throws -> loravk_session_info {
        var info = loravk_session_info()
        _ = loravk_session_info_init(&info, MemoryLayout<loravk_session_info>.size)
        try check(loravk_session_get_info(session.pointer, &info))
        return info
    }

    private func answered(
        _ call: (UnsafeMutablePointer<Int32>, Int, UnsafeMutablePointer<Int>) -> loravk_status
    ) throws -> [Int32] {
        var (room, count) = ([Int32](repeating: -7, count: 64), 0)
        try check(call(&room, room.count, &count))
        return Array(room.prefix(count))
    }

    private func fromZero(_ model: Handle, _ adapter: Handle?, _ prompt: [Int32]) throws -> [Int32] {
        var config = config()
        return try answered {
            loravk_model_generate(model.pointer, adapter?.pointer, prompt, prompt.count, &config, $0, $1, $2)
        }
    }

    private func generate(_ session: Handle) throws -> [Int32] {
        var config = config()
        return try answered { loravk_session_generate(session.pointer, &config, $0, $1, $2) }
    }

    private func tokens(_ session: Handle) throws -> [Int32] {
        try answered { loravk_session_get_tokens(session.pointer, $0, $1, $2) }
    }

    @Test func aSessionGoesOnAsFromZero() throws {
        let model = try makeContext().model()
        let adapter = try model.adapter()
        let session = try session(model, adapter, capacity: 64)
        try check(loravk_session_append(session.pointer, prompt, prompt.count, nil, 0))
        let first = try generate(session)
        #expect(try first == fromZero(model, adapter, prompt) && !first.isEmpty)
        #expect(try tokens(session) == prompt + first)
        var more = prompt + first
        try check(loravk_session_append(session.pointer, [9, 8], 2, nil, 0))
        more += [9, 8]
        #expect(try generate(session) == fromZero(model, adapter, more))
        // Back to the first prompt, and to the base.
        try check(loravk_session_rewind(session.pointer, prompt.count))
        #expect(try generate(session) == first)
        try check(loravk_session_set_adapter(session.pointer, nil))
        try check(loravk_session_rewind(session.pointer, prompt.count))
        #expect(try generate(session) == fromZero(model, nil, prompt))
        let told = try info(session)
        #expect(told.capacity == 64 && told.tokens == Int64(prompt.count) + told.answer_tokens)
        #expect(told.kept_tokens == 0 && told.prompt_tokens == Int64(prompt.count))
        try check(loravk_session_rewind(session.pointer, 0))
        #expect(try info(session).tokens == 0)
    }

    @Test func logitsAreThoseOfTheModel() throws {
        let model = try makeContext().model()
        var info = loravk_model_info()
        info.struct_size = MemoryLayout<loravk_model_info>.size
        try check(loravk_model_get_info(model.pointer, &info))
        let vocabulary = Int(info.vocab_size)
        var whole = [Float](repeating: 0, count: prompt.count * vocabulary)
        try check(loravk_model_logits(model.pointer, nil, prompt, 1, prompt.count, &whole, whole.count))
        var logits = [Float](repeating: 0, count: vocabulary)
        let session = try session(model)
        try check(loravk_session_append(session.pointer, prompt, 4, nil, 0))
        let rest = Array(prompt[4...])
        try check(loravk_session_append(session.pointer, rest, rest.count, &logits, vocabulary))
        let wrong = mismatch(
            logits, whole.suffix(vocabulary).map(Double.init), Tolerance(absolute: 2e-3, relative: 2e-3))
        #expect(wrong == nil, "\(wrong ?? "")")
    }

    @Test func aChatKeepsWhatItHasRead() throws {
        let model = try makeContext().model()
        let session = try session(model)
        final class Told { var text = ""; var probabilities: [Double] = []; var top = 0 }
        let told = Told()
        func chat(_ json: String, _ change: (inout loravk_generation_config) -> Void = { _ in }) throws {
            (told.text, told.probabilities) = ("", [])
            var config = config(12)
            config.user_data = Unmanaged.passUnretained(told).toOpaque()
            config.on_token = { user, _, text, _ in
                guard let user, let text else { return false }
                Unmanaged<Told>.fromOpaque(user).takeUnretainedValue().text += String(cString: text)
                return true
            }
            change(&config)
            try check(loravk_session_chat(session.pointer, json, &config, nil, 0, nil))
        }
        let question = #"[{"role": "user", "content": "Who sails?"}]"#
        try chat(question)
        let (first, firstInfo) = (told.text, try info(session))
        #expect(!first.isEmpty && firstInfo.kept_tokens == 0)
        let answered = first.split(separator: "\"").joined()
        try chat(
            #"{"messages": [{"role": "user", "content": "Who sails?"}, {"role": "assistant", "content": ""#
                + answered + #""}, {"role": "user", "content": "And then?"}]}"#)
        #expect(try info(session).kept_tokens >= firstInfo.prompt_tokens)
        try chat(question) {
            $0.top_log_probabilities = 2
            $0.on_choice = { user, _, logProbability, tokens, logProbabilities, count in
                guard let user, let tokens, let logProbabilities, count == 2 else { return }
                let told = Unmanaged<Told>.fromOpaque(user).takeUnretainedValue()
                told.probabilities.append(logProbability)
                if logProbabilities[0] >= logProbabilities[1], tokens[0] != tokens[1],
                    logProbabilities[0] == logProbability
                {
                    told.top += 1  // greedy: the drawn one is the likeliest
                }
            }
        }
        #expect(told.text == first && told.top == told.probabilities.count && told.top > 0)
        #expect(told.probabilities.allSatisfy { $0 < 0 })
        // A stop string out of the middle of the answer.
        let stop = String(first.dropFirst(2).prefix(3))
        try stop.withCString { stop in
            try withUnsafePointer(to: Optional(stop)) { stops in
                try chat(question) { ($0.stop_strings, $0.stop_string_count) = (stops, 1) }
            }
        }
        #expect(first.hasPrefix(told.text + stop) && told.text.count <= 2)
        var reason = try info(session).finish_reason
        #expect(
            withUnsafeBytes(of: &reason) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
                == "stop_string")
        #expect(throws: StatusError.self) { try chat("[") }
        #expect(throws: StatusError.self) { try chat("[]") }
        #expect(throws: StatusError.self) { try chat(#"[{"role": "user"}]"#) }
    }

    @Test func wrongCallsAreRefused() throws {
        let context = try makeContext()
        let model = try context.model()
        let session = try session(model, capacity: 8)
        #expect(
            text(
                loravk_session_append(session.pointer, [1, 2, 3, 4, 5, 6, 7, 8, 9], 9, nil, 0),
                LORAVK_ERROR_INVALID_ARGUMENT)
                == "there are 9 tokens, and only 8 fit")
        #expect(
            text(loravk_session_append(session.pointer, [-1], 1, nil, 0), LORAVK_ERROR_INVALID_ARGUMENT)
                != nil)
        #expect(
            text(loravk_session_append(session.pointer, [1], 1, nil, 3), LORAVK_ERROR_INVALID_ARGUMENT) != nil
        )
        #expect(
            text(loravk_session_generate(session.pointer, nil, nil, 0, nil), LORAVK_ERROR_INVALID_ARGUMENT)
                != nil)
        #expect(text(loravk_session_rewind(session.pointer, 1), LORAVK_ERROR_INVALID_ARGUMENT) != nil)
        #expect(try info(session).tokens == 0)
        var handle: OpaquePointer?
        #expect(
            text(loravk_session_create(model.pointer, nil, 1, &handle), LORAVK_ERROR_INVALID_ARGUMENT)?
                .contains("capacity is 1")
                == true)
        let other = try context.model()
        let foreign = try other.adapter()
        #expect(
            text(loravk_session_set_adapter(session.pointer, foreign.pointer), LORAVK_ERROR_INVALID_ARGUMENT)
                != nil)
        // A callback that uses its own session.
        try check(loravk_session_append(session.pointer, [1, 2], 2, nil, 0))
        final class Seen { var session: OpaquePointer?; var status = loravk_status(LORAVK_OK) }
        let seen = Seen()
        seen.session = session.pointer
        var config = config(2)
        config.user_data = Unmanaged.passUnretained(seen).toOpaque()
        config.on_token = { user, _, _, _ in
            guard let user else { return false }
            let seen = Unmanaged<Seen>.fromOpaque(user).takeUnretainedValue()
            seen.status = loravk_session_rewind(seen.session, 0)
            return true
        }
        try check(loravk_session_generate(session.pointer, &config, nil, 0, nil))
        #expect(seen.status == LORAVK_ERROR_BUSY)
    }

    @Test func adaptersAreSummed() throws {
        let model = try makeContext().model()
        let trained = try model.adapter()
        _ = try model.trainer(trained).step(prompt + prompt, batch: 2)
        func mix(_ adapters: [Handle], _ weights: [Double]) throws -> Handle {
            try Handle(loravk_adapter_release) {
                loravk_adapter_mix(model.pointer, adapters.map(\.pointer), weights, weights.count, $0)
            }
        }
        let whole = try mix([trained, trained], [0.25, 0.75])
        var info = loravk_adapter_info()
        info.struct_size = MemoryLayout<loravk_adapter_info>.size
        try check(loravk_adapter_get_info(whole.pointer, &info))
        #expect(info.rank == 8 && info.alpha == 8)
        #expect(try fromZero(model, whole, prompt) == fromZero(model, trained, prompt))
        var handle: OpaquePointer?
        #expect(
            text(loravk_adapter_mix(model.pointer, nil, nil, 0, &handle), LORAVK_ERROR_INVALID_ARGUMENT)
                != nil)
        #expect(
            text(
                loravk_adapter_mix(model.pointer, [trained.pointer], [.infinity], 1, &handle),
                LORAVK_ERROR_INVALID_ARGUMENT)
                != nil)
        let dora = try "dora".withCString { name in
            try Handle(loravk_adapter_release) {
                var config = loravk_adapter_config()
                _ = loravk_adapter_config_init(&config, MemoryLayout<loravk_adapter_config>.size)
                config.method = name
                return loravk_adapter_create(model.pointer, &config, $0)
            }
        }
        #expect(
            text(
                loravk_adapter_mix(model.pointer, [dora.pointer], [0.5], 1, &handle), LORAVK_ERROR_UNSUPPORTED
            )?
            .contains("DoRA") == true)
    }
}
