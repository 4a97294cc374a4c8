// What may be chosen by measuring: every tile computes the same bits, the tuner picks among them, and a file brings it back.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct TunerTests {
    /// Ragged in every direction, with an adapter.
    @Test(arguments: try FamilyRun.ownLimits())
    func everyTileGivesTheSameBits(_ run: FamilyRun) throws {
        var random = RandomValues(seed: 3)
        let (m, out, width, rank) = (130, 260, 96, 8)
        let layout = WeightLayout(.q4_1, rows: out, columns: width)
        let reference = ReferenceWeight(.q4_1, rows: out, columns: width, random: &random)
        let weight = try run.device.makeWeight(layout, label: "weight")
        try reference.bytes.withUnsafeBytes { try run.device.upload($0, into: weight) }
        for op in [Shader.Op.nt, .nn] {
            let (sum, columns) = op == .nt ? (width, out) : (out, width)
            let x = try run.input(random.normal(m * sum), [m, sum])
            let h = try run.input(random.normal(m * rank), [m, rank])
            let adapter = try run.input(
                random.normal(columns * rank), op == .nt ? [out, rank] : [rank, width])
            func product(_ tuning: Tuning) throws -> [Float] {
                let y = try run.output([m, columns])
                try run.run { encoder in
                    encoder.tuning = tuning
                    let lora = LoRATerm(h: h, matrix: adapter)
                    if op == .nt {
                        try encoder.matmul(into: y, x, weight: weight, lora: lora)
                    } else {
                        try encoder.matmulBackward(into: y, x, weight: weight, lora: lora)
                    }
                }
                return try run.values(y)
            }
            let tuned = TunedProduct(op, layout, rows: m)
            let alternatives = tuned.alternatives(run.device.capabilities, family: run.family)
            #expect(alternatives.count >= 2)
            let ruled = try product(Tuning())
            for tile in alternatives {
                var tuning = Tuning()
                tuning.tiles[tuned.name] = tile
                #expect(try product(tuning) == ruled, "\(op) \(tile)")
            }
            // What no tuner wrote is not used.
            var damaged = Tuning()
            damaged.tiles[tuned.name] = ["ROWS": 7, "GROUPS": 0, "TILE_M": 3]
            #expect(try product(damaged) == ruled)
        }
    }

    /// A software driver that fails in texel kernels of 16 lanes gets others.
    @Test func texelsOfSixteenLanesNeedAMesaThatCan() throws {
        var capabilities = try TestDevices.main.capabilities
        (capabilities.type, capabilities.subgroupShuffle, capabilities.subgroupArithmetic) = (
            .cpu, true, true
        )
        (capabilities.texelBuffers, capabilities.int64) = (true, true)
        func supportsTexels(_ driver: String, lanes: Int) -> Bool {
            (capabilities.driver, capabilities.subgroupSize) = (driver, lanes)
            return capabilities.supports(.texel)
        }
        #expect(supportsTexels("llvmpipe Mesa 22.3.6 (LLVM 15.0.6)", lanes: 16))
        #expect(supportsTexels("llvmpipe Mesa 25.0.7-2+deb13u1 (LLVM 19.1.7)", lanes: 16))
        #expect(supportsTexels("llvmpipe Mesa 26.1.6-1 (LLVM 21.1.8)", lanes: 8))
        #expect(!supportsTexels("llvmpipe Mesa 26.1.6-1 (LLVM 21.1.8)", lanes: 16))
        #expect(supportsTexels("another driver", lanes: 16))
    }

    @Test func theTunerChoosesWhatTheDeviceCanRun() throws {
        let device = try TestDevices.main
        let products = [Shader.Op.nt, .nn].map {
            TunedProduct($0, WeightLayout(.q8_0, rows: 128, columns: 64), rows: 32)
        }
        var findings: [Tuner.Finding] = []
        let found = try Tuner(device, products).run { finding in
            findings.append(finding)
            return true
        }
        let tuning = try #require(found)
        #expect(findings.map(\.name) == ["nt q8_0 32x128x64", "nn q8_0 32x128x64"])
        #expect(findings.allSatisfy { $0.best >= $0.ruled && $0.ruled > 0 })
        let family = try #require(tuning.family.flatMap(Shader.Family.init))
        #expect(device.capabilities.supports(family) && tuning.sumsSteps != nil)
        for (product, finding) in zip(products, findings) {
            #expect(tuning.tiles[product.name] == finding.tile)
        }
        #expect(device.instance.validationMessages.isEmpty)
    }
}
