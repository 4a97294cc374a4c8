// Losses of a head's scores in f64, a row or a pair of rows at a time, as Shaders/loss/score_gradient.comp has them.

import Kernels

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package enum ReferenceScores {
    /// `z` (K), or of a pair both rows' first scores; `values` (K), or the margin.
    package static func loss(
        _ loss: ScoreLoss, _ z: [Double], target: Int, values: [Double], centre: Double
    ) -> Double {
        func logSigmoid(_ x: Double) -> Double { -log(1 + exp(-x)) }
        let count = Double(z.count)
        switch loss {
        case .label: return log(z.reduce(0) { $0 + exp($1) }) - z[target]
        case .labels:
            return zip(z, values).reduce(0) {
                $0 - $1.1 * logSigmoid($1.0) - (1 - $1.1) * logSigmoid(-$1.0)
            } / count
        case .numbers: return zip(z, values).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / count
        case .pair: return -logSigmoid(z[0] - z[1] - values[0]) + centre * (z[0] + z[1]) * (z[0] + z[1])
        }
    }
}
