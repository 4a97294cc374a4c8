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
    package var maxAllocation: Int
    /// The alignment that satisfies storage and texel bindings both.
    package var bindingAlignment: Int
    package var nonCoherentAtomSize: Int
    package var timestampPeriod: Double

    package var subgroupSize: Int
    package var subgroupShuffle: Bool
    package var subgroupArithmetic: Bool
    /// Formatted reads through `imageBuffer` of rgba32f.
    package var texelBuffers: Bool
    package var extendedTexelFormats: Bool

    package init(_ device: VkPhysicalDevice, smallLimits: Bool) {
        var subgroup = VkPhysicalDeviceSubgroupProperties()
        subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES
        var maintenance = VkPhysicalDeviceMaintenance3Properties()
        maintenance.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES
        var driverProperties = VkPhysicalDeviceDriverProperties()
        driverProperties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES
        var all = VkPhysicalDeviceProperties2()
        all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2
        withUnsafeMutablePointer(to: &subgroup) { subgroup in
            withUnsafeMutablePointer(to: &maintenance) { maintenance in
                withUnsafeMutablePointer(to: &driverProperties) { driver in
                    subgroup.pointee.pNext = UnsafeMutableRawPointer(maintenance)
                    maintenance.pointee.pNext = UnsafeMutableRawPointer(driver)
                    all.pNext = UnsafeMutableRawPointer(subgroup)
                    vkGetPhysicalDeviceProperties2(device, &all)
                }
            }
        }
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
        maxAllocation = Int(clamping: maintenance.maxMemoryAllocationSize)
        bindingAlignment = max(
            16, Int(limits.minStorageBufferOffsetAlignment), Int(limits.minTexelBufferOffsetAlignment))
        nonCoherentAtomSize = Int(limits.nonCoherentAtomSize)
        timestampPeriod = limits.timestampComputeAndGraphics != 0 ? Double(limits.timestampPeriod) : 0

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
        if smallLimits { shrink() }
    }

    /// Limits that make every splitting path run on small test shapes.
    private mutating func shrink() {
        maxStorageBufferRange = min(maxStorageBufferRange, 64 << 10)
        maxTexelBufferElements = min(maxTexelBufferElements, 4 << 10)
        maxWorkgroupCount = min(maxWorkgroupCount, 3)
        maxAllocation = min(maxAllocation, 64 << 20)
    }
}
