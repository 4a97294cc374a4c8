// A buffer in device memory, and ranges of it. A planned buffer has a size and no memory: launchers run against it
// to find out what they need.

import CVulkan
import Synchronization

/// Thread-safe: immutable but for the cache of texel views, which has a lock. Host access to the contents is the
/// caller's to order with the device's (Device.upload and download do).
package final class Buffer: @unchecked Sendable {
    package let byteCount: Int
    package let label: String
    private let resources: Resources?
    private let views = Mutex<[ViewKey: View]>([:])

    struct Resources {
        let device: Device
        let memory: MemoryRange
        let handle: VkBuffer?  // nil on a planning device
        /// What must outlive the memory.
        var owner: AnyObject?
    }

    private struct ViewKey: Hashable {
        let offset: Int
        let byteCount: Int
        let format: UInt32
    }

    private struct View: @unchecked Sendable { let handle: VkBufferView }

    package init(planned byteCount: Int, label: String) {
        self.byteCount = byteCount
        self.label = label
        resources = nil
    }

    init(_ resources: Resources, byteCount: Int, label: String) {
        (self.resources, self.byteCount, self.label) = (resources, byteCount, label)
    }

    init(device: Device, byteCount: Int, label: String) throws(VulkanError) {
        self.byteCount = byteCount
        self.label = label
        guard !device.isPlanning else {
            let memory = try device.takePlannedMemory(Self.size(byteCount))
            resources = Resources(device: device, memory: memory, handle: nil)
            return
        }
        var info = Self.createInfo(byteCount: byteCount)
        var buffer: VkBuffer?
        try check(
            vkCreateBuffer(device.handle, &info, nil, &buffer), "vkCreateBuffer",
            "\(label), \(byteCount) bytes")
        guard let buffer else { throw VulkanError(.call, "vkCreateBuffer gave no buffer for \(label)") }
        do throws(VulkanError) {
            let memory = try device.takeMemory(for: buffer)
            do throws(VulkanError) {
                try check(
                    vkBindBufferMemory(
                        device.handle, buffer, memory.block.handle, VkDeviceSize(memory.offset)),
                    "vkBindBufferMemory")
            } catch {
                device.giveMemory(memory)
                throw error
            }
            resources = Resources(device: device, memory: memory, handle: buffer)
        } catch {
            vkDestroyBuffer(device.handle, buffer, nil)
            throw VulkanError(
                error.kind, "\(label): \(error.description)", result: VkResult(rawValue: error.result))
        }
    }

    /// Vulkan has no empty buffers.
    private static func size(_ byteCount: Int) -> Int { max(byteCount, 16) }

    static func createInfo(byteCount: Int) -> VkBufferCreateInfo {
        var info = VkBufferCreateInfo()
        info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO
        info.size = VkDeviceSize(size(byteCount))
        info.usage =
            VK_BUFFER_USAGE_STORAGE_BUFFER_BIT.rawValue | VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT.rawValue
            | VK_BUFFER_USAGE_TRANSFER_SRC_BIT.rawValue | VK_BUFFER_USAGE_TRANSFER_DST_BIT.rawValue
        info.sharingMode = VK_SHARING_MODE_EXCLUSIVE
        return info
    }

    deinit {
        guard let resources else { return }
        views.withLock { views in
            for view in views.values { vkDestroyBufferView(resources.device.handle, view.handle, nil) }
        }
        if let handle = resources.handle { vkDestroyBuffer(resources.device.handle, handle, nil) }
        resources.device.giveMemory(resources.memory)
    }

    var handle: VkBuffer { allocated.handle }

    private var allocated: (device: Device, handle: VkBuffer) {
        guard let resources, let handle = resources.handle else {
            preconditionFailure("the planned buffer '\(label)' has no memory")
        }
        return (resources.device, handle)
    }

    /// The contents, where the host sees the device's memory directly.
    package var mapped: UnsafeMutableRawPointer? {
        resources.flatMap { resources in resources.memory.block.mapped.map { $0 + resources.memory.offset } }
    }

    /// Whether what is mapped is read through the host's cache.
    var isCached: Bool { resources?.memory.block.isCached ?? false }

    package func slice(_ offset: Int = 0, byteCount: Int? = nil) -> BufferSlice {
        BufferSlice(buffer: self, offset: offset, byteCount: byteCount ?? self.byteCount - offset)
    }

    func view(_ slice: BufferSlice, format: VkFormat) throws(VulkanError) -> VkBufferView {
        let key = ViewKey(offset: slice.offset, byteCount: slice.byteCount, format: format.rawValue)
        if let view = views.withLock({ $0[key] }) { return view.handle }
        var info = VkBufferViewCreateInfo()
        info.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO
        info.buffer = handle
        info.format = format
        info.offset = VkDeviceSize(slice.offset)
        info.range = VkDeviceSize(slice.byteCount)
        var made: VkBufferView?
        let device = allocated.device
        try check(vkCreateBufferView(device.handle, &info, nil, &made), "vkCreateBufferView", label)
        guard let made else { throw VulkanError(.call, "vkCreateBufferView gave no view of \(label)") }
        let view = View(handle: made)
        let kept = views.withLock { views in
            if views[key] == nil { views[key] = view }
            return views[key] ?? view
        }
        // Another thread was first: its view is the one in use.
        if kept.handle != made { vkDestroyBufferView(device.handle, made, nil) }
        return kept.handle
    }
}

/// A range of bytes of a buffer. Offsets that are bound to a shader are multiples of `Capabilities.bindingAlignment`.
package struct BufferSlice: Sendable {
    package let buffer: Buffer
    package let offset: Int
    package let byteCount: Int

    package init(buffer: Buffer, offset: Int, byteCount: Int) {
        precondition(
            offset >= 0 && byteCount >= 0 && offset + byteCount <= buffer.byteCount,
            "bytes \(offset)..<\(offset + byteCount) are outside '\(buffer.label)' of \(buffer.byteCount) bytes"
        )
        self.buffer = buffer
        self.offset = offset
        self.byteCount = byteCount
    }

    package func isSame(as other: BufferSlice) -> Bool {
        buffer === other.buffer && offset == other.offset && byteCount == other.byteCount
    }

    package var range: Range<Int> { offset..<(offset + byteCount) }
    package var mapped: UnsafeMutableRawPointer? { buffer.mapped.map { $0 + offset } }
    /// Where the host writes in any order as fast as in its own memory: nil where there is no such place.
    package var cachedMapping: UnsafeMutableRawPointer? { buffer.isCached ? mapped : nil }

    package func slice(_ start: Int, byteCount: Int) -> BufferSlice {
        precondition(start >= 0 && start + byteCount <= self.byteCount, "a slice outside its parent")
        return BufferSlice(buffer: buffer, offset: offset + start, byteCount: byteCount)
    }
}
