// Chapter "Devices" of loravk.h: what devices there are, and a context, which is an open one with a lock around its use.

import CLoRAVK
import Glibc
import Kernels
import VulkanCompute

/// An open device. Every call that touches it or what was made on it holds its lock, and lets go of it around callbacks.
final class Context: HandleObject, @unchecked Sendable {
    static let kind = "a context"
    let device: Device
    /// The recording that operations go to instead of running.
    var recording: GraphRecording?
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    init(_ device: Device) {
        self.device = device
        mutex = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        device.savePipelines()
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Inside `locked`: others may use the context while a callback runs, and so may the callback.
    func unlocked<Result>(_ body: () throws -> Result) rethrows -> Result {
        pthread_mutex_unlock(mutex)
        defer { pthread_mutex_lock(mutex) }
        return try body()
    }
}

func context(_ handle: OpaquePointer?) throws -> Context {
    try Handles.object(handle, Context.self, "context")
}

@c @implementation public func loravk_context_create(
    _ config: UnsafePointer<loravk_context_config>!, _ context: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let output = try Output(context, "context")
        let config = try read(config, defaults: .defaults)
        let device = try Device.open(try optionalText(config.device, "config.device"))
        device.pace.isDisplayFriendly = config.display_friendly
        output.give(Context(device))
    }
}

@c @implementation public func loravk_context_release(_ context: OpaquePointer!) {
    Handles.release(context, Context.self)
}

@c @implementation public func loravk_context_get_device_info(
    _ handle: OpaquePointer!, _ info: UnsafeMutablePointer<loravk_device_info>!
) -> loravk_status {
    call {
        try write(loravk_device_info(try context(handle).device.capabilities), to: info)
    }
}

@c @implementation public func loravk_context_get_held_bytes(
    _ handle: OpaquePointer!, _ bytes: UnsafeMutablePointer<Int64>!
) -> loravk_status {
    call {
        let device = try context(handle).device
        try required(bytes, "bytes").pointee = Int64(device.heldByteCount)
    }
}

@c @implementation public func loravk_device_count(_ count: UnsafeMutablePointer<Int>!) -> loravk_status {
    call { try required(count, "count").pointee = try Device.all().count }
}

@c @implementation public func loravk_device_get_info(
    _ index: Int, _ info: UnsafeMutablePointer<loravk_device_info>!
) -> loravk_status {
    call {
        let devices = try Device.all()
        guard devices.indices.contains(index) else {
            throw APIError(
                LORAVK_ERROR_NO_DEVICE,
                "there is no device \(UInt(bitPattern: index)); there are \(devices.count)")
        }
        try write(loravk_device_info(devices[index].capabilities), to: info)
    }
}

extension loravk_device_info {
    fileprivate init(_ capabilities: Capabilities) {
        self.init()
        copy(capabilities.name, into: &name)
        copy(capabilities.driver, into: &driver)
        let kind =
            switch capabilities.type {
            case .discrete: LORAVK_DEVICE_DISCRETE
            case .integrated: LORAVK_DEVICE_INTEGRATED
            case .virtual: LORAVK_DEVICE_VIRTUAL
            case .cpu: LORAVK_DEVICE_CPU
            case .other: LORAVK_DEVICE_OTHER
            }
        type = loravk_device_type(kind)
        (vulkan_major, vulkan_minor) = (
            Int32(capabilities.apiVersion.major), Int32(capabilities.apiVersion.minor)
        )
        (vendor_id, device_id) = (capabilities.vendorID, capabilities.deviceID)
        subgroup_size = Int32(clamping: capabilities.subgroupSize)
        memory_bytes = Int64(capabilities.memoryByteCount)
        max_allocation_bytes = Int64(capabilities.maxAllocation)
        max_storage_buffer_bytes = Int64(capabilities.maxStorageBufferRange)
        import_alignment_bytes = Int64(capabilities.hostImportAlignment ?? 0)
        max_workgroup_size = Int32(clamping: capabilities.maxWorkgroupSize)
    }
}
