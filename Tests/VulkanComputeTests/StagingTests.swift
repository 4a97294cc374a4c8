// Memory that the host does not see, as on most cards: bytes come back, nothing is allocated for a copy, and any call may fail.

import TestSupport
import Testing
import VulkanCompute

@Suite struct StagingTests {
    private static func open() throws -> Device {
        var options = DebugOptions.environment
        options.staged = true
        return try Device.open(instance: Instance(options: options))
    }

    private static func words(_ count: Int, _ seed: UInt32 = 1) -> [UInt32] {
        (0..<UInt32(count)).map { ($0 &+ seed) &* 2_654_435_761 }
    }

    /// Less than a half of the staging memory, exactly one, both, and several turns.
    @Test(arguments: [4, 1000, 4 << 20, 4 << 20 + 4, 8 << 20, 13 << 20 + 12])
    func bytesComeBackAsTheyWent(byteCount: Int) throws {
        let device = try Self.open()
        let buffer = try device.makeBuffer(byteCount: byteCount + 512, label: "round trip")
        #expect(buffer.mapped == nil)
        let around = [UInt32](repeating: 7, count: buffer.byteCount / 4)
        try device.upload(around, into: buffer.slice())
        let values = Self.words(byteCount / 4)
        try device.upload(values, into: buffer.slice(256, byteCount: byteCount))
        #expect(try device.download(buffer.slice(256, byteCount: byteCount), as: UInt32.self) == values)
        for place in [0, 256 + byteCount] {
            let beside = try device.download(buffer.slice(place, byteCount: 256), as: UInt32.self)
            #expect(beside == [UInt32](repeating: 7, count: 64))
        }
        #expect(device.instance.validationMessages.isEmpty)
    }

    @Test func noCopyButTheFirstMakesAnything() throws {
        let device = try Self.open()
        let buffer = try device.makeBuffer(byteCount: 9 << 20, label: "round trip")
        let values = Self.words(buffer.byteCount / 4)
        func copy() throws {
            try device.upload(values, into: buffer.slice())
            _ = try device.download(buffer.slice(), as: UInt32.self)
        }
        func counted(_ call: String) throws -> Int {
            let counter = VulkanFaults(call, failing: .max)
            try VulkanFaults.$active.withValue(counter) { try copy() }
            return counter.counted
        }
        #expect(try counted("vkAllocateMemory") == 2)
        let makers = [
            "vkAllocateMemory", "vkMapMemory", "vkCreateBuffer", "vkCreateCommandPool", "vkCreateFence",
            "vkAllocateCommandBuffers",
        ]
        for call in makers { #expect(try counted(call) == 0, "\(call)") }
        // Pieces of 4 MiB, each way.
        #expect(try counted("vkQueueSubmit") == 6)
    }

    @Test(arguments: [VulkanFaults.Fault.outOfDeviceMemory, .deviceLost])
    func everyCallMayFail(_ fault: VulkanFaults.Fault) throws {
        let values = Self.words(9 << 18)
        func copy(_ device: Device) throws {
            let buffer = try device.makeBuffer(byteCount: values.count * 4, label: "round trip")
            try device.upload(values, into: buffer.slice())
            #expect(try device.download(buffer.slice(), as: UInt32.self) == values)
        }
        let counter = VulkanFaults(failing: .max)
        var device = try Self.open()
        try VulkanFaults.$active.withValue(counter) { try copy(device) }
        #expect(counter.counted > 30)
        for nth in 1...counter.counted {
            let fresh = try Self.open()
            #expect(throws: VulkanError.self, "call \(nth)") {
                try VulkanFaults.$active.withValue(VulkanFaults(failing: nth, fault)) { try copy(fresh) }
            }
            #expect(fresh.heldByteCount == 0, "call \(nth) leaked")
            // Memory that was full may be free again; a lost device stays lost.
            device = fresh
            if fault != .deviceLost { try copy(device) }
            #expect(device.instance.validationMessages.isEmpty, "call \(nth)")
        }
    }

    @Test func threadsTakeTurns() async throws {
        let device = try Self.open()
        let right = try await withThrowingTaskGroup(of: Bool.self) { group in
            for index in 1...4 {
                group.addTask {
                    let values = Self.words(300_000 * index, UInt32(index))
                    let buffer = try device.makeBuffer(
                        byteCount: values.count * 4, label: "of thread \(index)")
                    for _ in 0..<3 {
                        try device.upload(values, into: buffer.slice())
                        if try device.download(buffer.slice(), as: UInt32.self) != values { return false }
                    }
                    return true
                }
            }
            return try await group.reduce(true) { $0 && $1 }
        }
        #expect(right && device.instance.validationMessages.isEmpty)
    }
}
