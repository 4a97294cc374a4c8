// The next token from logits: greedy at temperature 0, else softmax(logits / temperature) cut to the k most likely
// and to the smallest set of probability p (Holtzman et al. 2020, nucleus sampling).

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct SamplerConfig: Sendable, Equatable {
    /// 0: always the most likely token.
    package var temperature = Defaults.temperature
    /// 0: all.
    package var topK = Defaults.topK
    package var topP = Defaults.topP
    /// Logits of tokens already there are divided (if positive) or multiplied by this; 1: not at all.
    package var repetitionPenalty = Defaults.repetitionPenalty
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
        guard config.temperature > 0 else { return Self.likeliest(logits) }
        let largest = Double(logits[Int(Self.likeliest(logits))])
        let tokens =
            config.topK > 0 && config.topK < logits.count
            ? Self.likeliest(config.topK, of: logits) : Array(logits.indices)
        var candidates = tokens.map { token in
            (token: token, weight: exp((Double(logits[token]) - largest) / config.temperature))
        }
        if config.topP < 1 { Self.cut(&candidates, to: config.topP) }
        var target = random.uniform() * candidates.reduce(0) { $0 + $1.weight }
        for candidate in candidates {
            target -= candidate.weight
            if target < 0 { return Int32(candidate.token) }
        }
        return Int32(candidates.last?.token ?? 0)
    }

    private static func likeliest(_ logits: [Float]) -> Int32 {
        var best = 0
        logits.withUnsafeBufferPointer { logits in
            for token in logits.indices where logits[token] > logits[best] { best = token }
        }
        return Int32(best)
    }

    /// The `count` likeliest in descending order. Most tokens are less likely than the last of those found before them, so
    /// this is one comparison a token; sorting a vocabulary would take as long as running the model.
    static func likeliest(_ count: Int, of logits: [Float]) -> [Int] {
        var best: [Int] = []
        for token in logits.indices {
            if best.count == count {
                guard let last = best.last, logits[token] > logits[last] else { continue }
                best.removeLast()
            }
            var (low, high) = (0, best.count)
            while low < high {
                let middle = (low + high) / 2
                if logits[best[middle]] < logits[token] { high = middle } else { low = middle + 1 }
            }
            best.insert(token, at: low)
        }
        return best
    }

    /// Keeps the smallest set that holds `share` of the weight.
    private static func cut(_ candidates: inout [(token: Int, weight: Double)], to share: Double) {
        let total = candidates.reduce(0) { $0 + $1.weight }
        // All tokens below this together weigh less than what is cut off: only the others need sorting.
        let least = (1 - share) * total / Double(candidates.count)
        candidates.removeAll { $0.weight < least }
        candidates.sort { $0.weight > $1.weight }
        var kept = 0
        var mass = 0.0
        while kept < candidates.count, mass < share * total {
            mass += candidates[kept].weight
            kept += 1
        }
        candidates.removeLast(candidates.count - kept)
    }
}
