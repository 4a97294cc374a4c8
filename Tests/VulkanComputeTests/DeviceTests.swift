import TestSupport
import Testing
import VulkanCompute

@Suite struct DeviceTests {
    @Test func anUnknownDeviceIsRefusedWithTheListOfThoseThere() throws {
        let error = #expect(throws: VulkanError.self) { try Device.open("no such card") }
        #expect(error?.description.contains("no such card") == true)
        #expect(error?.description.contains(try Device.all()[0].capabilities.name) == true)
        #expect(throws: VulkanError.self) { try Device.open("99") }
        #expect(throws: VulkanError.self) { try Device.open("-1") }
    }

    /// By index or by a part of the name in any case, LORAVK_DEVICE where nothing is named.
    @Test func aDeviceIsChosenByIndexOrName() throws {
        let all = try Device.all().map(\.capabilities.name)
        func open(_ choice: String?, environment: String? = nil) throws -> String {
            var options = DebugOptions.environment
            options.device = environment
            return try Device.open(choice, instance: Instance(options: options)).capabilities.name
        }
        for (index, name) in all.enumerated() {
            #expect(try open("\(index)") == name)
            #expect(try open(nil, environment: "\(index)") == name)
            let first = all.firstIndex { $0.lowercased().contains(name.lowercased()) }
            for text in [name, name.uppercased(), name.lowercased()] {
                #expect(try open(text) == all[try #require(first)])
                #expect(try open(nil, environment: text) == all[try #require(first)])
            }
            #expect(try all.contains(open(String(name.dropFirst(2).prefix(5)))))
        }
        #expect(try open(nil) == all[0])
        #expect(try open("0", environment: "no such card") == all[0])
        #expect(throws: VulkanError.self) { try open(nil, environment: "no such card") }
        #expect(throws: VulkanError.self) { try open(nil, environment: "\(all.count)") }
    }

    @Test func devicesAreListedBestFirst() throws {
        let types = try Device.all().map(\.capabilities.type)
        #expect(types == types.sorted())
    }

    @Test func aBufferBeyondTheDeviceIsRefusedWithBothNumbers() throws {
        let device = try TestDevices.smallLimits
        let error = #expect(throws: VulkanError.self) {
            try device.makeBuffer(byteCount: 1 << 40, label: "activations")
        }
        #expect(error?.kind == .outOfMemory)
        #expect(error?.description.contains("activations") == true)
        #expect(error?.description.contains("\(1 << 40)") == true)
    }

    @Test func buffersShareBlocksAndGiveThemBack() throws {
        let device = try Device.open()
        let before = device.heldByteCount
        for _ in 0..<3 {
            let buffers = try (0..<100).map { try device.makeBuffer(byteCount: 1000 + $0, label: "small") }
            #expect(device.heldByteCount - before <= 64 << 20)
            withExtendedLifetime(buffers) {}
        }
        #expect(device.heldByteCount == before)
    }

    @Test func bytesComeBackAsTheyWent() throws {
        let device = try TestDevices.main
        let buffer = try device.makeBuffer(byteCount: 40_000, label: "round trip")
        let values = (0..<10_000).map { UInt32($0) &* 2_654_435_761 }
        try device.upload(values, into: buffer.slice())
        #expect(try device.download(buffer.slice(), as: UInt32.self) == values)
    }
}
