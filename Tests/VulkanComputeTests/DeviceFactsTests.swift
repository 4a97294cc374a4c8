// What follows from a driver's lists: kinds of memory, queues, clocks, subgroups and bindings, as drivers of real GPUs report them.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct DeviceFactsTests {
    struct Card: CustomTestStringConvertible, Sendable {
        let testDescription: String
        var unified = false
        /// L local, V visible and coherent, C cached; then MiB of the heap.
        let kinds: [(String, Int)]
        /// Indices for what kernels work on, uploads and downloads.
        let chosen: [UInt32]
        var mapped = false
    }

    static let cards = [
        Card(
            testDescription: "RADV, a window of 256 MiB",
            kinds: [("L", 24320), ("L", 24320), ("V", 32000), ("LV", 256), ("LV", 256), ("VC", 32000)],
            chosen: [0, 2, 5]),
        Card(
            testDescription: "RADV, all memory visible",
            kinds: [("L", 24576), ("V", 32000), ("LV", 24576), ("VC", 32000)], chosen: [0, 1, 3]),
        Card(
            testDescription: "NVIDIA",
            kinds: [("", 32000), ("L", 24576), ("V", 32000), ("VC", 32000), ("LV", 24576)],
            chosen: [1, 2, 3]),
        Card(
            testDescription: "the window first", kinds: [("LV", 256), ("L", 8192), ("VC", 16000)],
            chosen: [1, 2, 2]),
        Card(
            testDescription: "a card that shows all it has", kinds: [("LV", 8192), ("VC", 16000)],
            chosen: [0, 1, 1]),
        Card(
            testDescription: "ANV, TGL", unified: true, kinds: [("L", 24000), ("LV", 24000), ("LVC", 24000)],
            chosen: [2, 1, 2], mapped: true),
        Card(
            testDescription: "RADV, an APU", unified: true,
            kinds: [("L", 20000), ("V", 10000), ("LV", 20000), ("VC", 10000)], chosen: [2, 1, 3], mapped: true
        ),
        Card(
            testDescription: "lavapipe", unified: true, kinds: [("LVC", 32000)], chosen: [0, 0, 0],
            mapped: true),
    ]

    @Test(arguments: cards)
    func memoryIsChosenByItsPurpose(_ card: Card) {
        let types = MemoryTypes(
            card.kinds.map { flags, size in
                MemoryTypes.Kind(
                    isLocal: flags.contains("L"), isVisible: flags.contains("V"),
                    isCached: flags.contains("C"), heapByteCount: size << 20)
            }, unified: card.unified)
        let chosen = [MemoryPurpose.device, .upload, .download].map { types.choose($0, allowed: .max) }
        #expect(chosen.map { $0?.index } == card.chosen)
        #expect(chosen.map { $0?.mappable } == [card.mapped, true, true])
        // A buffer that may not lie in the best kind gets another or none.
        for bits in UInt32(0)..<1 << UInt32(card.kinds.count) {
            for purpose in [MemoryPurpose.device, .upload, .download] {
                let choice = types.choose(purpose, allowed: bits)
                let possible = card.kinds.indices.contains {
                    bits >> UInt32($0) & 1 == 1 && (purpose == .device || card.kinds[$0].0.contains("V"))
                }
                #expect((choice != nil) == possible || card.unified && purpose == .device)
                if let choice { #expect(bits >> choice.index & 1 == 1) }
            }
        }
    }

    @Test func aClockThatBeginsAgainLosesNothing() {
        func clock(_ bits: Int) -> TickClock {
            var capabilities = Capabilities.least
            (capabilities.timestampPeriod, capabilities.timestampBits) = (50, bits)
            return TickClock(capabilities)
        }
        for bits in [36, 48, 63, 64] {
            let last: UInt64 = bits == 64 ? .max : (1 << UInt64(bits)) - 1
            #expect(abs(clock(bits).seconds(from: 1000, to: 21_001_000) - 1.05) < 1e-9)
            #expect(abs(clock(bits).seconds(from: last - 9, to: 19_999_990) - 1) < 1e-9)
        }
        // What lies beyond the counter's bits means nothing.
        #expect(abs(clock(36).seconds(from: 0xABC << 36 | 5, to: 20_000_005) - 1) < 1e-9)
        #expect(clock(36).seconds(from: 7, to: 7) == 0)
    }

    @Test func aQueueThatOnlyComputesLeavesTheOtherToTheDesktop() {
        let (draws, computes, copies): (UInt32, UInt32, UInt32) = (1, 2, 4)
        #expect(QueueFamily.best([draws | computes | copies, computes | copies, copies]) == 1)
        #expect(QueueFamily.best([copies, draws | computes]) == 1)
        #expect(QueueFamily.best([draws, copies]) == nil && QueueFamily.best([]) == nil)
    }

    @Test func subgroupsOfOneSizeNeedNoPin() {
        func pin(_ size: UInt32, _ sizes: ClosedRange<UInt32>, canPin: Bool) -> Bool? {
            CooperativeMatrix.needsPin(
                size: size, least: sizes.lowerBound, most: sizes.upperBound, canPin: canPin)
        }
        #expect(pin(32, 32...32, canPin: false) == false)
        #expect(pin(64, 32...64, canPin: true) == true)
        #expect(pin(64, 32...64, canPin: false) == nil && pin(128, 32...64, canPin: true) == nil)
    }

    /// A Raspberry Pi's driver allows a kernel eight storage buffers.
    @Test func aKernelOfTooManyBindingsIsRefusedWithBothNumbers() throws {
        var capabilities = Capabilities.least
        let shader = Shader.adamw(family: .shared, rates: .one)
        #expect(shader.bindings.count == 9)
        capabilities.maxStorageBuffers = 8
        let text = shader.missing(on: capabilities)
        #expect(text == "9 storage buffers (it allows a kernel 8)")
        capabilities.maxStorageBuffers = 9
        #expect(shader.missing(on: capabilities) == nil)
        capabilities.maxBindings = 8
        #expect(shader.missing(on: capabilities)?.contains("9 bindings") == true)
        #expect(try TestDevices.main.capabilities.maxStorageBuffers >= 4)
    }
}
