// Vulkan calls that fail on purpose, so that tests walk through what a lost device or full memory does at every call.

import CVulkan
import Synchronization

/// Makes calls fail for whoever runs inside `VulkanFaults.$active.withValue(…)`.
package final class VulkanFaults: Sendable {
    package enum Fault: Sendable, CaseIterable { case outOfDeviceMemory, outOfHostMemory, deviceLost }

    @TaskLocal package static var active: VulkanFaults?

    private let call: String?
    private let first: Int
    private let fault: Fault
    private let onwards: Bool
    private let calls = Mutex(0)

    /// Fails the `nth` (from 1) call named `call`, or of any name where nil, and all later ones if `onwards`.
    package init(
        _ call: String? = nil, failing nth: Int, _ fault: Fault = .outOfDeviceMemory, onwards: Bool = false
    ) {
        self.call = call
        self.first = nth
        self.fault = fault
        self.onwards = onwards
    }

    /// How many calls were counted so far.
    package var counted: Int { calls.withLock { $0 } }

    func failure(of name: String) -> VkResult? {
        if let call, call != name { return nil }
        let number = calls.withLock { count in
            count += 1
            return count
        }
        guard number == first || (onwards && number > first) else { return nil }
        return switch fault {
        case .outOfDeviceMemory: VK_ERROR_OUT_OF_DEVICE_MEMORY
        case .outOfHostMemory: VK_ERROR_OUT_OF_HOST_MEMORY
        case .deviceLost: VK_ERROR_DEVICE_LOST
        }
    }
}
