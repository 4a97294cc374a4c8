// Whether a GPU's matrix units, through the driver's cooperative matrices, compute what they should. New hardware paths of young
// drivers are wrong more often than others, and wrong sums in training are noticed late or never.

import VulkanCompute

extension Device {
    /// Two products, x·Wᵀ and dy·W, that no tile divides, against f64: with rows that would overflow or vanish as halves, and a
    /// weight beyond a half's range. False also where the device has no such units.
    package func matrixUnitsAreRight() throws(VulkanError) -> Bool {
        guard capabilities.canUseMatrixUnits, !isPlanning else { return false }
        for op in [Shader.Op.nt, .nn] {
            guard try isRight(op) else { return false }
        }
        return true
    }

    private func isRight(_ op: Shader.Op) throws(VulkanError) -> Bool {
        let (m, out, width) = (70, 76, 52)
        let (sum, columns) = op == .nt ? (width, out) : (out, width)
        var state: UInt64 = 1
        func next() -> Float {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(Int32(truncatingIfNeeded: state >> 32)) / Float(Int32.max)
        }
        var w = (0..<out * width).map { _ in next() }
        w[out * width / 2] = 2e5
        let sizes: [Float] = [1, 1e7, 1e-9, 0]
        let x = (0..<m * sum).map { next() * sizes[$0 / sum % 4] }

        let weight = try makeWeight(WeightLayout(.f32, rows: out, columns: width), label: "weight")
        let source = w.withUnsafeBytes { Array($0) }
        let uploaded = source.withUnsafeBytes { source -> VulkanError? in
            do throws(VulkanError) { try upload(source, into: weight) } catch { return error }
            return nil
        }
        if let uploaded { throw uploaded }
        let input = try makeTensor(x, [m, sum])
        let y = try makeTensor([Float](repeating: .nan, count: m * columns), [m, columns])
        let encoder = try CommandEncoder(self)
        encoder.tuning.family = Capabilities.matrixUnits
        if op == .nt {
            try encoder.matmul(into: y, input, weight: weight)
        } else {
            try encoder.matmulBackward(into: y, input, weight: weight)
        }
        try encoder.finish().run()
        let result = try download(y.slice, as: Float.self)

        for row in 0..<m {
            for column in 0..<columns {
                var (exact, size) = (0.0, 0.0)
                for k in 0..<sum {
                    let factor = op == .nt ? w[column * width + k] : w[k * width + column]
                    let product = Double(x[row * sum + k]) * Double(factor)
                    (exact, size) = (exact + product, size + abs(product))
                }
                // Two factors of 11 bits, rounded or cut.
                guard abs(Double(result[row * columns + column]) - exact) <= size / 500 else { return false }
            }
        }
        return true
    }
}
