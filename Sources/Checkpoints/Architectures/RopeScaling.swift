// Rotary position embedding: the angle of pair j at position p is p·ω_j, ω_j = θ^(−2j/R) for the R numbers of a head that rotate,
// changed by a scaling rule for contexts longer than the model was first trained on.

import Glibc

package struct RopeSpec: Hashable, Sendable {
    package var base: Double  // θ
    package var scaling = RopeScaling.none
    /// R: numbers of a head that rotate, the first ones.
    package var size: Int
    /// Pairs are (2j, 2j + 1) in place of (j, j + R/2).
    package var isInterleaved = false
    /// Queries grow with their position p by 1 + β·ln(1 + ⌊p/P₀⌋).
    package var queryGrowth: QueryGrowth?

    package struct QueryGrowth: Hashable, Sendable {
        package var beta: Double
        package var positions: Int  // P₀

        package init(beta: Double, positions: Int) { (self.beta, self.positions) = (beta, positions) }

        package func factor(at position: Int) -> Double { 1 + beta * log(1 + Double(position / positions)) }
    }

    package init(base: Double, scaling: RopeScaling = .none, size: Int) {
        (self.base, self.scaling, self.size) = (base, scaling, size)
    }

    /// ω of a sequence of so many tokens.
    package func inverseFrequencies(tokens: Int = 0) -> [Double] {
        scaling.inverseFrequencies(theta: base, size: size, tokens: tokens)
    }

    /// What cos and sin are multiplied by.
    package var attentionFactor: Double { scaling.attentionFactor }

    /// Sequences longer than this rotate at other frequencies; nil: all rotate alike.
    package var shortPositions: Int? {
        if case .long(let rule) = scaling { rule.originalPositions } else { nil }
    }
}

package enum RopeScaling: Hashable, Sendable {
    case none
    case linear(factor: Double)
    /// Short wavelengths stay, long ones are divided by `factor`, between them is a blend (Llama 3.1 model card).
    case llama3(
        factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalMaxPositions: Int)
    /// Each ω_j is divided by its own factor, as GGUF stores the rule of Llama 3 (`rope_freqs.weight`).
    case divisors([Float])
    case yarn(Yarn)
    case long(Long)

    /// Pairs that turn more than `betaFast` times in the original positions stay, those that turn less than `betaSlow` times are
    /// divided by `factor`, with a ramp between them. Peng et al. 2023, YaRN.
    package struct Yarn: Hashable, Sendable {
        package var factor: Double
        package var originalPositions: Int
        package var betaFast: Double
        package var betaSlow: Double
        /// The ends of the ramp are whole pairs.
        package var truncates: Bool
        package var attentionFactor: Double

        package init(
            factor: Double, originalPositions: Int, betaFast: Double = 32, betaSlow: Double = 1,
            truncates: Bool = true, attentionFactor: Double
        ) {
            (self.factor, self.originalPositions) = (factor, originalPositions)
            (self.betaFast, self.betaSlow, self.truncates) = (betaFast, betaSlow, truncates)
            // As GGUF stores it.
            self.attentionFactor = Double(Float(attentionFactor))
        }

        /// 1 + 0.1·m·ln(factor)
        package static func magnitude(_ factor: Double, _ scale: Double = 1) -> Double {
            factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1
        }

        fileprivate func frequencies(_ plain: [Double], theta: Double, size: Int) -> [Double] {
            func pair(turning turns: Double) -> Double {
                Double(size) * log(Double(originalPositions) / (turns * 2 * .pi)) / (2 * log(theta))
            }
            var (low, high) = (pair(turning: betaFast), pair(turning: betaSlow))
            if truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
            (low, high) = (max(low, 0), min(high, Double(size - 1)))
            if low == high { high += 0.001 }
            return plain.enumerated().map { index, frequency in
                let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
                return frequency / factor * ramp + frequency * (1 - ramp)
            }
        }
    }

    /// Every pair has a divisor of its own, others for sequences beyond the original positions than for shorter ones.
    /// Ding et al. 2024, LongRoPE.
    package struct Long: Hashable, Sendable {
        package var short: [Float]
        package var long: [Float]
        package var originalPositions: Int
        package var attentionFactor: Double

        package init(short: [Float], long: [Float], originalPositions: Int, attentionFactor: Double) {
            (self.short, self.long) = (short, long)
            (self.originalPositions, self.attentionFactor) = (
                originalPositions, Double(Float(attentionFactor))
            )
        }

        /// √(1 + ln(factor)/ln(original))
        package static func magnitude(_ factor: Double, originalPositions: Int) -> Double {
            factor <= 1 ? 1 : (1 + log(factor) / log(Double(originalPositions))).squareRoot()
        }
    }

    /// The ends of YaRN's ramp may lie between pairs.
    package mutating func keepFractions() {
        guard case .yarn(var rule) = self else { return }
        rule.truncates = false
        self = .yarn(rule)
    }

    package var attentionFactor: Double {
        switch self {
        case .yarn(let rule): rule.attentionFactor
        case .long(let rule): rule.attentionFactor
        default: 1
        }
    }

    package func inverseFrequencies(theta: Double, size: Int, tokens: Int = 0) -> [Double] {
        let plain = (0..<size / 2).map { pow(theta, -2 * Double($0) / Double(size)) }
        switch self {
        case .none: return plain
        case .linear(let factor): return plain.map { $0 / factor }
        case .divisors(let divisors): return zip(plain, divisors).map { $0 / Double($1) }
        case .yarn(let rule): return rule.frequencies(plain, theta: theta, size: size)
        case .long(let rule):
            let divisors = tokens > rule.originalPositions ? rule.long : rule.short
            return zip(plain, divisors).map { $0 / Double($1) }
        case .llama3(let factor, let low, let high, let originalMaxPositions):
            return plain.map { frequency in
                let turns = Double(originalMaxPositions) * frequency / (2 * .pi)
                if turns < low { return frequency / factor }
                if turns > high { return frequency }
                let smooth = (turns - low) / (high - low)
                return (1 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }

    /// Holds for every rule, whatever file it came from.
    func validate(size: Int, _ path: String) throws(FileError) {
        func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(FileError) {
            if !condition { throw FileError(path, message()) }
        }
        func requireDivisors(_ divisors: [Float]) throws(FileError) {
            try require(
                divisors.count == size / 2,
                "has \(divisors.count) rope frequency factors, a head of \(size) needs \(size / 2)")
            try require(
                divisors.allSatisfy { $0 > 0 && $0.isFinite },
                "has a rope frequency factor that is not positive")
        }
        switch self {
        case .none: break
        case .linear(let factor): try require(factor >= 1, "the rope scaling factor \(factor) is below 1")
        case .llama3(let factor, let low, let high, _):
            try require(factor >= 1, "the rope scaling factor \(factor) is below 1")
            try require(
                low < high, "the rope frequency factors \(low) (low) and \(high) (high) are out of order")
        case .divisors(let divisors): try requireDivisors(divisors)
        case .yarn(let rule):
            try require(rule.factor >= 1, "the rope scaling factor \(rule.factor) is below 1")
            try require(
                rule.betaSlow < rule.betaFast,
                "the rope scaling's beta_slow \(rule.betaSlow) and beta_fast \(rule.betaFast) are out of order"
            )
        case .long(let rule):
            try requireDivisors(rule.short)
            try requireDivisors(rule.long)
        }
    }
}
