// Matrix units of a GPU through VK_KHR_cooperative_matrix: products of small f16 matrices, held by a subgroup, with f32 sums.

import CVulkan

/// The product a (m, k) · b (k, n) that the units compute.
package struct CooperativeMatrix: Sendable, Equatable {
    package let m: Int
    package let n: Int
    package let k: Int
    /// Whether a kernel is told the size of its subgroups; where not, the device has one size only.
    package let pinsSubgroups: Bool

    package init(m: Int, n: Int, k: Int, pinsSubgroups: Bool) {
        (self.m, self.n, self.k, self.pinsSubgroups) = (m, n, k, pinsSubgroups)
    }

    /// Extensions that shaders with such matrices need, and whose features are enabled for them.
    static let extensions = [
        "VK_KHR_cooperative_matrix", "VK_KHR_vulkan_memory_model", "VK_KHR_shader_float16_int8",
        "VK_EXT_subgroup_size_control",
    ]

    /// The largest shape of f16 with sums of f32 that a device multiplies and whole numbers of fill parts of 16 × 16 × 32, which
    /// four subgroups have of the smallest tile; nil where it has no such units.
    static func largest(_ device: VkPhysicalDevice, _ instance: Instance, extensions: [String])
        -> CooperativeMatrix?
    {
        typealias Ask = PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR
        guard Self.extensions.allSatisfy(extensions.contains), hasFeatures(device),
            let pins = pinsSubgroups(device),
            let ask = instance.function(
                "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR", as: Ask.self)
        else { return nil }
        var count: UInt32 = 0
        guard ask(device, &count, nil) == VK_SUCCESS else { return nil }
        var empty = VkCooperativeMatrixPropertiesKHR()
        empty.sType = loravk_cooperativeMatrixProperties
        var all = [VkCooperativeMatrixPropertiesKHR](repeating: empty, count: Int(count))
        guard ask(device, &count, &all) == VK_SUCCESS else { return nil }
        return all.prefix(Int(count))
            .filter {
                $0.AType == VK_COMPONENT_TYPE_FLOAT16_KHR && $0.BType == VK_COMPONENT_TYPE_FLOAT16_KHR
                    && $0.CType == VK_COMPONENT_TYPE_FLOAT32_KHR
                    && $0.ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR && $0.scope == VK_SCOPE_SUBGROUP_KHR
            }
            .map {
                CooperativeMatrix(m: Int($0.MSize), n: Int($0.NSize), k: Int($0.KSize), pinsSubgroups: pins)
            }
            .filter { $0.m > 0 && $0.n > 0 && $0.k > 0 && 16 % $0.m == 0 && 16 % $0.n == 0 && 32 % $0.k == 0 }
            .max { $0.m * $0.n * $0.k < $1.m * $1.n * $1.k }
    }

    /// Whether a compute kernel must be told to have subgroups of the size that the device reports; nil where it cannot be.
    private static func pinsSubgroups(_ device: VkPhysicalDevice) -> Bool? {
        var control = VkPhysicalDeviceSubgroupSizeControlProperties()
        control.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES
        var subgroup = VkPhysicalDeviceSubgroupProperties()
        subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES
        var all = VkPhysicalDeviceProperties2()
        all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2
        withUnsafeMutablePointer(to: &control) { control in
            withUnsafeMutablePointer(to: &subgroup) { subgroup in
                subgroup.pointee.pNext = UnsafeMutableRawPointer(control)
                all.pNext = UnsafeMutableRawPointer(subgroup)
                vkGetPhysicalDeviceProperties2(device, &all)
            }
        }
        return needsPin(
            size: subgroup.subgroupSize, least: control.minSubgroupSize, most: control.maxSubgroupSize,
            canPin: control.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT.rawValue != 0)
    }

    package static func needsPin(size: UInt32, least: UInt32, most: UInt32, canPin: Bool) -> Bool? {
        if least == size, most == size { return false }
        return canPin && least <= size && size <= most ? true : nil
    }

    private static func hasFeatures(_ device: VkPhysicalDevice) -> Bool {
        var all = VkPhysicalDeviceFeatures2()
        all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2
        return withFeatures(enabled: false) { chain, isComplete in
            all.pNext = chain
            vkGetPhysicalDeviceFeatures2(device, &all)
            return isComplete()
        }
    }

    /// The chain of the features' structs, all on or all off, and whether all are on by then.
    static func withFeatures<R>(enabled: Bool, _ body: (UnsafeMutableRawPointer, () -> Bool) -> R) -> R {
        let on: VkBool32 = enabled ? 1 : 0
        var matrix = VkPhysicalDeviceCooperativeMatrixFeaturesKHR()
        matrix.sType = loravk_cooperativeMatrixFeatures
        matrix.cooperativeMatrix = on
        var memory = VkPhysicalDeviceVulkanMemoryModelFeatures()
        memory.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES
        memory.vulkanMemoryModel = on
        memory.vulkanMemoryModelDeviceScope = on  // where the model is on, other kernels' barriers need it
        var half = VkPhysicalDeviceShaderFloat16Int8Features()
        half.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES
        half.shaderFloat16 = on
        var subgroups = VkPhysicalDeviceSubgroupSizeControlFeatures()
        subgroups.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES
        subgroups.computeFullSubgroups = on
        subgroups.subgroupSizeControl = on
        return withUnsafeMutablePointer(to: &matrix) { matrix in
            withUnsafeMutablePointer(to: &memory) { memory in
                withUnsafeMutablePointer(to: &half) { half in
                    withUnsafeMutablePointer(to: &subgroups) { subgroups in
                        matrix.pointee.pNext = UnsafeMutableRawPointer(memory)
                        memory.pointee.pNext = UnsafeMutableRawPointer(half)
                        half.pointee.pNext = UnsafeMutableRawPointer(subgroups)
                        return body(UnsafeMutableRawPointer(matrix)) {
                            [
                                matrix.pointee.cooperativeMatrix, memory.pointee.vulkanMemoryModel,
                                memory.pointee.vulkanMemoryModelDeviceScope, half.pointee.shaderFloat16,
                                subgroups.pointee.computeFullSubgroups, subgroups.pointee.subgroupSizeControl,
                            ].allSatisfy { $0 != 0 }
                        }
                    }
                }
            }
        }
    }
}
