// A Vulkan device with its one compute queue, memory and pipelines.

import CVulkan
import Synchronization

/// The driver's device. Whatever was made from it holds on to it, so that it goes last, in whatever order things go.
final class DeviceHandle: @unchecked Sendable {
    let device: VkDevice
    private let instance: Instance

    init(_ device: VkDevice, _ instance: Instance) {
        self.device = device
        self.instance = instance
    }

    deinit { vkDestroyDevice(device, nil) }
}

/// Thread-safe: queue submission, memory and pipelines have a lock each; what a command encoder records is its own.
package final class Device: @unchecked Sendable {
    package let capabilities: Capabilities
    private let driver: Driver?  // nil where the device only plans
    private let pool = MemoryPool()
    private let pipelines = Mutex<PipelineCache?>(nil)
    private let lost = Mutex<VulkanError?>(nil)
    private let uploads = Mutex<Staging?>(nil)
    private let downloads = Mutex<Staging?>(nil)
    /// Work a second that submissions are cut by; follows what the device was seen to do.
    package let pace: Pace

    private final class Driver: @unchecked Sendable {
        let instance: Instance
        let owner: DeviceHandle
        let queueFamily: UInt32
        let queue: Mutex<QueueBox>
        let memoryTypes: MemoryTypes

        init(_ candidate: Candidate) throws(VulkanError) {
            let capabilities = candidate.capabilities
            instance = candidate.instance
            guard let family = QueueFamily(candidate.physical)?.index else {
                throw VulkanError(.unsupported, "\(capabilities.name) has no compute queue")
            }
            queueFamily = family
            memoryTypes = candidate.memoryTypes
            var device: VkDevice?
            try check(
                Device.create(candidate.physical, family: family, capabilities: capabilities, &device),
                "vkCreateDevice", capabilities.name)
            guard let device else { throw VulkanError(.call, "vkCreateDevice gave no device") }
            owner = DeviceHandle(device, candidate.instance)
            var queue: VkQueue?
            vkGetDeviceQueue(device, family, 0, &queue)
            guard let queue else { throw VulkanError(.call, "vkGetDeviceQueue gave no queue") }
            self.queue = Mutex(QueueBox(handle: queue))
        }
    }

    private struct QueueBox: @unchecked Sendable { let handle: VkQueue }

    /// A device that only plans: its buffers have places and no memory, what is uploaded is dropped, and what is run is not.
    /// So the code that loads a model and lays out its training says what it would allocate on such a device.
    package init(planning capabilities: Capabilities) {
        self.capabilities = capabilities
        pace = Pace(type: capabilities.type, smallLimits: false)
        driver = nil
    }

    package var isPlanning: Bool { driver == nil }
    package var instance: Instance { opened.instance }
    var owner: DeviceHandle { opened.owner }
    var handle: VkDevice { opened.owner.device }
    var queueFamily: UInt32 { opened.queueFamily }
    var memoryTypes: MemoryTypes { opened.memoryTypes }

    private var opened: Driver {
        guard let driver else { preconditionFailure("a planning device has no driver") }
        return driver
    }

    /// Every usable device, best first: discrete, integrated, virtual, CPU.
    package static func all(instance: Instance? = nil) throws(VulkanError) -> [Candidate] {
        let instance = try existing(instance)
        return try instance.physicalDevices()
            .map {
                var capabilities = Capabilities($0, instance)
                capabilities.tuning = Tuning.stored(for: capabilities, in: instance.options.cacheFolder)
                return Candidate(instance: instance, physical: $0, capabilities: capabilities)
            }
            .filter { $0.capabilities.apiVersion >= (1, 1) && QueueFamily($0.physical) != nil }
            .sorted { $0.capabilities.type < $1.capabilities.type }
    }

    package struct Candidate {
        package let instance: Instance
        let physical: VkPhysicalDevice
        package let capabilities: Capabilities
        package func open() throws(VulkanError) -> Device { try Device(self) }

        package var memoryTypes: MemoryTypes { MemoryTypes(physical, instance, capabilities.type) }

        package var extensions: [String] { deviceExtensions(physical) }

        /// With the kernels of one family, however small the work, and the built-in rules for all else, whatever was measured.
        package func open(family: String) throws(VulkanError) -> Device {
            var capabilities = capabilities
            capabilities.tuning = Tuning()
            capabilities.tuning.family = family
            capabilities.leastHostFlops = 0
            return try Device(Candidate(instance: instance, physical: physical, capabilities: capabilities))
        }
    }

    /// Opens the device that `choice` (an index in `all`, or a part of a name) tells, else LORAVK_DEVICE, else the best.
    package static func open(_ choice: String? = nil, instance: Instance? = nil) throws(VulkanError) -> Device
    { try choose(choice, instance: instance).open() }

    package static func choose(_ choice: String? = nil, instance: Instance? = nil) throws(VulkanError)
        -> Candidate
    {
        let instance = try existing(instance)
        let candidates = try all(instance: instance)
        guard let first = candidates.first else { throw Instance.noDriver }
        guard let choice = choice ?? instance.options.device else { return first }
        let list = candidates.enumerated().map { "\($0): \($1.capabilities.name)" }.joined(separator: ", ")
        if let index = Int(choice) {
            guard candidates.indices.contains(index) else {
                throw VulkanError(.noDevice, "there is no Vulkan device \(index); there are \(list)")
            }
            return candidates[index]
        }
        let wanted = choice.lowercased()
        guard let match = candidates.first(where: { $0.capabilities.name.lowercased().contains(wanted) })
        else {
            throw VulkanError(.noDevice, "no Vulkan device has '\(choice)' in its name; there are \(list)")
        }
        return match
    }

    private static func existing(_ instance: Instance?) throws(VulkanError) -> Instance {
        if let instance { return instance }
        if let suited = try suited(Instance()) { return suited }
        return try Instance()
    }

    /// nil where a software driver must load again, which it does for the next instance when this one is gone.
    private static func suited(_ instance: Instance) throws(VulkanError) -> Instance? {
        guard SoftwareDriver.prepare else { return instance }
        let devices = try instance.physicalDevices().map { Capabilities($0, instance) }
        return SoftwareDriver.narrows(for: devices) ? nil : instance
    }

    private init(_ candidate: Candidate) throws(VulkanError) {
        capabilities = candidate.capabilities
        let options = candidate.instance.options
        pace = Pace(type: capabilities.type, smallLimits: options.smallLimits)
        let driver = try Driver(candidate)
        self.driver = driver
        let cache = try PipelineCache(
            device: driver.owner, capabilities: capabilities, folder: options.cacheFolder)
        pipelines.withLock { $0 = cache }
    }

    deinit {
        if let driver { vkDeviceWaitIdle(driver.owner.device) }
    }

    private static func create(
        _ physical: VkPhysicalDevice, family: UInt32, capabilities: Capabilities, _ device: inout VkDevice?
    ) -> VkResult {
        // A portability driver (MoltenVK) must be told that we know it is one.
        let hasMatrices = capabilities.cooperativeMatrix != nil
        let extensions = deviceExtensions(physical).filter {
            $0 == "VK_KHR_portability_subset" || $0 == "VK_EXT_external_memory_host"
                || hasMatrices && CooperativeMatrix.extensions.contains($0)
        }
        var features = VkPhysicalDeviceFeatures()
        features.shaderStorageImageExtendedFormats = capabilities.extendedTexelFormats ? 1 : 0
        features.shaderInt64 = capabilities.int64 ? 1 : 0
        var priority: Float = 1
        return withCStrings(extensions) { names in
            withUnsafePointer(to: &priority) { priority in
                var queue = VkDeviceQueueCreateInfo()
                queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO
                queue.queueFamilyIndex = family
                queue.queueCount = 1
                queue.pQueuePriorities = priority
                return withUnsafePointer(to: &queue) { queue in
                    withUnsafePointer(to: &features) { features in
                        var info = VkDeviceCreateInfo()
                        info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO
                        info.queueCreateInfoCount = 1
                        info.pQueueCreateInfos = queue
                        info.enabledExtensionCount = UInt32(names.count)
                        info.ppEnabledExtensionNames = names.baseAddress
                        info.pEnabledFeatures = features
                        guard hasMatrices else { return vkCreateDevice(physical, &info, nil, &device) }
                        return CooperativeMatrix.withFeatures(enabled: true) { chain, _ in
                            info.pNext = UnsafeRawPointer(chain)
                            return vkCreateDevice(physical, &info, nil, &device)
                        }
                    }
                }
            }
        }
    }

    // MARK: Memory

    package func makeBuffer(byteCount: Int, label: String) throws(VulkanError) -> Buffer {
        try Buffer(device: self, byteCount: byteCount, label: label)
    }

    /// Bytes this process holds from the driver for buffers, whole blocks of them.
    package var heldByteCount: Int { pool.heldByteCount }
    /// Bytes of the places of its buffers.
    package var bufferByteCount: Int { pool.usedByteCount }

    func takeMemory(for buffer: VkBuffer) throws(VulkanError) -> MemoryRange {
        try throwIfLost()
        var requirements = VkMemoryRequirements()
        vkGetBufferMemoryRequirements(handle, buffer, &requirements)
        guard let type = memoryTypes.choose(.device, allowed: requirements.memoryTypeBits) else {
            throw VulkanError(.unsupported, "\(capabilities.name) has no memory type for storage buffers")
        }
        return try pool.take(
            Int(requirements.size), alignment: Int(requirements.alignment), type: type.index,
            limit: capabilities.maxAllocation
        ) { size throws(VulkanError) in
            try MemoryBlock(device: owner, byteCount: size, type)
        }
    }

    /// A place in memory that is only counted.
    func takePlannedMemory(_ byteCount: Int) throws(VulkanError) -> MemoryRange {
        try pool.take(byteCount, alignment: 1, type: 0, limit: capabilities.maxAllocation) { size in
            MemoryBlock(planned: size)
        }
    }

    func giveMemory(_ range: MemoryRange) { pool.give(range) }

    /// Through staging memory, which is made at its first use and kept; one copy a direction at a time.
    func stage(_ direction: MemoryPurpose, _ slice: BufferSlice, _ host: UnsafeMutableRawPointer)
        throws(VulkanError)
    {
        func copy(_ staging: inout Staging?) -> VulkanError? {
            do throws(VulkanError) {
                try throwIfLost()
                if staging == nil { staging = try Staging(self, direction) }
                try staging?.copy(slice, host, self)
                return nil
            } catch {
                return error
            }
        }
        let failure =
            direction == .upload ? uploads.withLock { copy(&$0) } : downloads.withLock { copy(&$0) }
        if let failure { throw failure }
    }

    // MARK: Pipelines

    func pipeline(_ shader: Shader, _ specialization: [String: UInt32]) throws(VulkanError) -> Pipeline {
        let result: Result<Pipeline, VulkanError> = pipelines.withLock { cache in
            guard let cache else { return .failure(VulkanError(.call, "the device is closing")) }
            do throws(VulkanError) {
                return .success(try cache.pipeline(shader, specialization, capabilities))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Makes a pipeline that will be used, if it can be made.
    func prepare(_ use: PipelineUse) {
        pipelines.withLock { cache in
            do { _ = try cache?.pipeline(use.shader, use.specialization, capabilities) } catch {}
        }
    }

    /// Keeps compiled pipelines on disk for the next start. Failing to is not an error: it only costs time.
    package func savePipelines() { pipelines.withLock { $0?.save() } }

    // MARK: Queue

    func submit(_ commands: VkCommandBuffer, fence: VkFence?) throws(VulkanError) {
        try throwIfLost()
        let result = opened.queue.withLock { queue in
            var buffer: VkCommandBuffer? = commands
            return withUnsafePointer(to: &buffer) { buffer in
                var info = VkSubmitInfo()
                info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO
                info.commandBufferCount = 1
                info.pCommandBuffers = buffer
                return vkQueueSubmit(queue.handle, 1, &info, fence)
            }
        }
        try noteLoss { () throws(VulkanError) in try check(result, "vkQueueSubmit") }
    }

    /// Until all that was submitted is done, or the device is lost.
    func waitIdle() { opened.queue.withLock { _ in _ = vkDeviceWaitIdle(handle) } }

    func wait(for fence: VkFence, labels: () -> String) throws(VulkanError) {
        var handle: VkFence? = fence
        let result = vkWaitForFences(self.handle, 1, &handle, 1, .max)
        try noteLoss { () throws(VulkanError) in try check(result, "vkWaitForFences", labels()) }
    }

    private func throwIfLost() throws(VulkanError) {
        if let error = lost.withLock({ $0 }) { throw error }
    }

    private func noteLoss(_ body: () throws(VulkanError) -> Void) throws(VulkanError) {
        do throws(VulkanError) {
            try body()
        } catch {
            if error.kind == .deviceLost { lost.withLock { $0 = $0 ?? error } }
            throw error
        }
    }
}
