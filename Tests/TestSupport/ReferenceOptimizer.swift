// AdamW with global gradient clipping in f64, as torch.optim.AdamW and torch.nn.utils.clip_grad_norm_ define them.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct ReferenceAdamW {
    package var parameters: [Double]
    package var m: [Double]
    package var v: [Double]
    private var step = 0
    private let beta1: Double, beta2: Double, epsilon: Double

    package init(_ parameters: [Double], beta1: Double, beta2: Double, epsilon: Double) {
        self.parameters = parameters
        m = [Double](repeating: 0, count: parameters.count)
        v = m
        (self.beta1, self.beta2, self.epsilon) = (beta1, beta2, epsilon)
    }

    /// Returns the norm of the gradients before clipping. A maximum of 0 means no clipping.
    package mutating func step(
        _ gradients: [Double], learningRate: Double, weightDecay: Double, maxGradientNorm: Double
    ) -> Double {
        step += 1
        let norm = gradients.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let clip = maxGradientNorm > 0 ? min(1, maxGradientNorm / (norm + 1e-6)) : 1
        let correction1 = 1 - pow(beta1, Double(step))
        let correction2 = 1 - pow(beta2, Double(step))
        for i in parameters.indices {
            let g = gradients[i] * clip
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g * g
            parameters[i] *= 1 - learningRate * weightDecay
            parameters[i] -= learningRate / correction1 * m[i] / ((v[i] / correction2).squareRoot() + epsilon)
        }
        return norm
    }
}
