// What can go wrong with a Vulkan device, as sentences.

import CVulkan

package struct VulkanError: Error, CustomStringConvertible, Sendable {
    package enum Kind: Sendable, Equatable {
        /// No loader, no driver, or no device.
        case noDevice
        /// The device cannot do what was asked.
        case unsupported
        case outOfMemory
        /// Sticky: every later call on the device fails with the same text.
        case deviceLost
        /// A Vulkan call failed in another way.
        case call
    }

    package let kind: Kind
    package let description: String
    /// The VkResult of the call that failed, 0 where none did.
    package let result: Int32

    package init(_ kind: Kind, _ description: String, result: VkResult = VK_SUCCESS) {
        self.kind = kind
        self.description = description
        self.result = result.rawValue
    }
}

/// Throws unless `result` is VK_SUCCESS (or, for enumerations, VK_INCOMPLETE). A test may have the call fail instead of made.
func check(
    _ result: @autoclosure () -> VkResult, _ call: String, _ context: @autoclosure () -> String = ""
) throws(VulkanError) {
    let result = VulkanFaults.active?.failure(of: call) ?? result()
    guard result != VK_SUCCESS, result != VK_INCOMPLETE else { return }
    let text = context()
    let detail = text.isEmpty ? "" : " (\(text))"
    switch result {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        throw VulkanError(.outOfMemory, "\(call) ran out of host memory\(detail)", result: result)
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        throw VulkanError(.outOfMemory, "\(call) ran out of device memory\(detail)", result: result)
    case VK_ERROR_DEVICE_LOST:
        throw VulkanError(
            .deviceLost,
            "the Vulkan device was lost in \(call)\(detail); the driver reset it or it was removed: restart the program",
            result: result)
    default:
        throw VulkanError(.call, "\(call) failed with \(name(of: result))\(detail)", result: result)
    }
}

private func name(of result: VkResult) -> String {
    switch result {
    case VK_ERROR_INITIALIZATION_FAILED: "VK_ERROR_INITIALIZATION_FAILED"
    case VK_ERROR_MEMORY_MAP_FAILED: "VK_ERROR_MEMORY_MAP_FAILED"
    case VK_ERROR_LAYER_NOT_PRESENT: "VK_ERROR_LAYER_NOT_PRESENT"
    case VK_ERROR_EXTENSION_NOT_PRESENT: "VK_ERROR_EXTENSION_NOT_PRESENT"
    case VK_ERROR_FEATURE_NOT_PRESENT: "VK_ERROR_FEATURE_NOT_PRESENT"
    case VK_ERROR_INCOMPATIBLE_DRIVER: "VK_ERROR_INCOMPATIBLE_DRIVER"
    case VK_ERROR_TOO_MANY_OBJECTS: "VK_ERROR_TOO_MANY_OBJECTS"
    case VK_ERROR_FORMAT_NOT_SUPPORTED: "VK_ERROR_FORMAT_NOT_SUPPORTED"
    case VK_ERROR_FRAGMENTED_POOL: "VK_ERROR_FRAGMENTED_POOL"
    case VK_ERROR_OUT_OF_POOL_MEMORY: "VK_ERROR_OUT_OF_POOL_MEMORY"
    case VK_TIMEOUT: "VK_TIMEOUT"
    default: "VkResult \(result.rawValue)"
    }
}
