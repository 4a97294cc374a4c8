// Device time of every dispatch of a recording.

import CVulkan

package struct KernelTiming: Sendable {
    package let label: String
    package let kernel: String
    package let flops: Double
    /// Of all that its bindings show it, each counted once: what it moves at least if it reads and writes all of them.
    package let bytes: Double
    package let startSeconds: Double
    package let seconds: Double
}

final class Timestamps {
    private static let queriesPerPool = 1024
    private let device: Device
    private var pools: [VkQueryPool] = []
    private var used = 0
    private var entries: [(label: String, kernel: String, flops: Double, bytes: Double)] = []

    init(_ device: Device) { self.device = device }

    deinit { for pool in pools { vkDestroyQueryPool(device.handle, pool, nil) } }

    func begin(
        _ commands: VkCommandBuffer, label: String, kernel: String, flops: Double, bytes: Double
    ) throws(VulkanError) {
        if used % Self.queriesPerPool == 0 { try addPool(commands) }
        write(commands, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT)
        entries.append((label, kernel, flops, bytes))
    }

    func end(_ commands: VkCommandBuffer) { write(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT) }

    private func write(_ commands: VkCommandBuffer, _ stage: VkPipelineStageFlagBits) {
        vkCmdWriteTimestamp(commands, stage, pools.last, UInt32(used % Self.queriesPerPool))
        used += 1
    }

    private func addPool(_ commands: VkCommandBuffer) throws(VulkanError) {
        var info = VkQueryPoolCreateInfo()
        info.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO
        info.queryType = VK_QUERY_TYPE_TIMESTAMP
        info.queryCount = UInt32(Self.queriesPerPool)
        var pool: VkQueryPool?
        try check(vkCreateQueryPool(device.handle, &info, nil, &pool), "vkCreateQueryPool")
        guard let pool else { throw VulkanError(.call, "vkCreateQueryPool gave no pool") }
        pools.append(pool)
        vkCmdResetQueryPool(commands, pool, 0, UInt32(Self.queriesPerPool))
    }

    func read() throws(VulkanError) -> [KernelTiming] {
        var ticks: [UInt64] = []
        for (index, pool) in pools.enumerated() {
            let count = min(Self.queriesPerPool, used - index * Self.queriesPerPool)
            var values = [UInt64](repeating: 0, count: count)
            try check(
                vkGetQueryPoolResults(
                    device.handle, pool, 0, UInt32(count), count * 8, &values, 8,
                    VK_QUERY_RESULT_64_BIT.rawValue | VK_QUERY_RESULT_WAIT_BIT.rawValue),
                "vkGetQueryPoolResults")
            ticks += values
        }
        let clock = TickClock(device.capabilities)
        let origin = ticks.first ?? 0
        return entries.enumerated().map { index, entry in
            let (start, end) = (ticks[index * 2], ticks[index * 2 + 1])
            return KernelTiming(
                label: entry.label, kernel: entry.kernel, flops: entry.flops, bytes: entry.bytes,
                startSeconds: clock.seconds(from: origin, to: start),
                seconds: clock.seconds(from: start, to: end))
        }
    }
}

/// A counter of `bits` bits, which begins again at zero within hours or minutes where they are few.
package struct TickClock {
    private let period: Double
    private let mask: UInt64

    package init(_ capabilities: Capabilities) {
        period = capabilities.timestampPeriod * 1e-9
        mask = capabilities.timestampBits >= 64 ? .max : 1 << UInt64(capabilities.timestampBits) - 1
    }

    /// Seconds between two ticks, of which `end` is the later one and less than a round away. Bits beyond the counter's mean nothing.
    package func seconds(from start: UInt64, to end: UInt64) -> Double {
        Double((end &- start) & mask) * period
    }
}
