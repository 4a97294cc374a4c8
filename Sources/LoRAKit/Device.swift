// The public face of LoRA-VK for Swift programs: a device, a model on it, an adapter, a trainer, and two places for what is new (a
// method, an objective). Everything behind it is the package's own and may change.

import LoRAVK
import VulkanCompute

/// A Vulkan device. May be shared between threads.
public final class Device: Sendable {
    let core: VulkanCompute.Device

    /// Opens a device: by its index or a part of its name, or else what `LORAVK_DEVICE` says, or else the first.
    public init(_ name: String? = nil) throws { core = try VulkanCompute.Device.open(name) }

    /// The driver's name of it.
    public var name: String { core.capabilities.name }
}
