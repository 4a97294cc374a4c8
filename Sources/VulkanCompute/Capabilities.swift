// What a device is and can do: everything that a launcher may ask before it chooses a kernel.

import CVulkan

package struct Capabilities: Sendable {
    package enum DeviceType: Int, Sendable, Comparable {
        case discrete, integrated, virtual, cpu, other
        package static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    }

    package var name: String
    package var type: DeviceType
    package var vendorID: UInt32
    package var deviceID: UInt32
    package var driver: String
    package var apiVersion: (major: Int, minor: Int)
    package var cacheUUID: [UInt8]

    package var maxStorageBufferRange: Int
    package var maxTexelBufferElements: Int
    package var maxWorkgroupCount: Int
    package var maxWorkgroupInvocations: Int
    package var maxWorkgroupSize: Int
    package var maxSharedMemory: Int
    package var maxPushConstants: Int
    /// Bindings that a kernel may have: storage buffers, texel buffers, and both together.
    package var maxStorageBuffers: Int
    package var maxTexelBuffers: Int
    package var maxBindings: Int
    package var maxAllocation: Int
    /// Bytes of the largest device-local heap, and how many of them the driver says this process may use.
    package var memoryByteCount: Int
    package var availableMemoryByteCount: Int
    /// The alignment that satisfies storage and texel bindings both.
    package var bindingAlignment: Int
    package var nonCoherentAtomSize: Int
    /// Nanoseconds of a tick, and the bits of the counter, behind which it starts again; zero where the queue has none.
    package var timestampPeriod: Double
    package var timestampBits: Int

    package var subgroupSize: Int
    package var subgroupShuffle: Bool
    package var subgroupArithmetic: Bool
    /// Formatted reads through `imageBuffer` of rgba32f.
    package var texelBuffers: Bool
    package var extendedTexelFormats: Bool
    package var int64: Bool
    /// What the address and size of host memory must be a multiple of to be imported; nil where it cannot be.
    package var hostImportAlignment: Int?
    /// Whether the host's processor is the device, and what kernels work on lies in the host's own memory.
    package var sharesHostMemory: Bool
    /// A product of fewer operations stays with the device: the turn to the host and back takes longer than it saves.
    package var leastHostFlops = 1.6e7
    /// What its matrix units multiply; nil where it has none, or not for f16 with f32 sums.
    package var cooperativeMatrix: CooperativeMatrix?
    /// Workgroups that fill a large GPU (192 SIMDs of a Radeon RX 7900 XTX), which Vulkan does not tell: a kernel that has fewer shares out
    /// its sums. The same for all, so that no device's results depend on it.
    package var fillingWorkgroups = 192
    /// What was measured on this device before, by `lora-vk tune`.
    package var tuning = Tuning()

    package init(_ device: VkPhysicalDevice, _ instance: Instance) {
        var subgroup = VkPhysicalDeviceSubgroupProperties()
        subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES
        var maintenance = VkPhysicalDeviceMaintenance3Properties()
        maintenance.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES
        var driverProperties = VkPhysicalDeviceDriverProperties()
        driverProperties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES
        var hostMemory = VkPhysicalDeviceExternalMemoryHostPropertiesEXT()
        hostMemory.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT
        let extensions = deviceExtensions(device)
        let importsHostMemory = extensions.contains("VK_EXT_external_memory_host")
        var all = VkPhysicalDeviceProperties2()
        all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2
        withUnsafeMutablePointer(to: &subgroup) { subgroup in
            withUnsafeMutablePointer(to: &maintenance) { maintenance in
                withUnsafeMutablePointer(to: &driverProperties) { driver in
                    withUnsafeMutablePointer(to: &hostMemory) { hostMemory in
                        subgroup.pointee.pNext = UnsafeMutableRawPointer(maintenance)
                        maintenance.pointee.pNext = UnsafeMutableRawPointer(driver)
                        driver.pointee.pNext = importsHostMemory ? UnsafeMutableRawPointer(hostMemory) : nil
                        all.pNext = UnsafeMutableRawPointer(subgroup)
                        vkGetPhysicalDeviceProperties2(device, &all)
                    }
                }
            }
        }
        hostImportAlignment = importsHostMemory ? Int(hostMemory.minImportedHostPointerAlignment) : nil
        var features = VkPhysicalDeviceFeatures()
        vkGetPhysicalDeviceFeatures(device, &features)

        let properties = all.properties
        let limits = properties.limits
        name = text(properties.deviceName)
        type =
            switch properties.deviceType {
            case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: .discrete
            case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: .integrated
            case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: .virtual
            case VK_PHYSICAL_DEVICE_TYPE_CPU: .cpu
            default: .other
            }
        vendorID = properties.vendorID
        deviceID = properties.deviceID
        driver = "\(text(driverProperties.driverName)) \(text(driverProperties.driverInfo))"
        apiVersion = (Int(properties.apiVersion >> 22 & 0x7f), Int(properties.apiVersion >> 12 & 0x3ff))
        cacheUUID = withUnsafeBytes(of: properties.pipelineCacheUUID) { Array($0) }

        maxStorageBufferRange = Int(limits.maxStorageBufferRange)
        maxTexelBufferElements = Int(limits.maxTexelBufferElements)
        maxWorkgroupCount = Int(limits.maxComputeWorkGroupCount.0)
        maxWorkgroupInvocations = Int(limits.maxComputeWorkGroupInvocations)
        maxWorkgroupSize = Int(limits.maxComputeWorkGroupSize.0)
        maxSharedMemory = Int(limits.maxComputeSharedMemorySize)
        maxPushConstants = Int(limits.maxPushConstantsSize)
        maxStorageBuffers = Int(
            min(limits.maxPerStageDescriptorStorageBuffers, limits.maxDescriptorSetStorageBuffers))
        maxTexelBuffers = Int(
            min(limits.maxPerStageDescriptorStorageImages, limits.maxDescriptorSetStorageImages))
        maxBindings = Int(limits.maxPerStageResources)
        maxAllocation = Int(clamping: maintenance.maxMemoryAllocationSize)
        (memoryByteCount, availableMemoryByteCount) = Self.memoryByteCounts(device)
        bindingAlignment = max(
            16, Int(limits.minStorageBufferOffsetAlignment), Int(limits.minTexelBufferOffsetAlignment))
        nonCoherentAtomSize = Int(limits.nonCoherentAtomSize)
        timestampBits = QueueFamily(device)?.timestampBits ?? 0
        timestampPeriod = timestampBits > 0 ? Double(limits.timestampPeriod) : 0

        let inCompute = subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT.rawValue != 0
        func supports(_ operation: VkSubgroupFeatureFlagBits) -> Bool {
            inCompute && subgroup.supportedOperations & operation.rawValue != 0
        }
        subgroupSize = Int(subgroup.subgroupSize)
        subgroupShuffle = supports(VK_SUBGROUP_FEATURE_SHUFFLE_BIT)
        subgroupArithmetic = supports(VK_SUBGROUP_FEATURE_ARITHMETIC_BIT)
        var format = VkFormatProperties()
        vkGetPhysicalDeviceFormatProperties(device, VK_FORMAT_R32G32B32A32_SFLOAT, &format)
        texelBuffers = format.bufferFeatures & VK_FORMAT_FEATURE_STORAGE_TEXEL_BUFFER_BIT.rawValue != 0
        extendedTexelFormats = features.shaderStorageImageExtendedFormats != 0
        int64 = features.shaderInt64 != 0
        cooperativeMatrix = .largest(device, instance, extensions: extensions)
        sharesHostMemory = type == .cpu && MemoryTypes(device, instance, type).keepsBuffersInHostMemory
        if instance.options.smallLimits { shrink() }
    }

    /// The least that Vulkan 1.1 asks of a device: what is planned for it fits any. Its memory is unknown, so that anything does.
    package static let least = Capabilities()

    private init() {
        name = "any Vulkan device"
        (type, vendorID, deviceID, driver, apiVersion, cacheUUID) = (.other, 0, 0, "none", (1, 1), [])
        (maxStorageBufferRange, maxTexelBufferElements) = (1 << 27, 1 << 16)
        (maxWorkgroupCount, maxWorkgroupInvocations, maxWorkgroupSize) = (65535, 128, 128)
        (maxSharedMemory, maxPushConstants, maxAllocation) = (16384, 128, 1 << 30)
        (memoryByteCount, availableMemoryByteCount) = (.max, .max)
        (maxStorageBuffers, maxTexelBuffers, maxBindings) = (4, 4, 128)
        (bindingAlignment, nonCoherentAtomSize, timestampPeriod, timestampBits) = (256, 256, 0, 0)
        (subgroupSize, subgroupShuffle, subgroupArithmetic) = (1, false, false)
        (texelBuffers, extendedTexelFormats, int64) = (false, false, false)
        sharesHostMemory = false
    }

    private static func memoryByteCounts(_ device: VkPhysicalDevice) -> (heap: Int, available: Int) {
        var budget = VkPhysicalDeviceMemoryBudgetPropertiesEXT()
        budget.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT
        var all = VkPhysicalDeviceMemoryProperties2()
        all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2
        // A driver that does not know the budget leaves zeros.
        withUnsafeMutablePointer(to: &budget) { budget in
            all.pNext = UnsafeMutableRawPointer(budget)
            vkGetPhysicalDeviceMemoryProperties2(device, &all)
        }
        let memory = all.memoryProperties
        return withUnsafeBytes(of: memory.memoryHeaps) { heaps in
            withUnsafeBytes(of: budget.heapBudget) { budgets in
                zip(heaps.bindMemory(to: VkMemoryHeap.self), budgets.bindMemory(to: VkDeviceSize.self))
                    .prefix(Int(memory.memoryHeapCount))
                    .filter { $0.0.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT.rawValue != 0 }
                    .map { heap, budget in
                        (
                            Int(clamping: heap.size),
                            Int(clamping: budget > 0 ? min(budget, heap.size) : heap.size)
                        )
                    }
                    .max { $0.0 < $1.0 } ?? (0, 0)
            }
        }
    }

    /// Limits that make every splitting path run on small test shapes.
    private mutating func shrink() {
        maxStorageBufferRange = min(maxStorageBufferRange, 64 << 10)
        maxTexelBufferElements = min(maxTexelBufferElements, 4 << 10)
        maxWorkgroupCount = min(maxWorkgroupCount, 3)
        maxAllocation = min(maxAllocation, 64 << 20)
    }
}

/// Names of the extensions that a device has.
func deviceExtensions(_ device: VkPhysicalDevice) -> [String] {
    var count: UInt32 = 0
    vkEnumerateDeviceExtensionProperties(device, nil, &count, nil)
    var all = [VkExtensionProperties](repeating: VkExtensionProperties(), count: Int(count))
    vkEnumerateDeviceExtensionProperties(device, nil, &count, &all)
    return all.map { text($0.extensionName) }
}
