// Host memory that is there already as a buffer, without a copy (VK_EXT_external_memory_host).

import CVulkan

extension Device {
    /// `memory` begins at and has a multiple of `capabilities.hostImportAlignment` bytes. It must stay until the buffer is gone,
    /// which then lets go of `owner`.
    package func importBuffer(
        _ memory: UnsafeMutableRawBufferPointer, owner: AnyObject, label: String
    ) throws(VulkanError) -> Buffer {
        guard let alignment = capabilities.hostImportAlignment, let address = memory.baseAddress,
            let properties = hostPointerProperties
        else {
            throw VulkanError(
                .unsupported,
                "\(capabilities.name) cannot use host memory in place (VK_EXT_external_memory_host): upload a copy"
            )
        }
        precondition(
            UInt(bitPattern: address) % UInt(alignment) == 0 && memory.count % alignment == 0,
            "\(memory.count) bytes at \(address) are not aligned to \(alignment)")
        let handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT
        var pointer = VkMemoryHostPointerPropertiesEXT()
        pointer.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT
        try check(
            properties(handle, handleType, address, &pointer), "vkGetMemoryHostPointerPropertiesEXT", label)

        let buffer = try makeExternalBuffer(byteCount: memory.count, handleType.rawValue, label)
        do throws(VulkanError) {
            var requirements = VkMemoryRequirements()
            vkGetBufferMemoryRequirements(handle, buffer, &requirements)
            guard
                requirements.size <= memory.count,
                let type = memoryTypes.choose(
                    .download, allowed: requirements.memoryTypeBits & pointer.memoryTypeBits)
            else {
                throw VulkanError(
                    .unsupported,
                    "\(capabilities.name) has no memory type for this host memory: upload a copy")
            }
            let block = try MemoryBlock(device: self.owner, importing: memory, typeIndex: type.index)
            try check(vkBindBufferMemory(handle, buffer, block.handle, 0), "vkBindBufferMemory", label)
            let range = MemoryRange(block: block, offset: 0, byteCount: memory.count)
            return Buffer(
                Buffer.Resources(device: self, memory: range, handle: buffer, owner: owner),
                byteCount: memory.count, label: label)
        } catch {
            vkDestroyBuffer(handle, buffer, nil)
            throw error
        }
    }

    private var hostPointerProperties: PFN_vkGetMemoryHostPointerPropertiesEXT? {
        vkGetDeviceProcAddr(handle, "vkGetMemoryHostPointerPropertiesEXT").map {
            unsafeBitCast($0, to: PFN_vkGetMemoryHostPointerPropertiesEXT.self)
        }
    }

    private func makeExternalBuffer(
        byteCount: Int, _ handleTypes: UInt32, _ label: String
    ) throws(VulkanError) -> VkBuffer {
        var external = VkExternalMemoryBufferCreateInfo()
        external.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO
        external.handleTypes = handleTypes
        var buffer: VkBuffer?
        let result = withUnsafePointer(to: &external) { external in
            var info = Buffer.createInfo(byteCount: byteCount)
            info.pNext = UnsafeRawPointer(external)
            return vkCreateBuffer(handle, &info, nil, &buffer)
        }
        try check(result, "vkCreateBuffer", "\(label), \(byteCount) bytes")
        guard let buffer else { throw VulkanError(.call, "vkCreateBuffer gave no buffer for \(label)") }
        return buffer
    }
}
