// Products on matrix units: factors are halves, so results are near, and no number is too large or too small.
// Only devices with cooperative matrices run these; docs/testing.md says which software driver does.

import Kernels
import TestSupport
import Testing
import VulkanCompute

private let hasMatrixUnits = (try? TestDevices.main.capabilities.canUseMatrixUnits) ?? false

@Suite(.enabled(if: hasMatrixUnits, "the device has no cooperative matrices"))
struct MatrixUnitTests {
    @Test(arguments: Shader.Weight.ofLayers, [Shader.Op.nt, .nn])
    func everyWeight(_ type: Shader.Weight, _ op: Shader.Op) throws {
        try Self.check(
            try TestDevices.main, type, op, LinearCase(33, 132, 160, rank: 8, adds: true), size: 1)
    }

    @Test(arguments: [
        LinearCase(9, 64, 96), LinearCase(64, 64, 64), LinearCase(130, 260, 288, rank: 24, adds: true),
    ])
    func everyShape(_ shape: LinearCase) throws {
        for device in [try TestDevices.main, try TestDevices.smallLimits] {
            for op in [Shader.Op.nt, .nn] { try Self.check(device, .q8_0, op, shape, size: 1) }
        }
    }

    /// Inputs far beyond a half's range, and gradients that would be zero as halves.
    @Test(arguments: [Float(1e-20), 1e-8, 1e6, 1e20], [Shader.Op.nt, .nn])
    func sizes(_ size: Float, _ op: Shader.Op) throws {
        try Self.check(try TestDevices.main, .q8_0, op, LinearCase(33, 132, 160), size: size)
    }

    @Test func everyTile() throws {
        let device = try TestDevices.main
        var capabilities = device.capabilities
        capabilities.tuning.family = Capabilities.matrixUnits
        let product = TunedProduct(.nt, WeightLayout(.q4_1, rows: 260, columns: 96), rows: 130)
        let tiles = product.alternatives(capabilities, family: .shared)
        #expect(!tiles.isEmpty)
        for tile in tiles {
            try Self.check(
                device, .q4_1, .nt, LinearCase(130, 260, 96, rank: 8), size: 1, tile: tile)
        }
    }

    /// Weights beyond 65504 make a tile start again.
    @Test func largeWeights() throws {
        #expect(try TestDevices.main.matrixUnitsAreRight())
    }

    @Test func notANumberStays() throws {
        let device = try TestDevices.main
        var random = RandomValues(seed: 8)
        let reference = ReferenceWeight(.f16, rows: 64, columns: 64, random: &random)
        let weight = try device.makeWeight(WeightLayout(.f16, rows: 64, columns: 64), label: "weight")
        try reference.bytes.withUnsafeBytes { try device.upload($0, into: weight) }
        var x = random.normal(64 * 64)
        x[5] = .nan
        x[64 + 5] = .infinity
        let run = FamilyRun(onMatrixUnitsOf: device)
        let y = try run.output([64, 64])
        let input = try run.input(x, [64, 64])
        try run.run { try $0.matmul(into: y, input, weight: weight) }
        let values = try run.values(y)
        #expect(values[..<128].allSatisfy { !$0.isFinite } && values[128...].allSatisfy(\.isFinite))
    }

    static func check(
        _ device: Device, _ type: Shader.Weight, _ op: Shader.Op, _ shape: LinearCase, size: Float,
        tile: Tuning.Constants? = nil
    ) throws {
        let run = FamilyRun(onMatrixUnitsOf: device)
        var random = RandomValues(seed: UInt64(shape.m))
        let shape = shape.widened(to: WeightLayout.columnMultiple(type))
        let reference = ReferenceWeight(type, rows: shape.out, columns: shape.in, random: &random)
        let layout = WeightLayout(type, rows: shape.out, columns: shape.in)
        let weight = try device.makeWeight(layout, label: "weight")
        try reference.bytes.withUnsafeBytes { try device.upload($0, into: weight) }
        let w = op == .nt ? reference.matrix.transposed : reference.matrix
        let x = Matrix(shape.m, w.rows, random.normal(shape.m * w.rows).map { $0 * size })
        var expected = x * w
        // Both factors are rounded to 11 bits, sums of f32 are near that.
        var bounds =
            Matrix(x.rows, x.columns, x.values.map(abs)) * Matrix(w.rows, w.columns, w.values.map(abs))
        bounds.values = bounds.values.map { $0 / 1000 }
        var lora: LoRATerm?
        if shape.rank > 0 {
            let h = Matrix(shape.m, shape.rank, random.normal(shape.m * shape.rank))
            let adapter = Matrix(shape.rank, w.columns, random.normal(shape.rank * w.columns))
            expected = expected + h * adapter
            lora = LoRATerm(
                h: try run.input(h), matrix: try run.input(op == .nt ? adapter.transposed : adapter))
        }
        let count = shape.m * w.columns
        let old = shape.adds ? random.normal(count) : [Float](repeating: .nan, count: count)
        if shape.adds { expected = expected + Matrix(shape.m, w.columns, old) }

        let y = try run.output(old, [shape.m, w.columns])
        let input = try run.input(x)
        try run.run { encoder in
            if let tile { encoder.tuning.tiles[TunedProduct(op, layout, rows: shape.m).name] = tile }
            switch (op, shape.adds) {
            case (.nt, false): try encoder.matmul(into: y, input, weight: weight, lora: lora)
            case (.nt, true): try encoder.matmul(addingTo: y, input, weight: weight, lora: lora)
            case (_, false): try encoder.matmulBackward(into: y, input, weight: weight, lora: lora)
            case (_, true): try encoder.matmulBackward(addingTo: y, input, weight: weight, lora: lora)
            }
        }
        let values = try run.values(y)
        let wrong = values.indices.filter {
            !(abs(Double(values[$0]) - expected.values[$0]) <= bounds.values[$0] + 1e-5 * Double(size))
        }
        #expect(
            wrong.isEmpty,
            "\(op) \(type) \(shape.testDescription): \(wrong.count) of \(count) are off, first \(wrong.first.map { "\($0): \(values[$0]), not \(expected.values[$0])" } ?? "")"
        )
    }
}
