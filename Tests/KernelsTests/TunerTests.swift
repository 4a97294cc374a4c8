// What may be chosen by measuring: every tile computes the same bits, the tuner picks among them, and a file brings it back.

import Foundation
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

    /// On any machine, since planning asks no driver: whatever the file holds for products of any number of rows, each kernel
    /// gets a tile of its own kind, which its workgroup covers.
    @Test(arguments: [9, 16, 17, 20, 31, 32, 33, 64, 130])
    func tilesOfMatrixUnitsStayThere(rows: Int) throws {
        var capabilities = Capabilities.least
        (capabilities.subgroupSize, capabilities.subgroupArithmetic) = (32, true)
        (capabilities.maxWorkgroupInvocations, capabilities.maxWorkgroupSize) = (1024, 1024)
        capabilities.maxSharedMemory = 48 << 10
        capabilities.cooperativeMatrix = CooperativeMatrix(m: 16, n: 16, k: 16, pinsSubgroups: true)
        capabilities.tuning.family = Capabilities.matrixUnits
        try #require(capabilities.usesMatrixUnits)
        let layout = WeightLayout(.q8_0, rows: 4096, columns: 96)
        let device = Device(planning: capabilities)
        let weight = try device.makeWeight(layout, label: "weight")
        for op in [Shader.Op.nt, .nn] {
            let product = TunedProduct(op, layout, rows: rows)
            // Those of 32 and of fewer rows share a name.
            let tiles =
                product.alternatives(capabilities, family: .shared)
                + TunedProduct(op, layout, rows: 32).alternatives(capabilities, family: .shared)
                + TunedProduct(op, layout, rows: 16).alternatives(capabilities, family: .shared)
            for tile in [nil] + tiles.map(Optional.some) {
                let encoder = CommandEncoder(planningFor: capabilities)
                encoder.tuning.tiles[product.name] = tile
                let (wide, narrow) = (
                    try device.makeTensor([rows, 4096], label: "wide"),
                    try device.makeTensor([rows, 96], label: "narrow")
                )
                if op == .nt {
                    try encoder.matmul(into: wide, narrow, weight: weight)
                } else {
                    try encoder.matmulBackward(into: narrow, wide, weight: weight)
                }
                for use in encoder.launches.map(\.pipeline)
                where use.shader.name != Shader.sumParts().name {
                    let constants = use.specialization
                    let (m, n) = (constants["TILE_M"] ?? 0, constants["TILE_N"] ?? 0)
                    #expect(use.shader.name.contains("ooperative") == (rows >= 32))
                    if rows >= 32 {
                        #expect(constants["WAVES_M"].map { m % ($0 * 16) == 0 } == true)
                        #expect(constants["WAVES_N"].map { n % ($0 * 16) == 0 } == true)
                        #expect(tile == nil || tile == ["TILE_M": m, "TILE_N": n] || tile?.count == 5)
                    } else {
                        let blocks = constants["BLOCK_M"].flatMap { m / $0 * n / (constants["BLOCK_N"] ?? 1) }
                        #expect(constants["LANES"] == blocks && m * n > 0)
                    }
                }
            }
        }
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
        let family = try #require(tuning.family)
        #expect(device.capabilities.familyNames.contains(family) && tuning.sumsSteps != nil)
        // Products so small are the device's own, whoever has the large ones.
        let others = [Capabilities.hostProducts, Capabilities.matrixUnits]
        #expect(others.contains(family) || !device.capabilities.usesHostProducts)
        for (product, finding) in zip(products, findings) {
            #expect(tuning.tiles[product.name] == finding.tile ?? Tuning.ruled)
        }
        #expect(device.instance.validationMessages.isEmpty)
    }

    /// What was measured for one model stays when another is: a device forgets nothing but by another family.
    @Test func aSecondModelAddsToWhatIsKnown() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/loravk-tuner-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var options = DebugOptions.environment
        options.cacheFolder = folder
        func open() throws -> Device { try Device.open(instance: Instance(options: options)) }
        func products(rows: Int) -> [TunedProduct] {
            [TunedProduct(.nt, WeightLayout(.f32, rows: 96, columns: 64), rows: rows)]
        }
        let first = try open()
        var tuning = try #require(try Tuner(first, products(rows: 16)).run())
        // As if another tile than the rule's had been the fastest.
        tuning.tiles["nt f32 16x96x64"] = ["TILE_M": 1]
        try #require(tuning.save(for: first) != nil)

        let second = try open()
        let both = Tuner(second, products(rows: 16) + products(rows: 32))
        #expect(!both.unknown.isEmpty)
        var measured: [String] = []
        let found = try both.unknown.run { finding in
            measured.append(finding.name)
            return true
        }
        #expect(measured == ["nt f32 32x96x64"])
        let known = try #require(found)
        if (known.family, known.sumsSteps) == (tuning.family, tuning.sumsSteps) {
            #expect(known.tiles["nt f32 16x96x64"] == ["TILE_M": 1])
        }
        try #require(known.save(for: second) != nil)
        #expect(Tuner(try open(), products(rows: 32)).unknown.isEmpty)
    }
}
