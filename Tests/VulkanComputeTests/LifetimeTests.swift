// Things may be released in any order, and a damaged cache file costs time only.

import Foundation
import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct LifetimeTests {
    @Test func aBufferOutlivesItsDevice() throws {
        var device: Device? = try Device.open()
        let instance = try #require(device).instance
        let buffer = try #require(device).makeBuffer(byteCount: 4000, label: "long-lived")
        let values = (0..<1000).map { Float($0) }
        try #require(device).upload(values, into: buffer.slice())
        device = nil
        if let mapped = buffer.mapped {
            #expect(
                Array(UnsafeRawBufferPointer(start: mapped, count: 4000).bindMemory(to: Float.self)) == values
            )
        }
        withExtendedLifetime(buffer) {}
        #expect(instance.validationMessages.isEmpty)
    }

    @Test func aGraphOutlivesEverythingItUses() throws {
        func record(_ device: Device) throws -> (CommandGraph, Tensor) {
            let x = try device.makeTensor([Float](repeating: 3, count: 512), [512])
            let y = try device.makeTensor([512], label: "y")
            let z = try device.makeTensor([512], label: "z")
            let encoder = try CommandEncoder(device)
            try encoder.add(into: y, x, x)
            try encoder.copy(into: z.slice, from: y.slice)
            return (try encoder.finish(), z)
        }
        var device: Device? = try Device.open()
        let instance = try #require(device).instance
        var (graph, z): (CommandGraph?, Tensor?) = try record(try #require(device))
        try device?.upload([Float](repeating: 0, count: 512), into: try #require(z).slice)
        let read = try #require(device)
        device = nil
        try graph?.run()
        try graph?.run()
        #expect(try read.values(try #require(z)) == [Float](repeating: 6, count: 512))
        z = nil  // before the graph that writes it
        try graph?.run()
        graph = nil
        #expect(instance.validationMessages.isEmpty)
    }

    @Test func anEncoderThatIsDroppedLeavesNothing() throws {
        let device = try Device.open()
        let before = device.heldByteCount
        do {
            let x = try device.makeTensor([Float](repeating: 3, count: 512), [512])
            let encoder = try CommandEncoder(device, timed: true)
            try encoder.add(into: x, x, x)
        }
        #expect(device.heldByteCount == before && device.instance.validationMessages.isEmpty)
    }

    @Test func devicesWorkBesideEachOther() async throws {
        let sums = try await withThrowingTaskGroup(of: Float.self) { group in
            for index in 1...4 {
                group.addTask {
                    let device = index % 2 == 0 ? try TestDevices.main : try Device.open()
                    let x = try device.makeTensor([Float](repeating: Float(index), count: 4096), [4096])
                    for _ in 0..<5 {
                        try device.run { encoder throws(VulkanError) in try encoder.add(into: x, x, x) }
                    }
                    return try device.values(x)[4095]
                }
            }
            return try await group.reduce(into: Set<Float>()) { $0.insert($1) }
        }
        #expect(sums == [32, 64, 96, 128])
    }

    // MARK: Pipeline cache

    private func use(_ folder: String) throws {
        var options = DebugOptions.environment
        options.cacheFolder = folder
        let device = try Device.open(instance: Instance(options: options))
        let x = try device.makeTensor([Float](repeating: 2, count: 64), [64])
        try device.run { encoder throws(VulkanError) in try encoder.add(into: x, x, x) }
        #expect(try device.values(x) == [Float](repeating: 4, count: 64))
        device.savePipelines()
    }

    @Test func theCacheSurvivesADamagedFile() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/loravk-cache-\(UUID().uuidString)/a/b"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try use(folder)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(names.count == 1 && names[0].hasPrefix("pipelines-") && names[0].hasSuffix(".bin"))
        let url = URL(fileURLWithPath: "\(folder)/\(names[0])")
        let whole = [UInt8](try Data(contentsOf: url))
        #expect(whole.count > 16)

        var flipped = whole
        flipped[whole.count / 2] ^= 0xFF
        var header = whole
        header[9] ^= 1
        let noise = RandomValues(seed: 3).uniform64(whole.count)
        for damaged in [
            flipped, header, Array(whole.prefix(whole.count / 2)), Array(whole.prefix(8)), [], [1, 2, 3],
            noise,
        ] {
            try Data(damaged).write(to: url)
            try use(folder)
            let written = [UInt8](try Data(contentsOf: url))
            #expect(written.count > 16 && written != damaged, "a file of \(damaged.count) bytes was kept")
        }
        try use(folder)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == names)
    }

    @Test func aCacheThatCannotBeWrittenIsNoError() throws {
        let file = FileManager.default.temporaryDirectory.path + "/loravk-\(UUID().uuidString)"
        try Data("a file".utf8).write(to: URL(fileURLWithPath: file))
        defer { try? FileManager.default.removeItem(atPath: file) }
        try use(file + "/below")
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == Data("a file".utf8))
    }
}

extension RandomValues {
    fileprivate func uniform64(_ count: Int) -> [UInt8] {
        var random = self
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }
}
