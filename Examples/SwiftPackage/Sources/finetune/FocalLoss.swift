import LoRAKit

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// An objective that the library does not have: the mean of −(1 − p)^γ·log p, which looks less at what the model knows already
/// (Lin et al. 2017).
///
///     d/dl of −(1 − eˡ)^γ·l  =  γ·(1 − p)^(γ−1)·p·l − (1 − p)^γ,   l = log p
struct FocalLoss: Objective {
    var gamma = 2.0

    func evaluate(_ logProbabilities: [[Double]], of examples: [Example]) -> (
        loss: Double, derivative: [[Double]]
    ) {
        let count = Double(logProbabilities.reduce(0) { $0 + $1.count })
        var loss = 0.0
        let derivative = logProbabilities.map { example in
            example.map { l -> Double in
                let p = exp(l)
                loss -= pow(1 - p, gamma) * l / count
                return (gamma * pow(1 - p, gamma - 1) * p * l - pow(1 - p, gamma)) / count
            }
        }
        return (loss, derivative)
    }
}
