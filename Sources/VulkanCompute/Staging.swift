// The way of bytes between the host and memory that it does not see, or that it reads badly: through the two halves of a buffer that
// is kept for the device's life. The device moves one half while the host moves the other, and a copy makes no object of Vulkan.

import CVulkan

/// Not thread-safe: the device holds it under a lock.
final class Staging: @unchecked Sendable {
    private static let halfByteCount = 4 << 20

    private let memory: UnsafeMutableRawPointer
    private let objects: Objects
    private var halves: [Half] = []
    private let direction: MemoryPurpose

    private struct Half {
        let commands: VkCommandBuffer
        let fence: VkFence
        /// What of the slice is on its way.
        var part: Range<Int>?
    }

    /// What a half-made one has so far, and how it goes.
    private struct Objects {
        let owner: DeviceHandle
        var buffer: VkBuffer?
        var block: MemoryBlock?
        var pool: VkCommandPool?
        var fences: [VkFence] = []

        func destroy() {
            for fence in fences { vkDestroyFence(owner.device, fence, nil) }
            if let pool { vkDestroyCommandPool(owner.device, pool, nil) }
            if let buffer { vkDestroyBuffer(owner.device, buffer, nil) }
        }
    }

    init(_ device: Device, _ direction: MemoryPurpose) throws(VulkanError) {
        self.direction = direction
        var objects = Objects(owner: device.owner)
        do throws(VulkanError) {
            memory = try Self.makeBuffer(device, direction, &objects)
            halves = try Self.makeHalves(device, &objects)
        } catch {
            objects.destroy()
            throw error
        }
        self.objects = objects
    }

    deinit { objects.destroy() }

    private static func makeBuffer(_ device: Device, _ direction: MemoryPurpose, _ objects: inout Objects)
        throws(VulkanError) -> UnsafeMutableRawPointer
    {
        var info = VkBufferCreateInfo()
        info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO
        info.size = VkDeviceSize(2 * halfByteCount)
        info.usage =
            VK_BUFFER_USAGE_TRANSFER_SRC_BIT.rawValue | VK_BUFFER_USAGE_TRANSFER_DST_BIT.rawValue
        info.sharingMode = VK_SHARING_MODE_EXCLUSIVE
        var buffer: VkBuffer?
        try check(vkCreateBuffer(device.handle, &info, nil, &buffer), "vkCreateBuffer", "staging")
        objects.buffer = buffer
        guard let buffer else { throw VulkanError(.call, "vkCreateBuffer gave no buffer for staging") }
        var requirements = VkMemoryRequirements()
        vkGetBufferMemoryRequirements(device.handle, buffer, &requirements)
        guard let type = device.memoryTypes.choose(direction, allowed: requirements.memoryTypeBits) else {
            throw VulkanError(.unsupported, "\(device.capabilities.name) has no memory that the host sees")
        }
        let block = try MemoryBlock(
            device: device.owner, byteCount: Int(requirements.size), type)
        objects.block = block
        try check(
            vkBindBufferMemory(device.handle, buffer, block.handle, 0), "vkBindBufferMemory", "staging")
        guard let mapped = block.mapped else { throw VulkanError(.call, "vkMapMemory gave no address") }
        return mapped
    }

    private static func makeHalves(_ device: Device, _ objects: inout Objects) throws(VulkanError) -> [Half] {
        var info = VkCommandPoolCreateInfo()
        info.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO
        info.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT.rawValue
        info.queueFamilyIndex = device.queueFamily
        try check(vkCreateCommandPool(device.handle, &info, nil, &objects.pool), "vkCreateCommandPool")
        var halves: [Half] = []
        for _ in 0..<2 {
            var allocation = VkCommandBufferAllocateInfo()
            allocation.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO
            allocation.commandPool = objects.pool
            allocation.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY
            allocation.commandBufferCount = 1
            var commands: VkCommandBuffer?
            try check(
                vkAllocateCommandBuffers(device.handle, &allocation, &commands), "vkAllocateCommandBuffers")
            var info = VkFenceCreateInfo()
            info.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO
            var fence: VkFence?
            try check(vkCreateFence(device.handle, &info, nil, &fence), "vkCreateFence")
            guard let commands, let fence else {
                throw VulkanError(.call, "Vulkan gave no objects for staging")
            }
            objects.fences.append(fence)
            halves.append(Half(commands: commands, fence: fence))
        }
        return halves
    }

    /// Copies between `slice` and `host`, in the direction that this staging is for, and waits.
    func copy(_ slice: BufferSlice, _ host: UnsafeMutableRawPointer, _ device: Device) throws(VulkanError) {
        do throws(VulkanError) {
            var index = 0
            for start in stride(from: 0, to: slice.byteCount, by: Self.halfByteCount) {
                try finish(index, host, device)
                let part = start..<min(start + Self.halfByteCount, slice.byteCount)
                if direction == .upload {
                    address(index).copyMemory(from: host + part.lowerBound, byteCount: part.count)
                }
                try submit(index, slice, part, device)
                index = 1 - index
            }
            for index in [index, 1 - index] { try finish(index, host, device) }
        } catch {
            // Nothing that is released or written next may still be in use by what was submitted.
            device.waitIdle()
            vkResetCommandPool(device.handle, objects.pool, 0)
            for index in halves.indices { halves[index].part = nil }
            throw error
        }
    }

    private func address(_ index: Int) -> UnsafeMutableRawPointer { memory + index * Self.halfByteCount }

    private func submit(_ index: Int, _ slice: BufferSlice, _ part: Range<Int>, _ device: Device)
        throws(VulkanError)
    {
        let half = halves[index]
        var info = VkCommandBufferBeginInfo()
        info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO
        info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT.rawValue
        try check(vkBeginCommandBuffer(half.commands, &info), "vkBeginCommandBuffer")
        memoryBarrier(half.commands)
        let there = VkDeviceSize(slice.offset + part.lowerBound)
        let here = VkDeviceSize(index * Self.halfByteCount)
        var region = VkBufferCopy(
            srcOffset: direction == .upload ? here : there, dstOffset: direction == .upload ? there : here,
            size: VkDeviceSize(part.count))
        let handle: VkBuffer? = slice.buffer.handle
        vkCmdCopyBuffer(
            half.commands, direction == .upload ? objects.buffer : handle,
            direction == .upload ? handle : objects.buffer, 1, &region)
        if direction == .download { memoryBarrier(half.commands, forHost: true) }
        try check(vkEndCommandBuffer(half.commands), "vkEndCommandBuffer")
        var fence: VkFence? = half.fence
        try check(vkResetFences(device.handle, 1, &fence), "vkResetFences")
        try device.submit(half.commands, fence: half.fence)
        halves[index].part = part
    }

    private func finish(_ index: Int, _ host: UnsafeMutableRawPointer, _ device: Device) throws(VulkanError) {
        guard let part = halves[index].part else { return }
        try device.wait(for: halves[index].fence) { "while copying \(part.count) bytes" }
        halves[index].part = nil
        if direction == .download {
            (host + part.lowerBound).copyMemory(from: address(index), byteCount: part.count)
        }
    }
}
