// Which token is chosen: the most likely one, a draw among the likeliest, repeatable by the seed.

import Foundation
import LoRAVK
import TestSupport
import Testing

@Suite struct SamplerTests {
    private let logits: [Float] = [0.5, 3, -1, 2.5, 2]  // by likelihood: 1 3 4 0 2

    private func draws(_ count: Int, _ change: (inout SamplerConfig) -> Void) -> [Int32] {
        var config = SamplerConfig()
        config.temperature = 1
        change(&config)
        var sampler = Sampler(config)
        return (0..<count).map { _ in sampler.next(logits, after: []) }
    }

    @Test func greedyTakesTheMostLikely() {
        var sampler = Sampler(SamplerConfig())
        #expect((0..<5).map { _ in sampler.next(logits, after: [1, 3]) } == [1, 1, 1, 1, 1])
        #expect(sampler.next([.init(-2), -1], after: []) == 1)
    }

    @Test func topKKeepsTheLikeliest() {
        #expect(Set(draws(2000) { $0.topK = 2 }) == [1, 3])
        #expect(Set(draws(50) { $0.topK = 1 }) == [1])
        #expect(
            Set(
                draws(2000) {
                    $0.topK = 99
                    $0.temperature = 5
                }) == [0, 1, 2, 3, 4])
    }

    @Test func topPKeepsTheSmallestSetOfThatProbability() {
        // Softmax: 0.482 (token 1), 0.292 (3), 0.177 (4), 0.040 (0), 0.009 (2).
        #expect(Set(draws(2000) { $0.topP = 0.4 }) == [1])
        #expect(Set(draws(2000) { $0.topP = 0.5 }) == [1, 3])
        #expect(Set(draws(2000) { $0.topP = 0.9 }) == [1, 3, 4])
        #expect(Set(draws(50) { $0.topP = 1e-9 }) == [1])
    }

    /// A vocabulary's size, in no order: what is kept is what sorting it would keep.
    @Test(arguments: [(1, 1.0), (40, 1.0), (5000, 1.0), (0, 0.6), (300, 0.8), (0, 0.001)])
    func keepsWhatSortingWould(_ limit: (topK: Int, topP: Double)) {
        var random = RandomValues(seed: 2)
        let logits = random.normal(6000, deviation: 3)
        var kept = logits.indices.sorted { logits[$0] > logits[$1] }
        if limit.topK > 0 { kept = Array(kept.prefix(limit.topK)) }
        let weights = kept.map { exp(Double(logits[$0])) }
        let total = weights.reduce(0, +)
        var mass = 0.0
        let nucleus = weights.prefix { weight in
            defer { mass += weight }
            return mass < limit.topP * total
        }
        var config = SamplerConfig()
        config.temperature = 1
        (config.topK, config.topP) = (limit.topK, limit.topP)
        var sampler = Sampler(config)
        let drawn = Set((0..<1000).map { _ in Int(sampler.next(logits, after: [])) })
        #expect(drawn.isSubset(of: kept.prefix(nucleus.count)))
        #expect(drawn.contains(kept[0]))
        #expect(nucleus.count > 1 ? drawn.count > 1 : drawn.count == 1)
    }

    /// Numbers that are none, as from a damaged model, still give a token.
    @Test func notANumberGivesSomeToken() {
        for temperature in [0.0, 1.0] {
            var config = SamplerConfig()
            (config.temperature, config.topK, config.topP) = (temperature, 2, 0.5)
            var sampler = Sampler(config)
            let token = sampler.next([.nan, .nan, .nan], after: [])
            #expect((0..<3).contains(token))
        }
    }

    @Test func drawsFollowTheSoftmax() {
        let count = 20_000
        let drawn = draws(count) { $0.temperature = 0.5 }
        let weights = logits.map { exp(Double($0) / 0.5) }
        let total = weights.reduce(0, +)
        for token in logits.indices {
            let p = weights[token] / total
            let deviation = (p * (1 - p) * Double(count)).squareRoot()
            let seen = Double(drawn.count { $0 == Int32(token) })
            #expect(abs(seen - p * Double(count)) < 5 * deviation + 1, "token \(token)")
        }
    }

    @Test func theSeedDecides() {
        let one = draws(200) {
            $0.seed = 1
            $0.temperature = 2
        }
        #expect(
            one
                == draws(200) {
                    $0.seed = 1
                    $0.temperature = 2
                })
        #expect(
            one
                != draws(200) {
                    $0.seed = 2
                    $0.temperature = 2
                })
    }

    @Test func thePenaltyMakesRepetitionLessLikely() {
        var config = SamplerConfig()
        config.repetitionPenalty = 2
        var sampler = Sampler(config)
        #expect(sampler.next(logits, after: []) == 1)
        #expect(sampler.next(logits, after: [1]) == 3)  // 3/2 < 2.5
        #expect(sampler.next(logits, after: [1, 1, 1, 3]) == 4)
        // Negative logits are multiplied: −1 becomes −2 and loses against −1.5.
        #expect(sampler.next([-1, -1.5], after: [0]) == 1)
        // What is not in the vocabulary is passed over.
        #expect(sampler.next(logits, after: [-1, 99]) == 1)
    }

    @Test func badSettingsAreRefused() {
        func refused(_ change: (inout SamplerConfig) -> Void) {
            var config = SamplerConfig()
            change(&config)
            #expect(throws: ConfigError.self) { try config.validate() }
        }
        for value in [-1, Double.nan, .infinity] {
            refused { $0.temperature = value }
            refused { $0.repetitionPenalty = value }
        }
        refused { $0.topK = -1 }
        for value in [0, -0.5, 1.01, .nan] { refused { $0.topP = value } }
        refused { $0.repetitionPenalty = 0.9 }
        #expect(throws: Never.self) { try SamplerConfig().validate() }
    }
}
