// Records dispatches, fills, copies and work of the host. It alone places barriers (from the byte ranges that each command reads and
// writes), splits dispatches to the device's limits and cuts the recording into submissions that stay far below a
// watchdog. The result is a CommandGraph, run once or replayed. In planning mode nothing is recorded.

import CVulkan

/// A 32-bit word of a push constant block.
package protocol PushWord { var pushWord: UInt32 { get } }
extension UInt32: PushWord { package var pushWord: UInt32 { self } }
extension Int: PushWord { package var pushWord: UInt32 { UInt32(self) } }
extension Int32: PushWord { package var pushWord: UInt32 { UInt32(bitPattern: self) } }
extension Float: PushWord { package var pushWord: UInt32 { bitPattern } }
extension Bool: PushWord { package var pushWord: UInt32 { self ? 1 : 0 } }

/// A dispatch that a planning encoder was asked for. `flops` are at most so many.
package struct Launch: Sendable {
    package let pipeline: PipelineUse
    package let groups: Int
    package let flops: Double
    package let bytes: Double
}

/// Not thread-safe: one thread records.
package final class CommandEncoder {
    package var capabilities: Capabilities
    /// The kernel family to use instead of the device's own choice; set by tests and benchmarks.
    package var forcedFamily: String?
    /// What launchers go by instead of what was measured before; set by the tuner.
    package var tuning: Tuning {
        get { capabilities.tuning }
        set { capabilities.tuning = newValue }
    }
    /// What was recorded, for tests and benchmarks.
    package private(set) var dispatchCount = 0
    package private(set) var barrierCount = 0
    package private(set) var hostWorkCount = 0
    package private(set) var flops = 0.0
    /// What a planning encoder would have run.
    package private(set) var launches: [Launch] = []
    /// Where launchers take what they need between dispatches of their own.
    package let scratch: any Scratch

    private let recording: Recording?  // nil while planning
    private var hazards = Hazards()

    /// `scratch`: nil is memory of the encoder's own, which nobody has planned.
    package init(_ device: Device, timed: Bool = false, scratch: (any Scratch)? = nil) throws(VulkanError) {
        capabilities = device.capabilities
        recording = device.isPlanning ? nil : try Recording(device, timed: timed)
        self.scratch = scratch ?? OwnScratch(device.isPlanning ? nil : device)
    }

    /// An encoder that only counts: launchers run against it to find sizes before anything is allocated.
    package init(planningFor capabilities: Capabilities, scratch: (any Scratch)? = nil) {
        self.capabilities = capabilities
        recording = nil
        self.scratch = scratch ?? OwnScratch(nil)
    }

    package var isPlanning: Bool { recording == nil }

    /// One kernel over `groups` workgroups. `buffers` follow the shader's bindings; `push` follows `groupBase`.
    /// `flops` is the work it does, for benchmarks and for cutting submissions; `possibleFlops` is work that depends on what the
    /// buffers hold, at most so much: submissions are cut by it, benchmarks do not count it.
    package func dispatch(
        _ shader: Shader, _ buffers: [BufferSlice], push: [any PushWord],
        specialization: [String: UInt32] = [:],
        groups: Int, flops: Double = 0, possibleFlops: Double = 0, label: String
    ) throws(VulkanError) {
        guard groups > 0 else { return }
        precondition(
            buffers.count == shader.bindings.count,
            "\(shader.name) has \(shader.bindings.count) bindings, \(label) gave \(buffers.count)")
        precondition(
            (push.count + 1) * 4 == shader.pushByteCount,
            "\(shader.name) has \(shader.pushByteCount) push bytes, \(label) gave \((push.count + 1) * 4)")
        precondition(
            shader.specializationIDs["LANES"] == nil || specialization["LANES"] != nil,
            "\(label) runs \(shader.name) without its workgroup width, LANES")
        dispatchCount += 1
        self.flops += flops
        let bytes = Self.byteCount(buffers)
        guard let recording else {
            let pipeline = PipelineUse(shader: shader, specialization: specialization)
            launches.append(
                Launch(pipeline: pipeline, groups: groups, flops: flops + possibleFlops, bytes: bytes))
            return
        }
        let pipeline = try recording.device.pipeline(shader, specialization)
        let set = try recording.descriptorSet(pipeline, buffers, label: label)
        let accesses = zip(shader.bindings, buffers)
        let reads = accesses.filter { $0.0.readable }.map(\.1)
        let writes = accesses.filter { $0.0.writable }.map(\.1)
        try order(reads: reads, writes: writes)

        let pace = recording.device.pace
        let pieces = max(
            (groups + capabilities.maxWorkgroupCount - 1) / capabilities.maxWorkgroupCount,
            min(groups, Int(((flops + possibleFlops + bytes) / pace.budget).rounded(.up))), 1)
        let size = (groups + pieces - 1) / pieces
        let words = push.map(\.pushWord)
        for base in stride(from: 0, to: groups, by: size) {
            let count = min(size, groups - base)
            let share = Double(count) / Double(groups)
            // Pieces of a dispatch in place touch different elements, but validation sees one range read and written.
            if base > 0, Hazards.isInPlace(reads: reads, writes: writes) {
                try order(reads: reads, writes: writes)
            }
            try recording.dispatch(
                pipeline, set, [UInt32(base)] + words, groups: count, label: label,
                work: (flops + possibleFlops + bytes) * share, flops: flops * share, bytes: bytes * share)
        }
    }

    private static func byteCount(_ buffers: [BufferSlice]) -> Double {
        buffers.enumerated().reduce(0.0) { sum, slice in
            let isRepeated = buffers[..<slice.offset].contains { $0.isSame(as: slice.element) }
            return isRepeated ? sum : sum + Double(slice.element.byteCount)
        }
    }

    /// Work of the host, which sees what is recorded before it and is seen by what comes after: `body` reads and writes what the slices
    /// have mapped. For devices with `sharesHostMemory`.
    package func host(
        _ kernel: String, reads: [BufferSlice], writes: [BufferSlice], flops: Double, label: String,
        _ body: @escaping () -> Void
    ) throws(VulkanError) {
        precondition(
            capabilities.sharesHostMemory, "\(label): the host does not share memory with the device")
        self.flops += flops
        hostWorkCount += 1
        guard let recording else { return }
        let work = HostWork(
            label, kernel: kernel, flops: flops, bytes: Self.byteCount(reads + writes), body)
        try recording.host(work, reads + writes)
        hazards.clear()
    }

    /// A kernel that is not ours, with its own push constants and a grid of two dimensions: benchmarks run such beside ours.
    package func dispatchForeign(
        _ shader: Shader, _ buffers: [BufferSlice], push: [UInt32], columns: Int, rows: Int, flops: Double,
        label: String
    ) throws(VulkanError) {
        guard let recording else { return }
        dispatchCount += 1
        self.flops += flops
        let pipeline = try recording.device.pipeline(shader, [:])
        let set = try recording.descriptorSet(pipeline, buffers, label: label)
        let accesses = zip(shader.bindings, buffers)
        try order(
            reads: accesses.filter { $0.0.readable }.map(\.1),
            writes: accesses.filter { $0.0.writable }.map(\.1))
        try recording.dispatch(
            pipeline, set, push, groups: columns, rows: rows, label: label, work: flops, flops: flops,
            bytes: 0)
    }

    /// Every 32-bit word of `slice` becomes `value`.
    package func fill(_ slice: BufferSlice, value: UInt32 = 0) throws(VulkanError) {
        guard slice.byteCount > 0, let recording else { return }
        try order(reads: [], writes: [slice])
        recording.fill(slice, value)
    }

    package func copy(into destination: BufferSlice, from source: BufferSlice) throws(VulkanError) {
        precondition(destination.byteCount == source.byteCount, "a copy between slices of different size")
        guard source.byteCount > 0, let recording else { return }
        try order(reads: [source], writes: [destination])
        recording.copy(into: destination, from: source)
    }

    /// Ends the recording. The encoder cannot be used afterwards.
    package func finish() throws(VulkanError) -> CommandGraph {
        guard let recording else { preconditionFailure("a planning encoder has nothing to run") }
        return try recording.finish()
    }

    private func order(reads: [BufferSlice], writes: [BufferSlice]) throws(VulkanError) {
        guard let recording else { return }
        if hazards.conflict(reads: reads, writes: writes) {
            recording.barrier()
            barrierCount += 1
            hazards.clear()
        }
        hazards.note(reads: reads, writes: writes)
    }
}

extension Device {
    /// Records `body`, runs it and waits.
    package func run(_ body: (CommandEncoder) throws(VulkanError) -> Void) throws(VulkanError) {
        let encoder = try CommandEncoder(self)
        try body(encoder)
        if !encoder.isPlanning { try encoder.finish().run() }
    }
}
