// Optimizers in f64, each on one matrix (a vector is a matrix of one row), as their papers and PyTorch have them.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A matrix (rows, columns) of a step: its parameters, the clipped gradient, and the learning rate of each number.
package struct ReferenceStep {
    package var parameters: [Double]
    package var gradients: [Double]
    package var rates: [Double]
    package var weightDecay: Double
    /// From 1.
    package var step: Int

    package init(
        _ parameters: [Double], gradients: [Double], rates: [Double], weightDecay: Double, step: Int
    ) {
        (self.parameters, self.gradients, self.rates) = (parameters, gradients, rates)
        (self.weightDecay, self.step) = (weightDecay, step)
    }

    mutating func move(by update: [Double]) {
        for i in parameters.indices {
            parameters[i] -= rates[i] * weightDecay * parameters[i] + rates[i] * update[i]
        }
    }
}

/// A vector has one column.
package struct ReferenceMatrix {
    package var rows: Int
    package var columns: Int
    package var isVector: Bool
    /// From one row to the next in the device's memory.
    package var pitch: Int

    package init(rows: Int, columns: Int, isVector: Bool, pitch: Int) {
        (self.rows, self.columns, self.isVector, self.pitch) = (rows, columns, isVector, pitch)
    }
}

package protocol ReferenceOptimizer {
    init(_ matrix: ReferenceMatrix, options: [String: Double])
    mutating func apply(_ step: inout ReferenceStep)
}

package enum ReferenceOptimizers {
    package static var all: [String: any ReferenceOptimizer.Type] {
        [
            "adamw": ReferenceAdam.self, "lion": ReferenceLion.self, "sgd": ReferenceSGD.self,
            "adafactor": ReferenceAdafactor.self, "muon": ReferenceMuon.self,
            "adamw8bit": ReferenceAdam8bit.self,
        ]
    }
}

private struct ReferenceAdam: ReferenceOptimizer {
    private var m: [Double], v: [Double]
    private let beta1: Double, beta2: Double, epsilon: Double

    init(_ matrix: ReferenceMatrix, options: [String: Double]) {
        m = .init(repeating: 0, count: matrix.rows * matrix.columns)
        v = m
        (beta1, beta2, epsilon) = (
            options["beta1"] ?? 0.9, options["beta2"] ?? 0.999, options["epsilon"] ?? 1e-8
        )
    }

    mutating func apply(_ step: inout ReferenceStep) {
        let correction1 = 1 - pow(beta1, Double(step.step))
        let correction2 = 1 - pow(beta2, Double(step.step))
        step.move(
            by: step.gradients.enumerated().map { i, g in
                m[i] = beta1 * m[i] + (1 - beta1) * g
                v[i] = beta2 * v[i] + (1 - beta2) * g * g
                return m[i] / correction1 / ((v[i] / correction2).squareRoot() + epsilon)
            })
    }
}

private struct ReferenceLion: ReferenceOptimizer {
    private var m: [Double]
    private let beta1: Double, beta2: Double

    init(_ matrix: ReferenceMatrix, options: [String: Double]) {
        m = .init(repeating: 0, count: matrix.rows * matrix.columns)
        (beta1, beta2) = (options["beta1"] ?? 0.9, options["beta2"] ?? 0.99)
    }

    mutating func apply(_ step: inout ReferenceStep) {
        step.move(
            by: step.gradients.enumerated().map { i, g in
                let mixed = beta1 * m[i] + (1 - beta1) * g
                m[i] = beta2 * m[i] + (1 - beta2) * g
                return mixed == 0 ? 0 : mixed > 0 ? 1 : -1
            })
    }
}

private struct ReferenceSGD: ReferenceOptimizer {
    private var velocity: [Double]
    private let momentum: Double, looksAhead: Bool

