// Products by the host: every set of instructions, any number of threads, and their place between dispatches. What they compute is
// MatmulTests', where the host is one of the runs.

import CHostProduct
import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct HostProductTests {
    private static let sets = Array(0..<Int(host_instruction_sets()))

    /// y = x·Wᵀ + plus, of more columns than a panel has and a sum of more than one part.
    private static func result(_ type: Shader.Weight, set: Int, threads: Int) throws -> (
        y: [Float], expected: [Double]
    ) {
        let (m, n, k) = (101, 76, 512)
        var random = RandomValues(seed: 3)
        let device = try TestDevices.main
        let reference = ReferenceWeight(type, rows: n, columns: k, random: &random)
        let weight = try device.makeWeight(WeightLayout(type, rows: n, columns: k), label: "weight")
        try reference.bytes.withUnsafeBytes { try device.upload($0, into: weight) }
        let (x, plus) = (random.normal(m * k), random.normal(m * n))
        var y = [Float](repeating: .nan, count: m * n)
        x.withUnsafeBufferPointer { x in
            plus.withUnsafeBufferPointer { plus in
                y.withUnsafeMutableBufferPointer { y in
                    var product = host_product()
                    (product.m, product.n, product.k) = (m, n, k)
                    (product.x, product.x_row, product.x_column) = (x.baseAddress, k, 1)
                    product.w.type = host_type(
                        HOST_F32.rawValue + UInt32(Shader.Weight.allCases.firstIndex(of: type) ?? 0))
                    product.w.transposed = true
                    product.w.values = weight.tiles.mapped.map { UnsafeRawPointer($0) }
                    product.w.scales = weight.scales.flatMap { $0.mapped.map { UnsafeRawPointer($0) } }
                    product.w.pitch = k
                    product.scale = 1
                    (product.y, product.plus, product.y_pitch) = (y.baseAddress, plus.baseAddress, n)
                    host_product_run(&product, Int32(set), Int32(threads))
                }
            }
        }
        let exact = Matrix(m, k, x) * reference.matrix.transposed + Matrix(m, n, plus)
        return (y, exact.values)
    }

    @Test(
        .enabled(if: (try? TestDevices.main.capabilities.sharesHostMemory) ?? false),
        arguments: Shader.Weight.ofLayers)
    func noBitDependsOnThreadsOrVectors(_ type: Shader.Weight) throws {
        var known: [Bool: [Float]] = [:]
        for set in Self.sets {
            for threads in [1, 2, 5] {
                let (y, expected) = try Self.result(type, set: set, threads: threads)
                let wrong = mismatch(y, expected, .float(roundings: 512))
                #expect(wrong == nil, "\(String(cString: host_set_name(Int32(set)))): \(wrong ?? "")")
                let same = known[host_set_fuses(Int32(set))] ?? y
                #expect(y == same, "set \(set), \(threads) threads")
                known[host_set_fuses(Int32(set))] = same
            }
        }
    }

    /// Device, host, host, device, and what was there before: a recording that runs twice.
    @Test(.enabled(if: (try? TestDevices.main.capabilities.sharesHostMemory) ?? false))
    func itHasItsPlaceInARecording() throws {
        let device = try TestDevices.main
        var random = RandomValues(seed: 4)
        let (a, b) = (Matrix(40, 24, random.normal(40 * 24)), Matrix(24, 40, random.normal(24 * 40)))
        let (x, w) = (try device.makeTensor(a.floats, [40, 24]), try device.makeTensor(b.floats, [24, 40]))
        let once = try device.makeTensor([40, 40], label: "once")
        let twice = try device.makeTensor([40, 40], label: "twice")
        let sum = try device.makeTensor([Float](repeating: 0, count: 1600), [40, 40])
        let encoder = try CommandEncoder(device, timed: true)
        encoder.tuning.family = Capabilities.hostProducts
        encoder.capabilities.leastHostFlops = 0
        try encoder.fill(once.slice)
        try encoder.matmul(.nn, addingTo: once, x, w)
        try encoder.matmul(.nn, into: twice, once, once)
        try encoder.add(into: sum, sum, twice)
        #expect(encoder.hostWorkCount == 2)
        let graph = try encoder.finish()
        try graph.run()
        try graph.run()
        let product = a * b
        let expected = 2 * (product * product)
        #expect(mismatch(try device.values(sum), expected.values, .float(roundings: 80, scale: 30)) == nil)
        #expect(try graph.timings().map(\.kernel).prefix(2) == ["host_product", "host_product"])
        #expect(device.instance.validationMessages.isEmpty)
    }

    /// Whoever comes second does its own work alone.
    @Test(.enabled(if: (try? TestDevices.main.capabilities.sharesHostMemory) ?? false))
    func manyAtOnce() async throws {
        let expected = try Self.result(.q8_0, set: 0, threads: 1).y
        try await withThrowingTaskGroup(of: [Float].self) { group in
            for _ in 0..<8 { group.addTask { try Self.result(.q8_0, set: 0, threads: 3).y } }
            for try await y in group { #expect(y == expected) }
        }
    }
}
