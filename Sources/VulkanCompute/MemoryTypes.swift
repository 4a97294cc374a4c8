// Which of a device's kinds of memory holds what.

import CVulkan

package enum MemoryPurpose: Sendable {
    /// What kernels work on.
    case device
    /// What the host writes and the device copies from.
    case upload
    /// What the device copies into and the host reads: memory without a cache reads a hundred times slower.
    case download
}

/// The kinds of memory of a device, in the driver's order: of several that will do, the first is the fastest.
package struct MemoryTypes: Sendable {
    package struct Kind: Sendable {
        package let isLocal: Bool
        /// Seen by the host, whose writes and reads need no flushing.
        package let isVisible: Bool
        package let isCached: Bool
        package let heapByteCount: Int

        package init(isLocal: Bool, isVisible: Bool, isCached: Bool, heapByteCount: Int) {
            (self.isLocal, self.isVisible) = (isLocal, isVisible)
            (self.isCached, self.heapByteCount) = (isCached, heapByteCount)
        }
    }

    package struct Choice: Equatable, Sendable {
        package let index: UInt32
        /// Whether the host sees it and is to use it so.
        package let mappable: Bool
        package let isCached: Bool
    }

    package let kinds: [Kind]
    private let isUnified: Bool

    /// `unified`: host and device share their memory, so that what kernels work on is mapped.
    package init(_ kinds: [Kind], unified: Bool) { (self.kinds, isUnified) = (kinds, unified) }

    init(_ properties: VkPhysicalDeviceMemoryProperties, unified: Bool) {
        let heaps = withUnsafeBytes(of: properties.memoryHeaps) {
            $0.bindMemory(to: VkMemoryHeap.self).map { Int(clamping: $0.size) }
        }
        let kinds = withUnsafeBytes(of: properties.memoryTypes) { types in
            types.bindMemory(to: VkMemoryType.self).prefix(Int(properties.memoryTypeCount)).map { type in
                func has(_ flag: VkMemoryPropertyFlagBits) -> Bool { type.propertyFlags & flag.rawValue != 0 }
                return Kind(
                    isLocal: has(VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT),
                    isVisible: has(VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT)
                        && has(VK_MEMORY_PROPERTY_HOST_COHERENT_BIT),
                    isCached: has(VK_MEMORY_PROPERTY_HOST_CACHED_BIT),
                    heapByteCount: heaps[Int(type.heapIndex)])
            }
        }
        self.init(kinds, unified: unified)
    }

    init(_ device: VkPhysicalDevice, _ instance: Instance, _ type: Capabilities.DeviceType) {
        var memory = VkPhysicalDeviceMemoryProperties()
        vkGetPhysicalDeviceMemoryProperties(device, &memory)
        self.init(memory, unified: (type == .cpu || type == .integrated) && !instance.options.staged)
    }

    /// Whether what kernels work on is mapped and cached, whichever kinds a buffer allows.
    var keepsBuffersInHostMemory: Bool { isUnified && kinds.allSatisfy { $0.isVisible && $0.isCached } }

    /// The best kind of those that the bits of `allowed` name; nil where none will do.
    package func choose(_ purpose: MemoryPurpose, allowed: UInt32) -> Choice? {
        let possible = kinds.indices.filter { allowed >> UInt32($0) & 1 == 1 }
        func first(_ suits: (Kind) -> Bool) -> Choice? {
            possible.first { suits(kinds[$0]) }.map {
                Choice(
                    index: UInt32($0), mappable: kinds[$0].isVisible && (isUnified || purpose != .device),
                    isCached: kinds[$0].isCached)
            }
        }
        switch purpose {
        case .device where isUnified:
            return first { $0.isLocal && $0.isVisible && $0.isCached } ?? first { $0.isLocal && $0.isVisible }
                ?? first { $0.isVisible && $0.isCached } ?? first { $0.isVisible } ?? first { $0.isLocal }
        case .device:
            // A card may show the host all of its memory, or a window of it, which is a heap of its own and small.
            let largest = possible.filter { kinds[$0].isLocal }.map { kinds[$0].heapByteCount }.max()
            return first { $0.isLocal && $0.heapByteCount == largest } ?? first { _ in true }
        case .upload:
            return first { $0.isVisible && !$0.isLocal } ?? first { $0.isVisible }
        case .download:
            return first { $0.isVisible && $0.isCached && !$0.isLocal } ?? first {
                $0.isVisible && $0.isCached
            }
                ?? choose(.upload, allowed: allowed)
        }
    }
}