    init(_ matrix: ReferenceMatrix, options: [String: Double]) {
        velocity = .init(repeating: 0, count: matrix.rows * matrix.columns)
        (momentum, looksAhead) = (options["momentum"] ?? 0.9, options["nesterov"] == 1)
    }

    mutating func apply(_ step: inout ReferenceStep) {
        step.move(
            by: step.gradients.enumerated().map { i, g in
                velocity[i] = momentum * velocity[i] + g
                return looksAhead ? g + momentum * velocity[i] : velocity[i]
            })
    }
}

private struct ReferenceAdafactor: ReferenceOptimizer {
    private let matrix: ReferenceMatrix
    private var rows: [Double], columns: [Double]
    private let decay: Double, limit: Double, epsilon: Double

    init(_ matrix: ReferenceMatrix, options: [String: Double]) {
        self.matrix = matrix
        rows = .init(repeating: 0, count: matrix.isVector ? matrix.rows * matrix.columns : matrix.rows)
        columns = .init(repeating: 0, count: matrix.columns)
        (decay, limit, epsilon) = (
            options["decay"] ?? 0.8, options["limit"] ?? 1, options["epsilon"] ?? 1e-30
        )
    }

    mutating func apply(_ step: inout ReferenceStep) {
        let kept = 1 - pow(Double(step.step), -decay)
        let squares = step.gradients.map { $0 * $0 + epsilon }
        var update: [Double]
        if matrix.isVector {
            for i in rows.indices { rows[i] = kept * rows[i] + (1 - kept) * squares[i] }
            update = step.gradients.enumerated().map { $1 / rows[$0].squareRoot() }
        } else {
            let (height, width) = (matrix.rows, matrix.columns)
            for r in 0..<height {
                let mean = squares[r * width..<(r + 1) * width].reduce(0, +) / Double(width)
                rows[r] = kept * rows[r] + (1 - kept) * mean
            }
            for c in 0..<width {
                let mean = (0..<height).reduce(0) { $0 + squares[$1 * width + c] } / Double(height)
                columns[c] = kept * columns[c] + (1 - kept) * mean
            }
            let mean = rows.reduce(0, +) / Double(height)
            update = step.gradients.enumerated().map { i, g in
                g / (rows[i / width] / mean * columns[i % width]).squareRoot()
            }
        }
        let size = (update.reduce(0) { $0 + $1 * $1 } / Double(update.count)).squareRoot()
        update = update.map { $0 / max(1, size / limit) }
        step.move(by: update)
    }
}

/// By torch.optim.Muon, whose products are of f64 here and of bfloat16 there.
private struct ReferenceMuon: ReferenceOptimizer {
    private let matrix: ReferenceMatrix
    private var velocity: [Double]
    private var adam: ReferenceAdam
    private let momentum: Double, looksAhead: Bool, rms: Double

    init(_ matrix: ReferenceMatrix, options: [String: Double]) {
        self.matrix = matrix
        velocity = .init(repeating: 0, count: matrix.rows * matrix.columns)
        adam = ReferenceAdam(matrix, options: options)
        (momentum, looksAhead, rms) = (
            options["momentum"] ?? 0.95, options["nesterov"] != 0, options["rms"] ?? 0.2
        )
    }

    mutating func apply(_ step: inout ReferenceStep) {
        guard !matrix.isVector else { return adam.apply(&step) }
        var x = step.gradients.enumerated().map { i, g in
            velocity[i] = momentum * velocity[i] + (1 - momentum) * g
            return looksAhead ? (1 - momentum) * g + momentum * velocity[i] : velocity[i]
        }
        let norm = x.reduce(0) { $0 + $1 * $1 }.squareRoot()
        x = x.map { $0 / max(norm, 1e-7) }
        let isTall = matrix.rows > matrix.columns
        let (height, width) =
            isTall ? (matrix.columns, matrix.rows) : (matrix.rows, matrix.columns)
        if isTall { x = transposed(x, width, height) }
        for _ in 0..<5 {
            let gram = product(x, transposed(x, height, width), height, width, height)
            let square = product(gram, gram, height, height, height)
            let polynomial = zip(gram, square).map { -4.7750 * $0 + 2.0315 * $1 }
            x = zip(x, product(polynomial, x, height, height, width)).map { 3.4445 * $0 + $1 }
        }
        if isTall { x = transposed(x, height, width) }
        let (rows, columns) = (Double(matrix.rows), Double(matrix.columns))
        let scale = rms > 0 ? rms * max(rows, columns).squareRoot() : max(1, rows / columns).squareRoot()
        step.move(by: x.map { $0 * scale })
    }

