// Memory that a launcher takes between two of its own dispatches.

/// Where it comes from. What is given back may be taken again at once: the encoder orders the accesses.
package protocol Scratch: AnyObject {
    func takeScratch(byteCount: Int) throws(VulkanError) -> BufferSlice
    func giveScratch(_ slice: BufferSlice)
}

/// An encoder's own: buffers that live as long as what was recorded with them. On nil, planned ones.
final class OwnScratch: Scratch {
    private let device: Device?
    private var free: [Buffer] = []

    init(_ device: Device?) { self.device = device }

    func takeScratch(byteCount: Int) throws(VulkanError) -> BufferSlice {
        if let index = free.firstIndex(where: { $0.byteCount >= byteCount }) {
            return free.remove(at: index).slice(0, byteCount: byteCount)
        }
        guard let device else { return Buffer(planned: byteCount, label: "scratch").slice() }
        return try device.makeBuffer(byteCount: byteCount, label: "scratch").slice()
    }

    func giveScratch(_ slice: BufferSlice) { free.append(slice.buffer) }
}
