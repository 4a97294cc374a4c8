// RMSNorm and its backward in f64: y = x·rstd·w, rstd = 1/√(mean(x²) + ε).

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

func rows(_ values: [Double], width: Int) -> [ArraySlice<Double>] {
    stride(from: 0, to: values.count, by: width).map { values[$0..<$0 + width] }
}
