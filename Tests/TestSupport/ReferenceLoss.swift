// Cross-entropy of rows of logits in f64: loss = (log Σ exp(x − max) − (x[label] − max))·weight, dx = (softmax − onehot)·weight·scale.
// With a cap c, of c·tanh(x/c). A label outside [0, columns) is ignored; columns from `columns` to the row's width are padding. And the readout of a ReLU layer.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package enum ReferenceLoss {
    package static func crossEntropy(
        _ logits: [Double], width: Int, columns: Int, labels: [Int32], weights: [Double]? = nil,
        scale: Double, cap: Double? = nil, smoothing: Double = 0, square: Double = 0
    ) -> (losses: [Double], correct: [UInt32], gradient: [Double]) {
        var (losses, correct, gradient): ([Double], [UInt32], [Double]) = ([], [], [])
        for (index, (row, label)) in zip(rows(logits, width: width), labels).enumerated() {
            let weight = weights?[index] ?? 1
            let scale = scale * weight
            var dx = [Double](repeating: 0, count: width)
            guard label >= 0, Int(label) < columns else {
                losses.append(0)
                correct.append(0)
                gradient += dx
                continue
            }
            let x = row.prefix(columns).map { z in cap.map { $0 * tanh(z / $0) } ?? z }
            let maximum = x.reduce(-.infinity, max)
            let sum = x.reduce(0) { $0 + exp($1 - maximum) }
            let logZ = log(sum) + maximum
            // From the largest on, so that large logits cancel.
            let mean = x.reduce(0) { $0 + ($1 - maximum) } / Double(columns)
            losses.append(
                (log(sum) - (1 - smoothing) * (x[Int(label)] - maximum) - smoothing * mean
                    + (square == 0 ? 0 : square * logZ * logZ)) * weight)
            correct.append(x.firstIndex(of: maximum) == Int(label) ? 1 : 0)
            for i in 0..<columns {
                dx[i] =
                    (exp(x[i] - maximum) / sum * (1 + 2 * square * logZ) - smoothing / Double(columns))
                    * scale
            }
            dx[Int(label)] -= (1 - smoothing) * scale
            if let cap { for i in 0..<columns { dx[i] *= 1 - x[i] * x[i] / (cap * cap) } }
            gradient += dx
        }
        return (losses, correct, gradient)
    }

    /// f = w·relu(z), ½(f − target)², (f − target)·scale·w ⊙ [z > 0]
    package static func reluReadout(
        _ z: [Double], weight: [Double], targets: [Double], scale: Double
    ) -> (outputs: [Double], losses: [Double], gradient: [Double]) {
        let matrix = rows(z, width: weight.count)
        let outputs = matrix.map { row in zip(row, weight).reduce(0) { $0 + max(0, $1.0) * $1.1 } }
        let errors = zip(outputs, targets).map { $0 - $1 }
        let gradient = zip(matrix, errors).flatMap { row, error in
            zip(row, weight).map { z, w in z > 0 ? error * scale * w : 0 }
        }
        return (outputs, errors.map { 0.5 * $0 * $0 }, gradient)
    }
}
