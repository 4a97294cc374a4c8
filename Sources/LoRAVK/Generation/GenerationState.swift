// What generation keeps of the tokens so far, per branch, so that a new token costs one row. Keys and values lie by token, so that
// going back to fewer tokens is only another count. A convolution's past is a ring of its last L tokens, of which the next
// token needs L − 1: one token can be taken back. Copies of the rings, made where a sequence may part, reach further.

import Kernels
import VulkanCompute

package final class GenerationState {
    package let capacity: Int
    package private(set) var count = 0
    private let device: Device
    private let states: [[LayerState?]]  // by block and branch
    private let rings: [Tensor]
    /// Tokens whose ends the rings hold: `count`, or one more.
    private var ringCount = 0
    private var copies: [(count: Int, rings: [[Float]])] = []  // ascending
    private static let mostCopies = 16

    package init(_ model: Transformer, capacity: Int) throws(VulkanError) {
        self.capacity = capacity
        device = model.device
        var states: [[LayerState?]] = []
        for (index, block) in model.blocks.enumerated() {
            var own: [LayerState?] = []
            for branch in block.branches {
                own.append(
                    try branch.mixer.makeState(capacity: capacity, model.device, label: "block \(index)"))
            }
            states.append(own)
        }
        self.states = states
        rings = states.joined().compactMap { if case .past(let ring)? = $0 { ring } else { nil } }
    }

    /// As a recording sees them that ends with token `count`.
    func seeing(_ count: Int) -> [[LayerState?]] { states.map { $0.map { $0?.seeing(count) } } }

    func advance(_ newTokens: Int) {
        count += newTokens
        ringCount = count
    }

    /// Makes `rewind` reach this place also behind later tokens.
    func keepPlace() throws(VulkanError) {
        guard !rings.isEmpty, ringCount == count, !copies.contains(where: { $0.count == count }) else {
            return
        }
        if copies.count == Self.mostCopies { copies.removeFirst() }
        var values: [[Float]] = []
        for ring in rings { values.append(try device.download(ring.slice, as: Float.self)) }
        copies.append((count, values))
    }

    /// Goes back to the first `wanted` tokens, or to as many of them as can be found again. Returns how many are left.
    func rewind(to wanted: Int) throws(VulkanError) -> Int {
        if rings.isEmpty || wanted >= count {
            count = min(count, wanted)
        } else if wanted >= ringCount - 1 {
            count = wanted
        } else if let copy = copies.last(where: { $0.count - 1 <= wanted }) {
            for (ring, values) in zip(rings, copy.rings) { try device.upload(values, into: ring.slice) }
            (count, ringCount) = (min(wanted, copy.count), copy.count)
        } else {
            (count, ringCount) = (0, 0)
        }
        copies.removeAll { $0.count > ringCount }
        return count
    }
}
