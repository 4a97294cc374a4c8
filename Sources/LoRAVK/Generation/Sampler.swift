// The next token from logits: greedy at temperature 0, else softmax(logits / temperature) cut to the k most likely
// and to the smallest set of probability p (Holtzman et al. 2020, nucleus sampling).

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct SamplerConfig: Sendable, Equatable {
    /// 0: always the most likely token.
    package var temperature = 0.0
    /// 0: all.
    package var topK = 0
    package var topP = 1.0
    /// Logits of tokens already there are divided (if positive) or multiplied by this; 1: not at all.
    package var repetitionPenalty = 1.0
    package var seed: UInt64 = 0

    package init() {}

    package func validate() throws(ConfigError) {
        guard temperature >= 0, temperature.isFinite else {
            throw ConfigError("the temperature is \(temperature); it must be 0 (greedy) or positive")
        }
        guard topK >= 0 else {
            throw ConfigError("top-k is \(topK); it must be positive, or 0 for all tokens")
        }
        guard topP > 0, topP <= 1 else {
            throw ConfigError("top-p is \(topP); it must be above 0 and at most 1")
        }
        guard repetitionPenalty >= 1, repetitionPenalty.isFinite else {
            throw ConfigError("the repetition penalty is \(repetitionPenalty); it must be at least 1")
        }
    }
}

package struct Sampler: Sendable {
    private let config: SamplerConfig
    private var random: RandomNumbers

    package init(_ config: SamplerConfig) {
        self.config = config
        random = RandomNumbers(seed: config.seed)
    }

    package mutating func next(_ logits: [Float], after tokens: [Int32]) -> Int32 {
        var logits = logits
        if config.repetitionPenalty > 1 {
            let penalty = Float(config.repetitionPenalty)
            for token in Set(tokens) where logits.indices.contains(Int(token)) {
                let value = logits[Int(token)]
                logits[Int(token)] = value > 0 ? value / penalty : value * penalty
            }
        }
        guard config.temperature > 0 else {
            return Int32(logits.indices.max { logits[$0] < logits[$1] } ?? 0)
        }
        var order = logits.indices.sorted { logits[$0] > logits[$1] }
        if config.topK > 0 { order.removeLast(max(0, order.count - config.topK)) }
        let largest = Double(logits[order[0]])
        let weights = order.map { exp((Double(logits[$0]) - largest) / config.temperature) }
        let total = weights.reduce(0, +)
        var kept = 0
        var mass = 0.0
        while kept < weights.count, mass < config.topP * total {
            mass += weights[kept]
            kept += 1
        }
        var target = random.uniform() * mass
        for index in 0..<kept {
            target -= weights[index]
            if target < 0 { return Int32(order[index]) }
        }
        return Int32(order[kept - 1])
    }
}
