// The Vulkan objects behind an encoder and, once finished, a graph: command buffers (one a submission), work of the host between
// them, descriptor sets, timestamps, and references to every buffer and pipeline used.

import CVulkan

final class Recording {
    struct Submission {
        let commands: VkCommandBuffer
        var labels: [String] = []
        var work = 0.0
        /// Whether anything but its first barrier was recorded.
        var isEmpty = true
        /// What the host does when the device is done with it.
        var hostWork: [HostWork] = []
    }

    let device: Device
    private(set) var submissions: [Submission] = []
    private(set) var timestamps: Timestamps?
    private let pool: VkCommandPool
    private var descriptorPools: [VkDescriptorPool] = []
    private var left = DescriptorCount()  // in the last pool
    private var retained: [AnyObject] = []
    private var boundPipeline: VkPipeline?
    private let beginLabel: PFN_vkCmdBeginDebugUtilsLabelEXT?
    private let endLabel: PFN_vkCmdEndDebugUtilsLabelEXT?

    private struct DescriptorCount {
        var sets = 0
        var buffers = 0
        var texels = 0
    }

    private static let perPool = DescriptorCount(sets: 256, buffers: 2048, texels: 2048)

    init(_ device: Device, timed: Bool) throws(VulkanError) {
        self.device = device
        var info = VkCommandPoolCreateInfo()
        info.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO
        info.queueFamilyIndex = device.queueFamily
        var pool: VkCommandPool?
        try check(vkCreateCommandPool(device.handle, &info, nil, &pool), "vkCreateCommandPool")
        guard let pool else { throw VulkanError(.call, "vkCreateCommandPool gave no pool") }
        self.pool = pool
        let labels = device.instance.labelsEnabled
        beginLabel =
            labels
            ? device.instance.function(
                "vkCmdBeginDebugUtilsLabelEXT", as: PFN_vkCmdBeginDebugUtilsLabelEXT.self)
            : nil
        endLabel =
            labels
            ? device.instance.function("vkCmdEndDebugUtilsLabelEXT", as: PFN_vkCmdEndDebugUtilsLabelEXT.self)
            : nil
        timestamps = timed && device.capabilities.timestampBits > 0 ? Timestamps(device) : nil
        try begin()
        // Whatever ran before this recording is ordered before it.
        barrier()
    }

    deinit {
        for pool in descriptorPools { vkDestroyDescriptorPool(device.handle, pool, nil) }
        vkDestroyCommandPool(device.handle, pool, nil)
    }

    private var current: VkCommandBuffer { submissions[submissions.count - 1].commands }

    private func begin() throws(VulkanError) {
        var info = VkCommandBufferAllocateInfo()
        info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO
        info.commandPool = pool
        info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY
        info.commandBufferCount = 1
        var commands: VkCommandBuffer?
        try check(vkAllocateCommandBuffers(device.handle, &info, &commands), "vkAllocateCommandBuffers")
        guard let commands else { throw VulkanError(.call, "vkAllocateCommandBuffers gave no buffer") }
        var beginInfo = VkCommandBufferBeginInfo()
        beginInfo.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO
        try check(vkBeginCommandBuffer(commands, &beginInfo), "vkBeginCommandBuffer")
        submissions.append(Submission(commands: commands))
        boundPipeline = nil
    }

    func finish() throws(VulkanError) -> CommandGraph {
        barrier(forHost: true)
        try check(vkEndCommandBuffer(current), "vkEndCommandBuffer")
        return try CommandGraph(self)
    }

    func barrier(forHost: Bool = false) { memoryBarrier(current, forHost: forHost) }

    /// What was recorded before is done before `work`, which is done before what is recorded after it.
    func host(_ work: HostWork, _ buffers: [BufferSlice]) throws(VulkanError) {
        retained += buffers.map(\.buffer)
        let last = submissions.count - 1
        if submissions[last].isEmpty, last > 0 {
            submissions[last - 1].hostWork.append(work)
            return
        }
        barrier(forHost: true)
        try check(vkEndCommandBuffer(current), "vkEndCommandBuffer")
        submissions[last].hostWork.append(work)
        try begin()
        barrier()
    }

