// Host to device and back: directly where the host sees the memory, else through a staging buffer.

import CVulkan

extension Device {
    /// So much is read from mapped memory without a cache in the time that a copy by the device takes.
    private static let uncachedByteCount = 16 << 10

    /// Copies host bytes into `slice` and waits. The device must not be using the slice.
    package func upload(_ bytes: UnsafeRawBufferPointer, into slice: BufferSlice) throws(VulkanError) {
        precondition(bytes.count == slice.byteCount, "\(bytes.count) bytes for a slice of \(slice.byteCount)")
        guard let base = bytes.baseAddress, bytes.count > 0, !isPlanning else { return }
        if let mapped = slice.mapped {
            mapped.copyMemory(from: base, byteCount: bytes.count)
            return
        }
        try stage(.upload, slice, UnsafeMutableRawPointer(mutating: base))
    }

    package func download(_ slice: BufferSlice, into bytes: UnsafeMutableRawBufferPointer) throws(VulkanError)
    {
        precondition(bytes.count == slice.byteCount, "\(bytes.count) bytes for a slice of \(slice.byteCount)")
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        guard !isPlanning else {
            base.initializeMemory(as: UInt8.self, repeating: 0, count: bytes.count)
            return
        }
        if let mapped = slice.mapped, slice.buffer.isCached || bytes.count <= Self.uncachedByteCount {
            base.copyMemory(from: mapped, byteCount: bytes.count)
            return
        }
        try stage(.download, slice, base)
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
}
