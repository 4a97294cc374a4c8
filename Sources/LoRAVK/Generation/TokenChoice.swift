// A drawn token and how likely it was: log p = z − log Σ exp z of the model's logits z, before temperature, cuts and penalties.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct TokenChoice: Sendable, Equatable {
    package struct Scored: Sendable, Equatable {
        package let token: Int32
        package let logProbability: Double
    }

    package let token: Int32
    /// nil: not asked for.
    package let logProbability: Double?
    /// In descending order.
    package let likeliest: [Scored]

    /// `count` of the likeliest tokens; nil: no probabilities.
    init(_ token: Int32, of logits: [Float], likeliest count: Int?) {
        self.token = token
        guard let count else {
            (logProbability, likeliest) = (nil, [])
            return
        }
        let largest = Double(logits.max() ?? 0)
        let logSum = largest + log(logits.reduce(0) { $0 + exp(Double($1) - largest) })
        func scored(_ token: Int) -> Scored {
            Scored(token: Int32(token), logProbability: Double(logits[token]) - logSum)
        }
        logProbability = scored(Int(token)).logProbability
        likeliest = count == 0 ? [] : Sampler.likeliest(count, of: logits).map(scored)
    }
}
