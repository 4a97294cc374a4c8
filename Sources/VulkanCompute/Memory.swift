// Device memory: buffers are placed in large blocks, first fit, one list of blocks a memory type.
// A driver allows few allocations (4096 by specification) and rounds each up; a block holds many buffers.

import CVulkan
import Synchronization

/// One vkAllocateMemory, mapped for its whole life where the host can see it; or, planned, only its size.
final class MemoryBlock: @unchecked Sendable {
    let byteCount: Int
    let mapped: UnsafeMutableRawPointer?
    /// Whether the host reads it through its cache.
    let isCached: Bool
    private let allocation: (owner: DeviceHandle, memory: VkDeviceMemory)?
    /// Free ranges by offset, never adjacent to each other. Guarded by the pool's lock.
    fileprivate var free: [Range<Int>]

    init(device owner: DeviceHandle, byteCount: Int, _ type: MemoryTypes.Choice) throws(VulkanError) {
        var info = VkMemoryAllocateInfo()
        info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO
        info.allocationSize = VkDeviceSize(byteCount)
        info.memoryTypeIndex = type.index
        var memory: VkDeviceMemory?
        try check(
            vkAllocateMemory(owner.device, &info, nil, &memory), "vkAllocateMemory",
            "\(byteCount) bytes were asked for; a smaller batch, fewer tokens or quantised weights need less")
        guard let memory else { throw VulkanError(.outOfMemory, "vkAllocateMemory gave no memory") }
        allocation = (owner, memory)
        self.byteCount = byteCount
        isCached = type.isCached
        free = [0..<byteCount]
        guard type.mappable else {
            mapped = nil
            return
        }
        var pointer: UnsafeMutableRawPointer?
        let result = vkMapMemory(owner.device, memory, 0, wholeSize, 0, &pointer)
        mapped = pointer
        if result != VK_SUCCESS { try check(result, "vkMapMemory") }
    }

    /// Host memory that is there already, as device memory.
    init(device owner: DeviceHandle, importing host: UnsafeMutableRawBufferPointer, typeIndex: UInt32)
        throws(VulkanError)
    {
        var source = VkImportMemoryHostPointerInfoEXT()
        source.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT
        source.handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT
        source.pHostPointer = host.baseAddress
        var memory: VkDeviceMemory?
        let result = withUnsafePointer(to: &source) { source in
            var info = VkMemoryAllocateInfo()
            info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO
            info.pNext = UnsafeRawPointer(source)
            info.allocationSize = VkDeviceSize(host.count)
            info.memoryTypeIndex = typeIndex
            return vkAllocateMemory(owner.device, &info, nil, &memory)
        }
        try check(result, "vkAllocateMemory", "\(host.count) bytes of host memory")
        guard let memory else { throw VulkanError(.outOfMemory, "vkAllocateMemory gave no memory") }
        allocation = (owner, memory)
        byteCount = host.count
        mapped = host.baseAddress
        isCached = true
        free = []
    }

    init(planned byteCount: Int) {
        self.byteCount = byteCount
        (allocation, mapped, isCached) = (nil, nil, true)
        free = [0..<byteCount]
    }

    deinit {
        if let allocation { vkFreeMemory(allocation.owner.device, allocation.memory, nil) }
    }

    var handle: VkDeviceMemory {
        guard let allocation else { preconditionFailure("a planned block has no memory") }
        return allocation.memory
    }

    fileprivate func take(byteCount: Int, alignment: Int) -> Int? {
        for (index, range) in free.enumerated() {
            let start = (range.lowerBound + alignment - 1) / alignment * alignment
            guard start + byteCount <= range.upperBound else { continue }
            let rest = [range.lowerBound..<start, (start + byteCount)..<range.upperBound]
            free.replaceSubrange(index...index, with: rest.filter { !$0.isEmpty })
            return start
        }
        return nil
    }

    fileprivate func give(_ range: Range<Int>) {
        let index = free.firstIndex { $0.lowerBound >= range.upperBound } ?? free.endIndex
        var merged = range
        var replaced = index..<index
        if index > 0, free[index - 1].upperBound == range.lowerBound {
            merged = free[index - 1].lowerBound..<merged.upperBound
            replaced = (index - 1)..<replaced.upperBound
        }
        if index < free.endIndex, free[index].lowerBound == range.upperBound {
            merged = merged.lowerBound..<free[index].upperBound
            replaced = replaced.lowerBound..<(index + 1)
        }
        free.replaceSubrange(replaced, with: [merged])
    }
}

struct MemoryRange {
    let block: MemoryBlock
    let offset: Int
    let byteCount: Int
}

/// Thread-safe: the lists of blocks are guarded by one lock.
final class MemoryPool: Sendable {
    private static let blockByteCount = 64 << 20
    /// Places are multiples of this. No known driver wants more for a buffer, so that a plan without the driver is exact.
    private static let granule = 256
    private let blocks = Mutex<[UInt32: [MemoryBlock]]>([:])

    func take(
        _ needed: Int, alignment least: Int, type: UInt32, limit: Int,
        makeBlock: (Int) throws(VulkanError) -> MemoryBlock
    ) throws(VulkanError) -> MemoryRange {
        let byteCount = (needed + Self.granule - 1) / Self.granule * Self.granule
        let alignment = max(least, Self.granule)
        guard byteCount <= limit else {
            throw VulkanError(
                .outOfMemory,
                "a buffer of \(byteCount) bytes was asked for; this device allows \(limit) in one piece")
        }
        let found = blocks.withLock { blocks in
            for block in blocks[type, default: []] {
                if let offset = block.take(byteCount: byteCount, alignment: alignment) {
                    return MemoryRange?.some(MemoryRange(block: block, offset: offset, byteCount: byteCount))
                }
            }
            return nil
        }
        if let found { return found }
        // What fills most of a block gets one of its own, so that releasing it returns the memory.
        let size = byteCount > Self.blockByteCount / 4 ? byteCount : min(Self.blockByteCount, limit)
        let block = try makeBlock(size)
        return blocks.withLock { blocks in
            let offset = block.take(byteCount: byteCount, alignment: alignment) ?? 0
            blocks[type, default: []].append(block)
            return MemoryRange(block: block, offset: offset, byteCount: byteCount)
        }
    }

    func give(_ range: MemoryRange) {
        blocks.withLock { blocks in
            range.block.give(range.offset..<(range.offset + range.byteCount))
            guard range.block.free == [0..<range.block.byteCount] else { return }
            for type in blocks.keys { blocks[type]?.removeAll { $0 === range.block } }
        }
    }

    /// Bytes held from the driver.
    var heldByteCount: Int {
        blocks.withLock { $0.values.joined().reduce(0) { $0 + $1.byteCount } }
    }

    /// Bytes of them that buffers take.
    var usedByteCount: Int {
        blocks.withLock { blocks in
            blocks.values.joined().reduce(0) { $0 + $1.byteCount - $1.free.reduce(0) { $0 + $1.count } }
        }
    }
}

/// VK_WHOLE_SIZE is a macro that Swift does not import.
let wholeSize = VkDeviceSize.max
