// Memory for activations. Every tensor of a step is taken and given back in the order in which the step is recorded,
// so running the recording once without a device finds the exact size of what the second run then allocates.

import Kernels
import VulkanCompute

/// Bytes of each buffer that an arena needs: several only where the device limits one allocation.
package struct ArenaPlan: Sendable, Equatable {
    package var chunks: [Int]
    package var byteCount: Int { chunks.reduce(0, +) }

    /// Whether a recording with plan `other` runs in memory laid out for this one.
    func holds(_ other: ArenaPlan) -> Bool {
        other.chunks.count <= chunks.count && zip(chunks, other.chunks).allSatisfy { $0 >= $1 }
    }

    func union(_ other: ArenaPlan) -> ArenaPlan {
        let count = max(chunks.count, other.chunks.count)
        func size(_ plan: ArenaPlan, _ index: Int) -> Int {
            index < plan.chunks.count ? plan.chunks[index] : 0
        }
        return ArenaPlan(chunks: (0..<count).map { max(size(self, $0), size(other, $0)) })
    }
}

/// Not thread-safe: one recording at a time.
package final class Arena {
    private struct Chunk {
        let buffer: Buffer
        var free: [Range<Int>]
        var peak = 0
    }
    private struct Place: Hashable {
        let chunk: Int
        let offset: Int
    }

    private static let alignment = 256
    private var chunks: [Chunk]
    private var taken: [Place: Int] = [:]
    private let plannedChunkByteCount: Int?

    /// An arena that only measures.
    package init(planningFor capabilities: Capabilities) {
        chunks = []
        plannedChunkByteCount = capabilities.maxAllocation / Self.alignment * Self.alignment
    }

    package init(_ device: Device, _ plan: ArenaPlan) throws(VulkanError) {
        chunks = []
        plannedChunkByteCount = nil
        for byteCount in plan.chunks {
            let buffer = try device.makeBuffer(byteCount: byteCount, label: "activations")
            chunks.append(Chunk(buffer: buffer, free: [0..<byteCount]))
        }
    }

    package var plan: ArenaPlan { ArenaPlan(chunks: chunks.map(\.peak)) }

    package func take(_ shape: Int..., dtype: DType = .f32) -> Tensor { take(shape: shape, dtype: dtype) }

    package func take(shape: [Int], dtype: DType) -> Tensor {
        let byteCount = max(shape.reduce(dtype.byteCount, *), 16)
        let size = (byteCount + Self.alignment - 1) / Self.alignment * Self.alignment
        for index in chunks.indices {
            if let tensor = take(size, in: index, shape, dtype) { return tensor }
        }
        guard let capacity = plannedChunkByteCount, size <= capacity else {
            preconditionFailure("\(size) bytes for a tensor of shape \(shape) are not in the plan \(plan)")
        }
        chunks.append(Chunk(buffer: Buffer(planned: capacity, label: "activations"), free: [0..<capacity]))
        guard let tensor = take(size, in: chunks.count - 1, shape, dtype) else {
            preconditionFailure("an empty chunk of \(capacity) bytes did not give \(size)")
        }
        return tensor
    }

    /// A matrix for a product to walk down: its rows at a distance that spreads over a processor's cache.
    package func takeSpread(_ rows: Int, _ width: Int) -> Tensor {
        take(rows, width, pitch: Tensor.spreadPitch(width))
    }

    package func take(like other: Tensor) -> Tensor { take(other.rows, other.width, pitch: other.pitch) }

    private func take(_ rows: Int, _ width: Int, pitch: Int) -> Tensor {
        let stored = take(rows, pitch)
        return Tensor(stored.slice, shape: [rows, width], pitch: pitch)
    }

    private func take(_ size: Int, in index: Int, _ shape: [Int], _ dtype: DType) -> Tensor? {
        guard let hole = chunks[index].free.firstIndex(where: { $0.count >= size }) else { return nil }
        let range = chunks[index].free[hole]
        let start = range.lowerBound
        let rest = (start + size)..<range.upperBound
        chunks[index].free.replaceSubrange(hole...hole, with: rest.isEmpty ? [] : [rest])
        chunks[index].peak = max(chunks[index].peak, start + size)
        taken[Place(chunk: index, offset: start)] = size
        let bytes = shape.reduce(dtype.byteCount, *)
        return Tensor(chunks[index].buffer.slice(start, byteCount: bytes), shape: shape, dtype: dtype)
    }

    /// Gives memory back. What is recorded afterwards may use it: the encoder orders the accesses.
    package func give(_ tensors: Tensor?...) {
        for case let tensor? in tensors {
            guard let index = chunks.firstIndex(where: { $0.buffer === tensor.slice.buffer }),
                let size = taken.removeValue(forKey: Place(chunk: index, offset: tensor.slice.offset))
            else {
                preconditionFailure("a tensor of shape \(tensor.shape) was given back that was not taken")
            }
            give(tensor.slice.offset..<(tensor.slice.offset + size), to: index)
        }
    }

    private func give(_ range: Range<Int>, to index: Int) {
        var free = chunks[index].free
        let position = free.firstIndex { $0.lowerBound >= range.upperBound } ?? free.endIndex
        free.insert(range, at: position)
        if position + 1 < free.endIndex, free[position + 1].lowerBound == free[position].upperBound {
            free[position] = free[position].lowerBound..<free.remove(at: position + 1).upperBound
        }
        if position > 0, free[position - 1].upperBound == free[position].lowerBound {
            free[position - 1] = free[position - 1].lowerBound..<free.remove(at: position).upperBound
        }
        chunks[index].free = free
    }

    /// Every tensor was given back: a recording that leaks would grow with each step.
    package var isEmpty: Bool { taken.isEmpty }
}