    /// `work` counts operations and bytes moved.
    func dispatch(
        _ pipeline: Pipeline, _ set: VkDescriptorSet, _ push: [UInt32], groups: Int, rows: Int = 1,
        label: String,
        work: Double, flops: Double, bytes: Double
    ) throws(VulkanError) {
        try cutIfFull(adding: work)
        let commands = current
        if boundPipeline != pipeline.handle {
            vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.handle)
            boundPipeline = pipeline.handle
        }
        var set: VkDescriptorSet? = set
        vkCmdBindDescriptorSets(
            commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.layout, 0, 1, &set, 0, nil)
        vkCmdPushConstants(
            commands, pipeline.layout, VK_SHADER_STAGE_COMPUTE_BIT.rawValue, 0, UInt32(push.count * 4), push)
        if let beginLabel {
            label.withCString { name in
                var info = VkDebugUtilsLabelEXT()
                info.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_LABEL_EXT
                info.pLabelName = name
                beginLabel(commands, &info)
            }
        }
        try timestamps?.begin(
            commands, label: label, kernel: pipeline.shader.name, flops: flops, bytes: bytes)
        vkCmdDispatch(commands, UInt32(groups), UInt32(rows), 1)
        timestamps?.end(commands)
        endLabel?(commands)
        submissions[submissions.count - 1].isEmpty = false
        submissions[submissions.count - 1].labels.append(label)
        submissions[submissions.count - 1].work += work
    }

    func fill(_ slice: BufferSlice, _ value: UInt32) {
        submissions[submissions.count - 1].isEmpty = false
        retained.append(slice.buffer)
        vkCmdFillBuffer(
            current, slice.buffer.handle, VkDeviceSize(slice.offset), VkDeviceSize(slice.byteCount), value)
    }

    func copy(into destination: BufferSlice, from source: BufferSlice) {
        submissions[submissions.count - 1].isEmpty = false
        retained.append(source.buffer)
        retained.append(destination.buffer)
        var region = VkBufferCopy(
            srcOffset: VkDeviceSize(source.offset), dstOffset: VkDeviceSize(destination.offset),
            size: VkDeviceSize(source.byteCount))
        vkCmdCopyBuffer(current, source.buffer.handle, destination.buffer.handle, 1, &region)
    }

    private func cutIfFull(adding work: Double) throws(VulkanError) {
        guard let last = submissions.last, !last.labels.isEmpty,
            last.work + work > device.pace.budget || last.labels.count >= device.pace.dispatches
        else { return }
        try check(vkEndCommandBuffer(current), "vkEndCommandBuffer")
        try begin()
    }

    // MARK: Descriptor sets

    func descriptorSet(
        _ pipeline: Pipeline, _ buffers: [BufferSlice], label: String
    ) throws(VulkanError) -> VkDescriptorSet {
        let set = try allocateSet(pipeline)
        retained.append(pipeline)
        for (index, (binding, slice)) in zip(pipeline.shader.bindings, buffers).enumerated() {
            retained.append(slice.buffer)
            try write(set, UInt32(index), binding, slice, label)
        }
        return set
    }

    private func write(
        _ set: VkDescriptorSet, _ index: UInt32, _ binding: Shader.Binding, _ slice: BufferSlice,
        _ label: String
    ) throws(VulkanError) {
        precondition(
            slice.offset % device.capabilities.bindingAlignment == 0 && slice.byteCount > 0,
            "\(label): binding '\(binding.name)' is at byte \(slice.offset) with \(slice.byteCount) bytes")
        var write = VkWriteDescriptorSet()
        write.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET
        write.dstSet = set
        write.dstBinding = index
        write.descriptorCount = 1
        write.descriptorType = binding.descriptorType
        if let format = binding.texelFormat {
            let elements = slice.byteCount / format.byteCount
            guard elements <= device.capabilities.maxTexelBufferElements else {
                throw VulkanError(
                    .unsupported,
                    "\(label): '\(binding.name)' has \(elements) texels; \(device.capabilities.name) allows "
                        + "\(device.capabilities.maxTexelBufferElements)")
            }
            var view: VkBufferView? = try slice.buffer.view(slice, format: format)
            withUnsafePointer(to: &view) {
                write.pTexelBufferView = $0
                vkUpdateDescriptorSets(device.handle, 1, &write, 0, nil)
            }
        } else {
            guard slice.byteCount <= device.capabilities.maxStorageBufferRange else {
                throw VulkanError(
                    .unsupported,
                    "\(label): '\(binding.name)' has \(slice.byteCount) bytes; \(device.capabilities.name) allows "
                        + "\(device.capabilities.maxStorageBufferRange) in one binding")
            }
            var info = VkDescriptorBufferInfo(
                buffer: slice.buffer.handle, offset: VkDeviceSize(slice.offset),
                range: VkDeviceSize(slice.byteCount))
            withUnsafePointer(to: &info) {
                write.pBufferInfo = $0
                vkUpdateDescriptorSets(device.handle, 1, &write, 0, nil)
            }
        }
    }

    private func allocateSet(_ pipeline: Pipeline) throws(VulkanError) -> VkDescriptorSet {
        let (buffers, texels) = (pipeline.shader.storageBufferCount, pipeline.shader.texelBufferCount)
        if left.sets == 0 || left.buffers < buffers || left.texels < texels { try addPool() }
        left.sets -= 1
        left.buffers -= buffers
        left.texels -= texels
        var layout: VkDescriptorSetLayout? = pipeline.setLayout
        var set: VkDescriptorSet?
        try check(
            withUnsafePointer(to: &layout) { layout in
                var info = VkDescriptorSetAllocateInfo()
                info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO
                info.descriptorPool = descriptorPools.last
                info.descriptorSetCount = 1
                info.pSetLayouts = layout
                return vkAllocateDescriptorSets(device.handle, &info, &set)
            }, "vkAllocateDescriptorSets")
        guard let set else { throw VulkanError(.call, "vkAllocateDescriptorSets gave no set") }
        return set
    }

    private func addPool() throws(VulkanError) {
        let sizes = [
            VkDescriptorPoolSize(
                type: VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, descriptorCount: UInt32(Self.perPool.buffers)),
            VkDescriptorPoolSize(
                type: VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER, descriptorCount: UInt32(Self.perPool.texels)),
        ]
        var pool: VkDescriptorPool?
        try check(
            sizes.withUnsafeBufferPointer { sizes in
                var info = VkDescriptorPoolCreateInfo()
                info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO
                info.maxSets = UInt32(Self.perPool.sets)
                info.poolSizeCount = UInt32(sizes.count)
                info.pPoolSizes = sizes.baseAddress
                return vkCreateDescriptorPool(device.handle, &info, nil, &pool)
            }, "vkCreateDescriptorPool")
        guard let pool else { throw VulkanError(.call, "vkCreateDescriptorPool gave no pool") }
        descriptorPools.append(pool)
        left = Self.perPool
    }
}

