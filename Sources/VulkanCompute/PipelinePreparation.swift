// Pipelines made ahead on a thread of their own: compiling, or only reading the cache, is work of the processor that the
// loading of weights need not wait for.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Waits for its thread when it is released. What cannot be made is told where it is used.
package final class PipelinePreparation {
    private let thread: pthread_t?

    package init(_ device: Device, _ pipelines: Set<PipelineUse>) {
        let work = Unmanaged.passRetained(PipelineWork(device, pipelines))
        thread = startThread(work.toOpaque())
        if thread == nil { work.release() }
    }

    deinit {
        if let thread { pthread_join(thread, nil) }
    }
}

private final class PipelineWork: Sendable {
    let device: Device
    let pipelines: Set<PipelineUse>

    init(_ device: Device, _ pipelines: Set<PipelineUse>) {
        (self.device, self.pipelines) = (device, pipelines)
    }

    func run() { for use in pipelines { device.prepare(use) } }
}

private func startThread(_ work: UnsafeMutableRawPointer) -> pthread_t? {
    #if canImport(Darwin)
        var thread: pthread_t?
        return pthread_create(&thread, nil, { runWork($0) }, work) == 0 ? thread : nil
    #else
        var thread = pthread_t()
        return pthread_create(&thread, nil, { runWork($0) }, work) == 0 ? thread : nil
    #endif
}

private func runWork(_ work: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let work { Unmanaged<PipelineWork>.fromOpaque(work).takeRetainedValue().run() }
    return nil
}
