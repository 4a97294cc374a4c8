// Memory of a step: reuse, merging of holes, and that a dry run finds exactly what the real run needs.

import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct ArenaTests {
    private func planning(maxAllocation: Int? = nil) throws -> Arena {
        var capabilities = try TestDevices.main.capabilities
        if let maxAllocation { capabilities.maxAllocation = maxAllocation }
        return Arena(planningFor: capabilities)
    }

    @Test func whatIsGivenBackIsUsedAgain() throws {
        let arena = try planning()
        let a = arena.take(100, 4)  // 1600 bytes: 1792
        let b = arena.take(64)  // 256
        #expect(a.slice.offset == 0 && b.slice.offset == 1792 && a.shape == [100, 4])
        arena.give(a)
        let c = arena.take(32, 4)  // 512, into a's place
        let d = arena.take(320)  // 1280, behind it: exactly the rest
        #expect(c.slice.offset == 0 && d.slice.offset == 512)
        let e = arena.take(1)
        #expect(e.slice.offset == 2048 && e.byteCount == 4)
        #expect(arena.plan.chunks == [2304] && !arena.isEmpty)
        arena.give(b, nil, c, d, e)
        #expect(arena.isEmpty && arena.plan.byteCount == 2304)
    }

    @Test func holesMergeWithBothNeighbours() throws {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let arena = try planning()
            let parts = (0..<3).map { _ in arena.take(64) }
            let last = arena.take(64)
            for index in order { arena.give(parts[index]) }
            let whole = arena.take(192)
            #expect(whole.slice.offset == 0, "\(order)")
            arena.give(whole, last)
            #expect(arena.plan.chunks == [1024] && arena.isEmpty)
        }
    }

    /// The same takes and gives, in a planning arena and in one with memory.
    private func exercise(_ arena: Arena) -> [[Int]] {
        var random = RandomValues(seed: 21)
        var held: [Tensor] = []
        var places: [[Int]] = []
        for _ in 0..<500 {
            if held.count > 12 || (!held.isEmpty && Bool.random(using: &random)) {
                arena.give(held.remove(at: Int.random(in: held.indices, using: &random)))
            } else {
                let tensor = arena.take(
                    Int.random(in: 1...40, using: &random), 4 * Int.random(in: 1...60, using: &random))
                for other in held where other.slice.buffer === tensor.slice.buffer {
                    #expect(!other.slice.range.overlaps(tensor.slice.range))
                }
                #expect(tensor.slice.offset % 256 == 0)
                held.append(tensor)
                places.append([tensor.slice.offset, tensor.byteCount])
            }
        }
        for tensor in held { arena.give(tensor) }
        #expect(arena.isEmpty)
        return places
    }

    @Test(arguments: [nil, 64 << 10])
    func theRealRunTakesWhatTheDryRunFound(_ maxAllocation: Int?) throws {
        let dry = try planning(maxAllocation: maxAllocation)
        let places = exercise(dry)
        let real = try Arena(TestDevices.main, dry.plan)
        #expect(exercise(real) == places)
        #expect(real.plan == dry.plan)
        #expect((dry.plan.chunks.count > 1) == (maxAllocation != nil))
        if let maxAllocation { #expect(dry.plan.chunks.allSatisfy { $0 <= maxAllocation }) }
    }

    @Test func aFullChunkIsFollowedByAnother() throws {
        let arena = try planning(maxAllocation: 4096)
        let a = arena.take(768)  // 3072 bytes
        let b = arena.take(512)  // 2048: a new chunk
        let c = arena.take(256)  // 1024: the rest of the first
        #expect(a.slice.buffer !== b.slice.buffer && a.slice.buffer === c.slice.buffer)
        #expect(arena.plan.chunks == [4096, 2048] && arena.plan.byteCount == 6144)
        arena.give(a, b, c)
        #expect(arena.isEmpty)
    }
}
