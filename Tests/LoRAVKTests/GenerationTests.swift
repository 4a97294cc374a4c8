// Generation with a cache against the whole sequence run at once.

import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct GenerationTests {
    private func prompt(_ count: Int) -> [Int32] { examples([count])[0].tokens }

    private func expectSameLogits(_ got: [Float], _ want: [Float], _ text: String) {
        let wrong = mismatch(got, want.doubles, Tolerance(absolute: 2e-4, relative: 2e-4))
        #expect(wrong == nil, "\(text): \(wrong ?? "")")
    }

    /// 300 tokens are more than one piece of a prompt.
    @Test(arguments: [1, 13, 300], [true, false])
    func everyTokenIsTheLikeliestOfTheWholeSequence(count: Int, adapted: Bool) throws {
        let model = try TinyModel(positions: 320).load(TestDevices.main)
        let adapter = adapted ? try Adapter.random(for: model) : nil
        let prompt = prompt(count)
        let generator = try Generator(model, adapter, capacity: count + 8)
        let answer = try generator.generate(
            prompt: prompt, maxTokens: 8, stopTokens: [], sampling: SamplerConfig())
        #expect(answer.count == 8)
        let evaluator = try Evaluator(model, adapter)
        for (index, token) in answer.enumerated() {
            let sequence = prompt + answer[..<index]
            let logits = try evaluator.logits(sequence, at: [sequence.count - 1])[0]
            // Two tokens may be equally likely but for rounding.
            #expect(logits[Int(token)] >= (logits.max() ?? 0) - 1e-4, "token \(index)")
        }
    }

    @Test func cachedLogitsAreThoseOfTheWholeSequence() throws {
        for device in [try TestDevices.main, try TestDevices.smallLimits] {
            let model = try TinyModel().load(device)
            let adapter = try Adapter.random(for: model)
            let tokens = prompt(20)
            // A step for one token is recorded at its first use and replayed behind longer caches.
            let parts = [0..<1, 1..<2, 2..<5, 5..<11, 11..<12, 12..<19, 19..<20]
            let whole = try Evaluator(model, adapter).logits(tokens, at: parts.map { $0.upperBound - 1 })
            let generator = try Generator(model, adapter, capacity: 20)
            for (row, part) in zip(whole, parts) {
                expectSameLogits(try generator.append(Array(tokens[part])), row, "tokens \(part)")
            }
        }
    }

    /// A token's step may run a layer in a fused kernel, which trusts `lowRank`. With every method, and with adapters on all or
    /// on some of the layers, generation computes what a training step computes: the whole sequence, token by token.
    @Test(
        arguments: Registries.methods.all + [MadeUpMethod(), MadeUpGain()] as [any AdapterMethod],
        ["all-linear", "v_proj,up_proj"])
    func stepsOfEveryMethod(method: any AdapterMethod, targets: String) throws {
        let model = try TinyModel().load(TestDevices.main)
        var config = LoRAConfig()
        config.method = method
        if targets != "all-linear" { config.targets = .names(targets.split(separator: ",").map(String.init)) }
        let adapter = try Adapter.create(for: model, config)
        try adapter.shake()
        let tokens = prompt(14)
        let whole = try Evaluator(model, adapter).logits(tokens, at: Array(tokens.indices))
        let base = try Evaluator(model, nil).logits(tokens, at: [13])[0]
        #expect(
            mismatch(whole[13], base.doubles, Tolerance(absolute: 2e-3, relative: 2e-3)) != nil,
            "the adapter does nothing")
        let generator = try Generator(model, adapter, capacity: 14)
        for index in 0..<3 {
            expectSameLogits(try generator.append([tokens[index]]), whole[index], "token \(index)")
        }
        expectSameLogits(try generator.append(Array(tokens[3..<12])), whole[11], "prompt")
        expectSameLogits(try generator.append([tokens[12]]), whole[12], "token 12")
        let kernels = Set(try generator.profileStep(tokens[13]).map(\.kernel))
        let isLowRank = adapter.layers.allSatisfy { method.lowRank($0) != nil }
        #expect(isLowRank == (method is any LowRankMethod))
        let fused = isLowRank && model.device.capabilities.family != .shared
        #expect(kernels.contains { $0.hasPrefix("matvec_fused") } == fused, "\(kernels)")
        expectSameLogits(try generator.append([tokens[13]]), whole[13], "token 13")
    }

    @Test func generationEndsWhereItShould() throws {
        let model = try TinyModel().load(TestDevices.main)
        let prompt = prompt(5)
        func generate(
            capacity: Int = 40, max: Int = 10, stop: Set<Int32> = [], onToken: (Int32) -> Bool = { _ in true }
        )
            throws -> [Int32]
        {
            try Generator(model, nil, capacity: capacity).generate(
                prompt: prompt, maxTokens: max, stopTokens: stop, sampling: SamplerConfig(), onToken: onToken)
        }
        let free = try generate()
        #expect(free.count == 10)
        let generator = try Generator(model, nil, capacity: 40)
        try generator.generate(
            prompt: prompt, maxTokens: 10, stopTokens: [], sampling: SamplerConfig())
        let times = generator.times
        #expect(times.promptTokens == 5 && times.answerTokens == 10 && times.stepTokens == 9)
        #expect(times.promptRate > 0 && times.stepRate > 0)
        #expect(try generate(max: 3) == Array(free.prefix(3)))
        #expect(try generate(max: 0) == [])
        // The cache holds all but the last token, which nothing follows.
        #expect(try generate(capacity: 9, max: 30) == Array(try generate(max: 30).prefix(5)))
        var seen: [Int32] = []
        let stopped = try generate { token in
            seen.append(token)
            return seen.count < 4
        }
        #expect(stopped == Array(free.prefix(4)) && seen == stopped)
        let stop = free[3]
        #expect(try generate(stop: [stop]) == Array(free.prefix { $0 != stop }))
    }

    @Test func samplingRepeatsByItsSeed() throws {
        let model = try TinyModel().load(TestDevices.main)
        func generate(_ seed: UInt64) throws -> [Int32] {
            var sampling = SamplerConfig()
            sampling.temperature = 2
            sampling.seed = seed
            return try Generator(model, nil, capacity: 40).generate(
                prompt: prompt(5), maxTokens: 12, stopTokens: [], sampling: sampling)
        }
        #expect(try generate(1) == generate(1))
        #expect(try generate(1) != generate(2))
    }

    @Test func promptsThatCannotBeAnsweredAreRefused() throws {
        let model = try TinyModel().load(TestDevices.main)
        let generator = try Generator(model, nil, capacity: 8)
        func text(_ prompt: [Int32]) -> String? {
            errorText {
                try generator.generate(
                    prompt: prompt, maxTokens: 4, stopTokens: [], sampling: SamplerConfig())
            }
        }
        #expect(text([]) == "the prompt has no tokens; give at least one")
        #expect(text(prompt(8)) == "the prompt has 8 tokens, and only 7 fit before an answer")
        #expect(text([3, 96])?.contains("96") == true)
        #expect(text([-1])?.contains("-1") == true)
    }
}