/// What was written before is there for what comes after: the host, or more work of the device.
func memoryBarrier(_ commands: VkCommandBuffer, forHost: Bool = false) {
    var barrier = VkMemoryBarrier()
    barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER
    barrier.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT.rawValue | VK_ACCESS_TRANSFER_WRITE_BIT.rawValue
    let device =
        VK_ACCESS_SHADER_READ_BIT.rawValue | VK_ACCESS_SHADER_WRITE_BIT.rawValue
        | VK_ACCESS_TRANSFER_READ_BIT.rawValue | VK_ACCESS_TRANSFER_WRITE_BIT.rawValue
    barrier.dstAccessMask = forHost ? VK_ACCESS_HOST_READ_BIT.rawValue : device
    let work = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT.rawValue | VK_PIPELINE_STAGE_TRANSFER_BIT.rawValue
    let after = forHost ? VK_PIPELINE_STAGE_HOST_BIT.rawValue : work
    vkCmdPipelineBarrier(commands, work, after, 0, 1, &barrier, 0, nil, 0, nil)
}

extension VkFormat {
    /// Bytes of one texel, for the formats that Shader.Binding maps.
    var byteCount: Int {
        switch self {
        case VK_FORMAT_R32G32B32A32_SFLOAT, VK_FORMAT_R32G32B32A32_SINT, VK_FORMAT_R32G32B32A32_UINT: 16
        case VK_FORMAT_R16G16B16A16_SFLOAT, VK_FORMAT_R16G16B16A16_SINT, VK_FORMAT_R16G16B16A16_UINT,
            VK_FORMAT_R32G32_SFLOAT, VK_FORMAT_R32G32_SINT, VK_FORMAT_R32G32_UINT:
            8
        case VK_FORMAT_R16_SFLOAT: 2
        default: 4
        }
    }
}
