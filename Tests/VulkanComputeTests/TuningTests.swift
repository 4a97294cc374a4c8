// The file of what was measured: it comes back as it was, and nothing that is in it can do harm.

import Foundation
import TestSupport
import Testing
import VulkanCompute

@Suite struct TuningTests {
    private var tuning: Tuning {
        var tuning = Tuning()
        (tuning.family, tuning.sumsSteps) = ("texel", false)
        tuning.tiles = ["nt q4_1 128x576x576": ["ROWS": 32, "GROUPS": 1], "nn f32 16x4x4": ["TILE_M": 64]]
        return tuning
    }

    @Test func textComesBack() {
        #expect(Tuning(text: tuning.text) == tuning)
        #expect(Tuning(text: "").isEmpty && Tuning().text.isEmpty)
    }

    @Test(arguments: [
        "\0\u{FFFD}", ":", "family:", "nonsense", "tile: ROWS", "tile: ROWS=-1 =3 ROWS=99999999999",
    ])
    func damagedTextIsNoChoice(_ text: String) {
        let tuning = Tuning(text: text)
        #expect(tuning.family == nil && tuning.sumsSteps == nil && tuning.tiles.values.allSatisfy(\.isEmpty))
    }

    @Test func aDeviceOpensWithWhatWasMeasured() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/loravk-tuning-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var options = DebugOptions.environment
        options.cacheFolder = folder + "/made"
        let device = try Device.open(instance: Instance(options: options))
        #expect(device.capabilities.tuning.isEmpty)
        let path = try #require(tuning.save(for: device))
        #expect(path.hasPrefix(folder))
        #expect(try Device.open(instance: Instance(options: options)).capabilities.tuning == tuning)
        #expect(Tuning.forget(for: device))
        #expect(try Device.open(instance: Instance(options: options)).capabilities.tuning.isEmpty)
        options.cacheFolder = "/proc/none"
        #expect(tuning.save(for: try Device.open(instance: Instance(options: options))) == nil)
    }
}
