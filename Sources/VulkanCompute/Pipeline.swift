// Compute pipelines: one per shader and specialization, made once, and the driver's cache of them on disk.

import CVulkan

final class Pipeline {
    let shader: Shader
    let handle: VkPipeline
    let layout: VkPipelineLayout
    let setLayout: VkDescriptorSetLayout
    private let owner: DeviceHandle

    init(
        _ shader: Shader, _ specialization: [String: UInt32], pinnedSubgroupSize: Int?,
        device owner: DeviceHandle,
        cache: VkPipelineCache?
    ) throws(VulkanError) {
        var made = Parts()
        do throws(VulkanError) {
            try made.build(
                shader, specialization, pinnedSubgroupSize: pinnedSubgroupSize, device: owner.device,
                cache: cache)
        } catch {
            made.destroy(owner.device)
            throw error
        }
        guard let handle = made.pipeline, let layout = made.layout, let setLayout = made.setLayout else {
            throw VulkanError(.call, "the driver made no pipeline for \(shader.name)")
        }
        self.shader = shader
        self.handle = handle
        self.layout = layout
        self.setLayout = setLayout
        self.owner = owner
    }

    deinit {
        var parts = Parts(setLayout: setLayout, layout: layout, pipeline: handle)
        parts.destroy(owner.device)
    }
}

private struct Parts {
    var module: VkShaderModule?
    var setLayout: VkDescriptorSetLayout?
    var layout: VkPipelineLayout?
    var pipeline: VkPipeline?

    init(
        setLayout: VkDescriptorSetLayout? = nil, layout: VkPipelineLayout? = nil, pipeline: VkPipeline? = nil
    ) {
        (self.setLayout, self.layout, self.pipeline) = (setLayout, layout, pipeline)
    }

    mutating func destroy(_ device: VkDevice) {
        if let pipeline { vkDestroyPipeline(device, pipeline, nil) }
        if let layout { vkDestroyPipelineLayout(device, layout, nil) }
        if let setLayout { vkDestroyDescriptorSetLayout(device, setLayout, nil) }
        if let module { vkDestroyShaderModule(device, module, nil) }
    }

    mutating func build(
        _ shader: Shader, _ specialization: [String: UInt32], pinnedSubgroupSize: Int?, device: VkDevice,
        cache: VkPipelineCache?
    ) throws(VulkanError) {
        try check(makeModule(shader, device), "vkCreateShaderModule", shader.name)
        try check(makeSetLayout(shader, device), "vkCreateDescriptorSetLayout", shader.name)
        try check(makeLayout(shader, device), "vkCreatePipelineLayout", shader.name)
        try check(
            makePipeline(shader, specialization, pinnedSubgroupSize, device, cache),
            "vkCreateComputePipelines",
            shader.name)
        if let module { vkDestroyShaderModule(device, module, nil) }
        module = nil
    }

    private mutating func makeModule(_ shader: Shader, _ device: VkDevice) -> VkResult {
        shader.spirv.withUnsafeBytes { code in
            var info = VkShaderModuleCreateInfo()
            info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO
            info.codeSize = code.count
            info.pCode = code.bindMemory(to: UInt32.self).baseAddress
            return vkCreateShaderModule(device, &info, nil, &module)
        }
    }

    private mutating func makeSetLayout(_ shader: Shader, _ device: VkDevice) -> VkResult {
        let bindings = shader.bindings.enumerated().map { index, binding in
            var layout = VkDescriptorSetLayoutBinding()
            layout.binding = UInt32(index)
            layout.descriptorType = binding.descriptorType
            layout.descriptorCount = 1
            layout.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT.rawValue
            return layout
        }
        return bindings.withUnsafeBufferPointer { bindings in
            var info = VkDescriptorSetLayoutCreateInfo()
            info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO
            info.bindingCount = UInt32(bindings.count)
            info.pBindings = bindings.baseAddress
            return vkCreateDescriptorSetLayout(device, &info, nil, &setLayout)
        }
    }

    private mutating func makeLayout(_ shader: Shader, _ device: VkDevice) -> VkResult {
        var range = VkPushConstantRange()
        range.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT.rawValue
        range.size = UInt32(shader.pushByteCount)
        return withUnsafePointer(to: &range) { range in
            withUnsafePointer(to: &setLayout) { setLayout in
                var info = VkPipelineLayoutCreateInfo()
                info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO
                info.setLayoutCount = 1
                info.pSetLayouts = setLayout
                info.pushConstantRangeCount = shader.pushByteCount > 0 ? 1 : 0
                info.pPushConstantRanges = range
                return vkCreatePipelineLayout(device, &info, nil, &layout)
            }
        }
    }

