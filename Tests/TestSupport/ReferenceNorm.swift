// RMSNorm and LayerNorm with their backwards in f64: y = x·rstd·w, rstd = 1/√(mean(x²) + ε), and
// y = (x − mean)·rstd·w + b, rstd = 1/√(var(x) + ε).

package enum ReferenceNorm {
    package static func forward(
        _ x: [Double], weight: [Double], epsilon: Double
    ) -> (y: [Double], rstd: [Double]) {
        var (y, rstd): ([Double], [Double]) = ([], [])
        for row in rows(x, width: weight.count) {
            let meanSquare = row.reduce(0) { $0 + $1 * $1 } / Double(weight.count)
            let scale = 1 / (meanSquare + epsilon).squareRoot()
            rstd.append(scale)
            y += zip(row, weight).map { $0 * scale * $1 }
        }
        return (y, rstd)
    }

    /// dx = rstd·(w ⊙ dy) − x·rstd³/C·Σ(dy ⊙ w ⊙ x)
    package static func backward(
        _ dy: [Double], x: [Double], weight: [Double], rstd: [Double]
    ) -> [Double] {
        let width = weight.count
        return zip(zip(rows(dy, width: width), rows(x, width: width)), rstd).flatMap { rows, rstd in
            let (dy, x) = (Array(rows.0), Array(rows.1))
            let product = (0..<width).reduce(0) { $0 + dy[$1] * weight[$1] * x[$1] }
            let pull = product * rstd * rstd * rstd / Double(width)
            return (0..<width).map { rstd * weight[$0] * dy[$0] - x[$0] * pull }
        }
    }
}

package enum ReferenceLayerNorm {
    package static func forward(
        _ x: [Double], weight: [Double], bias: [Double], epsilon: Double
    ) -> (y: [Double], mean: [Double], rstd: [Double]) {
        let width = weight.count
        let means = rows(x, width: width).map { $0.reduce(0, +) / Double(width) }
        let centred = zip(rows(x, width: width), means).flatMap { row, mean in row.map { $0 - mean } }
        let (y, rstd) = ReferenceNorm.forward(centred, weight: weight, epsilon: epsilon)
        return (y.indices.map { y[$0] + bias[$0 % width] }, means, rstd)
    }

    /// With g = w ⊙ dy and x̂ = (x − mean)·rstd: dx = rstd·(g − mean(g) − x̂·mean(g ⊙ x̂))
    package static func backward(
        _ dy: [Double], x: [Double], weight: [Double], mean: [Double], rstd: [Double]
    ) -> [Double] {
        let width = weight.count
        return mean.indices.flatMap { row in
            let at = row * width
            let g = (0..<width).map { weight[$0] * dy[at + $0] }
            let normed = (0..<width).map { (x[at + $0] - mean[row]) * rstd[row] }
            let shift = g.reduce(0, +) / Double(width)
            let pull = zip(g, normed).reduce(0) { $0 + $1.0 * $1.1 } / Double(width)
            return (0..<width).map { rstd[row] * (g[$0] - shift - normed[$0] * pull) }
        }
    }
}

func rows(_ values: [Double], width: Int) -> [ArraySlice<Double>] {
    stride(from: 0, to: values.count, by: width).map { values[$0..<$0 + width] }
}