    private func transposed(_ a: [Double], _ rows: Int, _ columns: Int) -> [Double] {
        (0..<rows * columns).map { a[$0 % rows * columns + $0 / rows] }
    }

    private func product(_ a: [Double], _ b: [Double], _ m: Int, _ k: Int, _ n: Int) -> [Double] {
        var c = [Double](repeating: 0, count: m * n)
        for i in 0..<m {
            for j in 0..<k where a[i * k + j] != 0 {
                for l in 0..<n { c[i * n + l] += a[i * k + j] * b[j * n + l] }
            }
        }
        return c
    }
}

/// Averages go through a table of 256 values after each step, as bitsandbytes makes it.
private struct ReferenceAdam8bit: ReferenceOptimizer {
    private let matrix: ReferenceMatrix
    private var m: [Double], v: [Double]
    private let beta1: Double, beta2: Double, epsilon: Double

    init(_ matrix: ReferenceMatrix, options: [String: Double]) {
        self.matrix = matrix
        m = .init(repeating: 0, count: matrix.rows * matrix.columns)
        v = m
        (beta1, beta2, epsilon) = (
            options["beta1"] ?? 0.9, options["beta2"] ?? 0.999, options["epsilon"] ?? 1e-8
        )
    }

    /// Per decade 10^(i − 6), the middles of 2^i (of each sign) or 2^(i + 1) equal parts of 0.1 to 1; and 0 and 1.
    private static func table(signed: Bool) -> [Double] {
        var table = [0.0, 1.0]
        for decade in 0..<7 {
            let items = 1 << (signed ? decade : decade + 1)
            for item in 0..<items {
                let value = pow(10, Double(decade - 6)) * (0.1 + 0.9 * (Double(item) + 0.5) / Double(items))
                table.append(value)
                if signed { table.append(-value) }
            }
        }
        precondition(table.count == 256)
        return table.sorted()
    }
    private static let (signed, unsigned) = (table(signed: true), table(signed: false))

    private func rounded(_ values: [Double], _ table: [Double]) -> [Double] {
        var blocks: [Int: Double] = [:]
        func block(_ i: Int) -> Int { (i / matrix.columns * matrix.pitch + i % matrix.columns) / 256 }
        for (i, value) in values.enumerated() { blocks[block(i)] = max(blocks[block(i)] ?? 0, abs(value)) }
        return values.enumerated().map { i, value in
            guard let scale = blocks[block(i)], scale > 0 else { return 0 }
            let part = value / scale
            var (low, high) = (0, table.count - 1)  // the last that is no more than it, and the next
            while high - low > 1 {
                let middle = (low + high) / 2
                if table[middle] <= part { low = middle } else { high = middle }
            }
            return scale * (abs(table[high] - part) < abs(table[low] - part) ? table[high] : table[low])
        }
    }

    mutating func apply(_ step: inout ReferenceStep) {
        let correction1 = 1 - pow(beta1, Double(step.step))
        let correction2 = 1 - pow(beta2, Double(step.step))
        for (i, g) in step.gradients.enumerated() {
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g * g
        }
        step.move(
            by: m.indices.map { m[$0] / correction1 / ((v[$0] / correction2).squareRoot() + epsilon) })
        m = rounded(m, Self.signed)
        v = rounded(v, Self.unsigned)
    }
}
