// Host to device and back: directly where the host sees the memory, else through a staging buffer.

import CVulkan

extension Device {
    private static let stagingByteCount = 16 << 20

    /// Copies host bytes into `slice` and waits. The device must not be using the slice.
    package func upload(_ bytes: UnsafeRawBufferPointer, into slice: BufferSlice) throws(VulkanError) {
        precondition(bytes.count == slice.byteCount, "\(bytes.count) bytes for a slice of \(slice.byteCount)")
        guard let base = bytes.baseAddress, bytes.count > 0, !isPlanning else { return }
        if let mapped = slice.mapped {
            mapped.copyMemory(from: base, byteCount: bytes.count)
            return
        }
        try stage(slice) { staging, part throws(VulkanError) in
            staging.copyMemory(from: base + part.lowerBound, byteCount: part.count)
        } after: { _, _ in
        }
    }

    package func download(_ slice: BufferSlice, into bytes: UnsafeMutableRawBufferPointer) throws(VulkanError)
    {
        precondition(bytes.count == slice.byteCount, "\(bytes.count) bytes for a slice of \(slice.byteCount)")
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        guard !isPlanning else {
            base.initializeMemory(as: UInt8.self, repeating: 0, count: bytes.count)
            return
        }
        if let mapped = slice.mapped {
            base.copyMemory(from: mapped, byteCount: bytes.count)
            return
        }
        try stage(slice, reading: true) { _, _ throws(VulkanError) in
        } after: { staging, part in
            (base + part.lowerBound).copyMemory(from: staging, byteCount: part.count)
        }
    }

    package func upload<T: BitwiseCopyable>(_ values: [T], into slice: BufferSlice) throws(VulkanError) {
        let result: Result<Void, VulkanError> = values.withUnsafeBytes { bytes in
            do throws(VulkanError) { return .success(try upload(bytes, into: slice)) } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    package func download<T: BitwiseCopyable>(_ slice: BufferSlice, as type: T.Type) throws(VulkanError)
        -> [T]
    {
        let count = slice.byteCount / MemoryLayout<T>.stride
        var failure: VulkanError?
        let values = [T](unsafeUninitializedCapacity: count) { values, initialized in
            do throws(VulkanError) {
                try download(slice, into: UnsafeMutableRawBufferPointer(values))
                initialized = count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return values
    }

    private func stage(
        _ slice: BufferSlice, reading: Bool = false,
        before: (UnsafeMutableRawPointer, Range<Int>) throws(VulkanError) -> Void,
        after: (UnsafeMutableRawPointer, Range<Int>) -> Void
    ) throws(VulkanError) {
        let size = min(slice.byteCount, Self.stagingByteCount)
        let staging = try Buffer(device: self, byteCount: size, label: "staging", hostVisible: true)
        guard let mapped = staging.mapped else {
            throw VulkanError(.unsupported, "\(capabilities.name) has no host-visible memory")
        }
        for start in stride(from: 0, to: slice.byteCount, by: size) {
            let part = start..<min(start + size, slice.byteCount)
            try before(mapped, part)
            try run { encoder throws(VulkanError) in
                let host = staging.slice(0, byteCount: part.count)
                let device = slice.slice(part.lowerBound, byteCount: part.count)
                try encoder.copy(into: reading ? host : device, from: reading ? device : host)
            }
            after(mapped, part)
        }
    }
}
