// A cache that stays between prompts: what is answered is what a generator answers that never saw anything before.

import Checkpoints
import Foundation
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct GenerationSessionTests {
    private static let capacity = 64

    private func load(_ name: String) throws -> Transformer {
        try withTemporaryFolder { folder in
            try TinyCheckpoint(try #require(Architectures.named(name))).writeFolder(folder)
            return try Transformer.load(folder, device: TestDevices.main)
        }
    }

    private func answer(_ generator: Generator, _ prompt: [Int32], _ count: Int = 6) throws -> [Int32] {
        try generator.generate(prompt: prompt, maxTokens: count, stopTokens: [], sampling: SamplerConfig())
    }

    private func answerFromZero(_ model: Transformer, _ adapter: Adapter?, _ prompt: [Int32]) throws
        -> [Int32]
    {
        try answer(Generator(model, adapter, capacity: Self.capacity), prompt)
    }

    /// Longer than the windows of the tiny models, which are at most 20.
    private func prompt(_ count: Int, seed: UInt64 = 9) -> [Int32] { examples([count], seed: seed)[0].tokens }

    @Test(arguments: Architectures.all.map(\.name), [true, false])
    func turnsAreAsFromZero(_ name: String, adapted: Bool) throws {
        let model = try load(name)
        guard !model.spec.isEncoder else {
            let text = errorText { _ = try answerFromZero(model, nil, prompt(4)) }
            return #expect(text?.contains("is an encoder") == true, "\(text ?? "")")
        }
        let adapter = adapted ? try Adapter.random(for: model, rank: 8) : nil
        let keepsRings = model.spec.branches.contains {
            if case .convolution = $0.mixer { true } else { false }
        }
        let generator = try Generator(model, adapter, capacity: Self.capacity)
        func expect(_ prompt: [Int32], kept: Int, _ text: String) throws -> [Int32] {
            let got = try answer(generator, prompt)
            #expect(try got == answerFromZero(model, adapter, prompt), "\(name), \(text)")
            #expect(generator.times.keptTokens == kept, "\(name), \(text)")
            #expect(generator.times.promptTokens == prompt.count - kept)
            return got
        }
        let first = prompt(23)
        let said = try expect(first, kept: 0, "first")
        // All that was said, but for the last token of the answer, which nothing followed.
        let second = first + said + prompt(5, seed: 3)
        let more = try expect(second, kept: 28, "a second turn")
        // The same prompt once more: its last token gives the logits.
        _ = try expect(second, kept: second.count - 1, "again")
        // Parted where the first prompt ended, then inside of it.
        _ = try expect(first + prompt(4, seed: 4), kept: 23, "parted behind a prompt")
        _ = try expect(Array(first[..<9]) + prompt(7, seed: 5), kept: keepsRings ? 0 : 9, "parted inside")
        _ = try expect(second + more, kept: keepsRings ? 0 : 9, "the long one again")
    }

    /// Up to 8 tokens the tiny model rotates otherwise than beyond.
    @Test func sequencesThatBecomeLongRotateAsFromZero() throws {
        let model = try load("phi3")
        let generator = try Generator(model, nil, capacity: Self.capacity)
        for (length, kept) in [(3, 0), (3, 2), (11, 0), (12, 11), (4, 0)] {
            let prompt = prompt(length)
            let alone = try Generator(model, nil, capacity: length + 4)
            #expect(try answer(generator, prompt, 4) == answer(alone, prompt, 4), "\(length) tokens")
            #expect(generator.times.keptTokens == kept, "\(length) tokens")
        }
    }

    @Test func anotherAdapterOrOtherParametersEmptyTheCache() throws {
        let model = try TinyModel().load(TestDevices.main)
        let (a, b) = (try Adapter.random(for: model, seed: 1), try Adapter.random(for: model, seed: 2))
        let generator = try Generator(model, a, capacity: Self.capacity)
        let prompt = prompt(9)
        let ofA = try answer(generator, prompt)
        for adapter in [b, nil, a] {
            generator.adapter = adapter
            #expect(try answer(generator, prompt) == answerFromZero(model, adapter, prompt))
            #expect(generator.times.keptTokens == 0)
        }
        #expect(try answer(generator, prompt) == ofA && generator.times.keptTokens == 8)
        let layer = a.layers[0]
        try a.set(layer, .loraB, to: a.values(layer, .loraB).map { $0 + 0.5 })
        #expect(try answer(generator, prompt) == answerFromZero(model, a, prompt))
        #expect(generator.times.keptTokens == 0)
        try generator.reset()
        #expect(generator.tokens.isEmpty)
        try generator.reserve(2 * Self.capacity)
        #expect(generator.capacity == 2 * Self.capacity)
        #expect(try answer(generator, prompt) == answerFromZero(model, a, prompt))
    }

    @Test func aFullCacheEndsTheAnswerAndRefusesMore() throws {
        let model = try TinyModel().load(TestDevices.main)
        let generator = try Generator(model, nil, capacity: 16)
        var options = AnswerOptions()
        options.maxTokens = 30
        let first = try generator.answer(prompt(9), nil, options)
        #expect(first.end == .full && first.tokens.count == 8 && generator.tokens.count == 16)
        #expect(
            errorText { _ = try generator.answer(prompt(16), nil, options) }
                == "the prompt has 16 tokens, and only 15 fit before an answer")
        #expect(
            errorText { _ = try generator.prefill(prompt(17)) } == "there are 17 tokens, and only 16 fit")
        options.maxTokens = 3
        #expect(try generator.answer(prompt(9), nil, options).tokens == Array(first.tokens.prefix(3)))
        generator.shouldStop = { true }
        #expect(try generator.answer(prompt(9, seed: 2), nil, options).end == .interrupted)
        generator.shouldStop = { false }
        #expect(try generator.answer(prompt(9), nil, options).tokens == Array(first.tokens.prefix(3)))
    }

    @Test func probabilitiesAreThoseOfTheLogits() throws {
        let model = try TinyModel().load(TestDevices.main)
        let generator = try Generator(model, nil, capacity: Self.capacity)
        var options = AnswerOptions()
        (options.maxTokens, options.logProbabilities) = (5, 3)
        (options.sampling.temperature, options.sampling.repetitionPenalty) = (3, 1.5)
        let prompt = prompt(7)
        let answer = try generator.answer(prompt, nil, options)
        #expect(answer.choices.map(\.token) == answer.tokens && answer.tokens.count == 5)
        let evaluator = try Evaluator(model, nil)
        for (index, choice) in answer.choices.enumerated() {
            let sequence = prompt + answer.tokens[..<index]
            let logits = try evaluator.logits(sequence, at: [sequence.count - 1])[0].map(Double.init)
            let logSum = log(logits.reduce(0) { $0 + exp($1) })
            #expect(abs(try #require(choice.logProbability) - (logits[Int(choice.token)] - logSum)) < 1e-4)
            let order = logits.indices.sorted { logits[$0] > logits[$1] }
            #expect(choice.likeliest.map(\.token) == order.prefix(3).map { Int32($0) })
            for scored in choice.likeliest {
                #expect(abs(scored.logProbability - (logits[Int(scored.token)] - logSum)) < 1e-4)
            }
        }
        options.logProbabilities = nil
        #expect(try generator.answer(prompt, nil, options).choices.isEmpty)
    }

    @Test(arguments: [
        (["ab"], ["xa", "b"], "x", true), (["ab"], ["xa", "c", "ab", "q"], "xac", true),
        (["abc", "b"], ["a", "b"], "a", true), (["abc"], ["ab"], "ab", false),
        ([], ["ab", "c"], "abc", false),
        (["aab"], ["a", "a", "a", "b"], "a", true), (["é!"], ["né", "é", "!"], "né", true),
        (["\n\n", "END"], ["one\n", "two EN", "D", "."], "one\ntwo ", true),
    ])
    func stopsAreFoundAcrossBorders(stops: [String], pieces: [String], text: String, isEnd: Bool) {
        var texts = StopTexts(stops)
        var (told, found) = ("", false)
        for piece in pieces where !found {
            let (part, isEnd) = texts.append(piece)
            (told, found) = (told + part, isEnd)
        }
        if !found { told += texts.finish() }
        #expect(told == text && found == isEnd)
    }

    @Test func wrongOptionsAreRefused() {
        func text(_ change: (inout AnswerOptions) -> Void) -> String? {
            var options = AnswerOptions()
            change(&options)
            return errorText { try options.validate() }
        }
        #expect(text { $0.stopTexts = ["a", ""] }?.contains("stop string is empty") == true)
        #expect(text { $0.logProbabilities = -1 }?.contains("-1") == true)
        #expect(text { $0.maxTokens = -1 }?.contains("-1") == true)
        #expect(text { $0.sampling.topP = 2 }?.contains("top-p") == true)
        #expect(text { _ in } == nil)
    }
}
