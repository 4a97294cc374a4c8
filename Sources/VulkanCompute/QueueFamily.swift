// The queue that everything runs on.

import CVulkan

package struct QueueFamily {
    let index: UInt32
    /// Bits of a timestamp that count; zero where the queue takes none.
    let timestampBits: Int

    /// nil where the device computes nothing.
    init?(_ device: VkPhysicalDevice) {
        var count: UInt32 = 0
        vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nil)
        var families = [VkQueueFamilyProperties](repeating: VkQueueFamilyProperties(), count: Int(count))
        vkGetPhysicalDeviceQueueFamilyProperties(device, &count, &families)
        guard let index = Self.best(families.map(\.queueFlags)) else { return nil }
        self.index = UInt32(index)
        timestampBits = Int(families[index].timestampValidBits)
    }
}

extension QueueFamily {
    /// Of families with such flags: one that computes and does not draw, beside which a desktop draws on; else the first that computes.
    package static func best(_ flags: [VkQueueFlags]) -> Int? {
        let computing = flags.indices.filter { flags[$0] & VK_QUEUE_COMPUTE_BIT.rawValue != 0 }
        return computing.first { flags[$0] & VK_QUEUE_GRAPHICS_BIT.rawValue == 0 } ?? computing.first
    }
}
