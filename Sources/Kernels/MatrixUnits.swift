// Whether a GPU's matrix units, through the driver's cooperative matrices, compute what they should. New hardware paths of young
// drivers are wrong more often than others, and wrong sums in training are noticed late or never.

import VulkanCompute

extension Device {
    /// Products x·Wᵀ and dy·W of f32 and Q8_0 weights by the rule's tile and by every one that may be chosen, which none divides, against
    /// f64: with rows that would overflow or vanish as halves, and a weight beyond a half's range; and products of rows that are too few
    /// for the units. False also where the device has no such units, or its driver fails with such a kernel.
    package func matrixUnitsAreRight() throws(VulkanError) -> Bool {
        guard capabilities.canUseMatrixUnits, !isPlanning else { return false }
        let tiles = KernelSelection.candidates(.shared, capabilities, onMatrixUnits: true)
        for check in [MatrixUnitCheck(.f32), MatrixUnitCheck(.q8_0)] {
            for op in [Shader.Op.nt, .nn] {
                for tile in [nil] + tiles.map(Optional.some) {
                    for rows in check.type == .f32 ? [130, 20] : [130] {
                        do throws(VulkanError) {
                            guard try check.passes(op, tile, rows: rows, on: self) else { return false }
                        } catch {
                            if error.kind == .deviceLost { throw error }
                            return false
                        }
                    }
                }
            }
        }
        return true
    }
}

private struct MatrixUnitCheck {
    let type: Shader.Weight
    private static let (mostRows, out, width) = (130, 140, 96)
    private static let sizes: [Float] = [1, 1e7, 1e-9, 0]
    private let layout: WeightLayout
    private let bytes: [UInt8]
    private let w: [Float]
    private let x: [Float]

    init(_ type: Shader.Weight) {
        self.type = type
        layout = WeightLayout(type, rows: Self.out, columns: Self.width)
        var state: UInt64 = 1
        func next() -> Float {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(Int32(truncatingIfNeeded: state >> 32)) / Float(Int32.max)
        }
        x = (0..<Self.mostRows * Self.out).map { _ in next() }
        let count = Self.out * Self.width
        if type == .f32 {
            var w = (0..<count).map { _ in next() }
            w[count / 2] = 2e5
            (self.w, bytes) = (w, w.withUnsafeBytes { Array($0) })
        } else {
            // Blocks of 32: 1/128 as a half, then the quants.
            let quants = (0..<count).map { _ in Int8(clamping: Int(next() * 127)) }
            w = quants.map { Float($0) / 128 }
            bytes = stride(from: 0, to: count, by: 32).flatMap { first in
                [0x00, 0x20] + quants[first..<first + 32].map { UInt8(bitPattern: $0) }
            }
        }
    }

    func passes(_ op: Shader.Op, _ tile: Tuning.Constants?, rows: Int, on device: Device)
        throws(VulkanError) -> Bool
    {
        let (sum, columns) = op == .nt ? (Self.width, Self.out) : (Self.out, Self.width)
        let x = (0..<rows * sum).map { self.x[$0] * Self.sizes[$0 / sum % 4] }
        let weight = try device.makeWeight(layout, label: "weight")
        let failure = bytes.withUnsafeBytes { bytes -> VulkanError? in
            do throws(VulkanError) { try device.upload(bytes, into: weight) } catch { return error }
            return nil
        }
        if let failure { throw failure }
        let input = try device.makeTensor(x, [rows, sum])
        let dirty = [Float](repeating: .nan, count: rows * columns)
        let y = try device.makeTensor(dirty, [rows, columns])
        let encoder = try CommandEncoder(device)
        encoder.tuning.family = Capabilities.matrixUnits
        encoder.tuning.tiles[MatmulProduct.tuningName(op, layout, rows: rows)] = tile
        guard encoder.usesMatrixUnits else { return false }
        if op == .nt {
            try encoder.matmul(into: y, input, weight: weight)
        } else {
            try encoder.matmulBackward(into: y, input, weight: weight)
        }
        try encoder.finish().run()
        return isNear(try device.download(y.slice, as: Float.self), x, op, sum: sum, columns: columns)
    }

    /// Two factors of 11 bits, rounded or cut.
    private func isNear(_ result: [Float], _ x: [Float], _ op: Shader.Op, sum: Int, columns: Int) -> Bool {
        result.indices.allSatisfy { index in
            let (row, column) = (index / columns, index % columns)
            var (exact, size) = (0.0, 0.0)
            for k in 0..<sum {
                let factor = op == .nt ? w[column * Self.width + k] : w[k * Self.width + column]
                let product = Double(x[row * sum + k]) * Double(factor)
                (exact, size) = (exact + product, size + abs(product))
            }
            return abs(Double(result[index]) - exact) <= size / 500
        }
    }
}
