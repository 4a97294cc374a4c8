// A quantised weight on the device has the values that the package `gguf` gives its bytes, to the bit.

import Checkpoints
import Foundation
import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct DeviceWeightTests {
    @Test(
        arguments: try FamilyRun.ownLimits(),
        ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K"])
    func equalsTheGGUFPackage(_ run: FamilyRun, _ name: String) throws {
        let data =
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .path + "/CheckpointsTests/Data"
        let stored = try #require(try GGUFFile(data + "/quants.gguf")[name])
        let reference = try #require(try SafetensorsFile(data + "/quants.safetensors")[name])
        let type = try #require(Shader.Weight(rawValue: name.lowercased()))
        let layout = WeightLayout(type, rows: stored.rows, columns: stored.columns)
        let weight = try run.device.makeWeight(layout, label: name)
        try stored.storedBytes().withUnsafeBytes { try run.device.upload($0, into: weight) }
        let y = try run.output([stored.rows, stored.columns])
        let ids = try run.input((0..<Int32(stored.rows)).map { $0 }, [stored.rows])
        try run.run { try $0.embedding(into: y, ids, weight: weight) }
        #expect(try run.values(y) == reference.floats())
    }
}