    private mutating func makePipeline(
        _ shader: Shader, _ specialization: [String: UInt32], _ pinnedSubgroupSize: Int?, _ device: VkDevice,
        _ cache: VkPipelineCache?
    ) -> VkResult {
        let constants = specialization.sorted { $0.key < $1.key }
        let values = constants.map(\.value)
        let entries = constants.enumerated().map { index, constant in
            guard let id = shader.specializationIDs[constant.key] else {
                preconditionFailure("shader \(shader.name) has no specialization constant '\(constant.key)'")
            }
            return VkSpecializationMapEntry(constantID: id, offset: UInt32(index * 4), size: 4)
        }
        return values.withUnsafeBytes { data in
            entries.withUnsafeBufferPointer { entries in
                var specialization = VkSpecializationInfo(
                    mapEntryCount: UInt32(entries.count), pMapEntries: entries.baseAddress,
                    dataSize: data.count, pData: data.baseAddress)
                return withUnsafePointer(to: &specialization) { specialization in
                    "main".withCString { main in
                        var info = VkComputePipelineCreateInfo()
                        info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO
                        info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO
                        info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT
                        info.stage.module = module
                        info.stage.pName = main
                        info.stage.pSpecializationInfo = specialization
                        info.layout = layout
                        guard shader.usesMatrixUnits else {
                            return vkCreateComputePipelines(device, cache, 1, &info, nil, &pipeline)
                        }
                        // Matrices are spread over whole subgroups of a size that the kernel was told.
                        let whole = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT
                        info.stage.flags = VkPipelineShaderStageCreateFlags(whole.rawValue)
                        guard let pinnedSubgroupSize else {
                            return vkCreateComputePipelines(device, cache, 1, &info, nil, &pipeline)
                        }
                        var size = VkPipelineShaderStageRequiredSubgroupSizeCreateInfo()
                        size.sType =
                            VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO
                        size.requiredSubgroupSize = UInt32(pinnedSubgroupSize)
                        return withUnsafeMutablePointer(to: &size) { size in
                            info.stage.pNext = UnsafeRawPointer(size)
                            return vkCreateComputePipelines(device, cache, 1, &info, nil, &pipeline)
                        }
                    }
                }
            }
        }
    }
}

extension Shader.Binding {
    var descriptorType: VkDescriptorType {
        texelFormat == nil ? VK_DESCRIPTOR_TYPE_STORAGE_BUFFER : VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER
    }
}

/// A shader with its specialization, which is what a pipeline is made of.
package struct PipelineUse: Hashable, Sendable {
    package let shader: Shader
    package let specialization: [String: UInt32]

    package static func == (a: Self, b: Self) -> Bool {
        a.shader === b.shader && a.specialization == b.specialization
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(ObjectIdentifier(shader))
        hasher.combine(specialization)
    }
}

/// Pipelines by shader and specialization. Not thread-safe: the device holds it under a lock.
final class PipelineCache: @unchecked Sendable {
    private let owner: DeviceHandle
    private let file: CacheFile?
    private let cache: VkPipelineCache?
    private var pipelines: [PipelineUse: Pipeline] = [:]
    private var dirty = false

    init(device owner: DeviceHandle, capabilities: Capabilities, folder: String?) throws(VulkanError) {
        self.owner = owner
        file = folder.map { CacheFile("pipelines-\(capabilities.cacheName).bin", in: $0) }
        let stored = Checksum.checked(file?.read() ?? [])
        var cache: VkPipelineCache?
        try check(
            stored.withUnsafeBytes { bytes in
                var info = VkPipelineCacheCreateInfo()
                info.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO
                info.initialDataSize = bytes.count
                info.pInitialData = bytes.baseAddress
                return vkCreatePipelineCache(owner.device, &info, nil, &cache)
            }, "vkCreatePipelineCache")
        self.cache = cache
    }

    deinit {
        save()
        if let cache { vkDestroyPipelineCache(owner.device, cache, nil) }
    }

    func pipeline(
        _ shader: Shader, _ specialization: [String: UInt32], _ capabilities: Capabilities
    ) throws(VulkanError) -> Pipeline {
        let key = PipelineUse(shader: shader, specialization: specialization)
        if let pipeline = pipelines[key] { return pipeline }
        if let failure = shader.failure { throw VulkanError(.unsupported, failure) }
        if let missing = shader.missing(on: capabilities) {
            throw VulkanError(
                .unsupported, "\(capabilities.name) cannot run kernel \(shader.name): it lacks \(missing)")
        }
        let pins = shader.usesMatrixUnits && capabilities.cooperativeMatrix?.pinsSubgroups == true
        let pipeline = try Pipeline(
            shader, specialization, pinnedSubgroupSize: pins ? capabilities.subgroupSize : nil, device: owner,
            cache: cache)
        pipelines[key] = pipeline
        dirty = true
        return pipeline
    }

    func save() {
        guard dirty, let file, let cache else { return }
        dirty = false
        var count = 0
        guard vkGetPipelineCacheData(owner.device, cache, &count, nil) == VK_SUCCESS, count > 0 else {
            return
        }
        var bytes = [UInt8](repeating: 0, count: count)
        guard vkGetPipelineCacheData(owner.device, cache, &count, &bytes) == VK_SUCCESS else { return }
        file.write(Checksum.added(to: Array(bytes.prefix(count))))
    }
}

/// FNV-1a before the driver's bytes, since drivers trust what they are given.
private enum Checksum {
    static func added(to bytes: [UInt8]) -> [UInt8] { sum(bytes[...]) + bytes }

    /// The bytes behind their checksum; none where it is not theirs.
    static func checked(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.count > 8, Array(bytes[..<8]) == sum(bytes[8...]) else { return [] }
        return Array(bytes[8...])
    }

    private static func sum(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return (0..<8).map { UInt8(truncatingIfNeeded: hash >> (UInt64($0) * 8)) }
    }
}
