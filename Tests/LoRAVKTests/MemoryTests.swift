// What is planned is what is allocated, to the byte; steps are laid out to fit a budget, and how they are changes no result.

import Checkpoints
import Foundation
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct MemoryTests {
    private func planner(
        _ shape: TinyModel, _ capabilities: Capabilities, weights: WeightStorage = .auto, rank: Int = 8,
        _ body: (Checkpoint, MemoryPlanner) throws -> Void
    ) throws {
        try withTemporaryFolder { folder in
            try shape.write(to: folder)
            let checkpoint = try Checkpoint.open(path: folder)
            let planner = try MemoryPlanner(checkpoint, weights: weights, capabilities: capabilities) {
                try Adapter.random(for: $0, rank: rank)
            }
            try body(checkpoint, planner)
        }
    }

    /// Every part of a real training, by the device's own count: of the best family of kernels, and of the one that any device runs, where
    /// what is planned without a device holds too.
    @Test(
        arguments: [(WeightStorage.auto, 8, 0), (.f32, 5, 1), (.auto, 8, 2), (.bf16, 16, 3)], [false, true])
    func whatIsPlannedIsAllocated(
        _ options: (weights: WeightStorage, rank: Int, recomputed: Int), smallLimits: Bool
    ) throws {
        let shape = TinyModel(hidden: 64, layers: 3, tied: false)
        var debug = DebugOptions.environment
        debug.smallLimits = smallLimits
        // What passes through staging memory is in no plan, and none of the device's.
        debug.staged = options.weights == .f32
        let device = try Device.open(instance: Instance(options: debug))
        let anyDevice = try Device.choose(instance: Instance(options: debug)).open(
            family: Shader.Family.shared.rawValue)
        let batch = examples([60, 64, 33], prompt: 2)
        let pass = TokenBatch(batch).shape
        for (capabilities, device) in [
            (device.capabilities, device), (anyDevice.capabilities, anyDevice), (.least, anyDevice),
        ] where !(smallLimits && capabilities.type == .other) {
            try planner(shape, capabilities, weights: options.weights, rank: options.rank) {
                checkpoint, planner in
                let planned = try planner.use(pass, recomputedBlocks: options.recomputed)

                var seen = MemoryUse()
                var counted = device.bufferByteCount
                func added() -> Int {
                    defer { counted = device.bufferByteCount }
                    return device.bufferByteCount - counted
                }
                #expect(counted == 0 && device.heldByteCount == 0)
                let model = try Transformer.load(checkpoint, device: device, weights: options.weights)
                seen.weights = added()
                let adapter = try Adapter.random(for: model, rank: options.rank)
                seen.adapter = added()
                let trainer = try Trainer(model, adapter, recomputedBlocks: options.recomputed)
                seen.optimizer = added()
                _ = try trainer.step([batch], learningRate: 1e-3)
                _ = try Evaluator(sharing: trainer).evaluate(batch)
                seen.activations = try trainer.plan(pass).arena.byteCount
                seen.tokens = added() - seen.activations
                seen.unused = device.heldByteCount - device.bufferByteCount
                #expect(seen == planned && seen.total == device.heldByteCount)
                withExtendedLifetime(trainer) {}
            }
        }
    }

    @Test func aStepNeedsTheMemoryThatIsPlanned() throws {
        let device = try Device.open()
        let model = try TinyModel(positions: 16).load(device)
        let trainer = try Trainer(model, try Adapter.random(for: model))
        let shape = BatchShape(tokens: 32768, counted: 2048)
        let plan = try trainer.plan(shape)
        // Larger than a block, so that it gets one of its own, of exactly its size.
        try #require(plan.arena.chunks.count == 1 && plan.arena.byteCount > 64 << 20)
        let before = device.heldByteCount
        try trainer.reserve(shape)
        #expect(device.heldByteCount - before == plan.arena.byteCount)
        try trainer.reserve(BatchShape(tokens: 8192, counted: 1024))
        #expect(device.heldByteCount - before == plan.arena.byteCount, "a smaller shape took more")

        let larger = try trainer.plan(BatchShape(tokens: 65536, counted: 2048))
        #expect(larger.arena.byteCount > plan.arena.byteCount && larger.flops > plan.flops)
        try trainer.reserve(BatchShape(tokens: 65536, counted: 2048))
        #expect(device.heldByteCount - before == larger.arena.byteCount, "the old memory is still there")
    }

    /// Behind the first of each, which record what is then replayed.
    @Test(arguments: [false, true]) func aStepAndATokenMakeNothing(staged: Bool) throws {
        var debug = DebugOptions.environment
        debug.staged = staged
        let device = try Device.open(instance: Instance(options: debug))
        let model = try TinyModel().load(device)
        let trainer = try Trainer(model, try Adapter.random(for: model))
        let generator = try Generator(model, trainer.adapter, capacity: 16)
        let batch = examples([20, 13], prompt: 2)
        func work() throws {
            _ = try trainer.step([batch], learningRate: 1e-3)
            _ = try generator.append([1])
        }
        for _ in 0..<2 { try work() }
        let makers = [
            "vkAllocateMemory", "vkMapMemory", "vkCreateBuffer", "vkCreateCommandPool", "vkCreateFence",
            "vkAllocateCommandBuffers", "vkAllocateDescriptorSets", "vkCreateBufferView",
        ]
        for call in makers {
            let counter = VulkanFaults(call, failing: .max)
            try VulkanFaults.$active.withValue(counter) { try work() }
            #expect(counter.counted == 0, "\(call)")
        }
        #expect(device.instance.validationMessages.isEmpty)
    }

    @Test func planningTouchesNoDevice() throws {
        let device = Device(planning: .least)
        let model = try TinyModel().load(device)
        let adapter = try Adapter.random(for: model)
        let trainer = try Trainer(model, adapter)
        try trainer.reserve(BatchShape(tokens: 64, counted: 64))
        #expect(device.isPlanning && device.bufferByteCount > 0)
        #expect(try adapter.all().values.allSatisfy { $0.allSatisfy { $0 == 0 } }, "nothing is there to read")
    }

    @Test func memoryGrowsWithTokensAndShrinksWithEveryBlockComputedAgain() throws {
        let model = try TinyModel(layers: 6, positions: 16).load(TestDevices.main)
        let adapter = try Adapter.random(for: model)
        func bytes(_ tokens: Int, _ recomputed: Int) throws -> Int {
            try Trainer(model, adapter, recomputedBlocks: recomputed)
                .plan(BatchShape(tokens: tokens, counted: 64)).arena.byteCount
        }
        let levels = try (0...6).map { try bytes(1024, $0) }
        // The topmost block is computed again at once: only the loss's memory is not beside its own.
        for level in 0..<5 { #expect(levels[level + 1] < levels[level]) }
        #expect(levels[6] * 10 <= levels[5] * 11 && levels[6] * 2 < levels[0])
        for recomputed in [0, 6] {
            let (one, two, four) = (
                try bytes(1024, recomputed), try bytes(2048, recomputed), try bytes(4096, recomputed)
            )
            #expect(abs((four - two) - 2 * (two - one)) * 50 < four)
        }
    }

    // MARK: Budgets

    @Test func stepsAreLaidOutToFitABudget() throws {
        let sizes = [ExampleSize](repeating: ExampleSize(tokens: 400, counted: 100), count: 16)
        let shape = TinyModel(hidden: 512, layers: 12, positions: 512)
        try planner(shape, TestDevices.main.capabilities) { _, planner in
            func layout(_ budget: Int, recomputed: Int? = nil) throws -> StepLayout {
                try planner.layout(sizes, batchSize: 8, budget: budget, recomputedBlocks: recomputed)
            }
            let whole = try layout(.max)
            #expect(whole.recomputedBlocks == 0 && whole.tokensPerPass == 3200)
            // Every budget from what is enough for all down to what is too little.
            var previous = whole
            var kinds: Set<[Bool]> = []
            while let next = try? layout(previous.use.total - 1) {
                #expect(next.use.total < previous.use.total)
                #expect(next.tokensPerPass <= previous.tokensPerPass && next.tokensPerPass >= 400)
                #expect(next.recomputedBlocks >= previous.recomputedBlocks)
                #expect(next.recomputedBlocks == 0 || next.tokensPerPass < 2 * 512)
                #expect(next.recomputedBlocks == 12 || next.tokensPerPass >= 512)
                kinds.insert([next.recomputedBlocks > 0, next.tokensPerPass < 512])
                previous = next
            }
            #expect(kinds == [[false, false], [true, false], [true, true]])
            let text = errorText { _ = try layout(previous.use.total - 1) }
            #expect(text?.hasPrefix("training needs ") == true && text?.contains("the budget is") == true)

            let fixed = try layout(whole.use.total / 2, recomputed: 3)
            #expect(fixed.recomputedBlocks == 3 && fixed.tokensPerPass < 3200)
        }
    }

    /// Several short examples in one pass are as each in its own.
    @Test func packedExamplesAreAsThoseAlone() throws {
        let model = try TinyModel().load(TestDevices.main)
        let batch = examples([9, 5, 1, 33, 2, 64, 17], prompt: 1)
        let counted = batch.reduce(0) { $0 + $1.countedTokens }
        func gradients(_ passes: [[Example]]) throws -> (Double, [String: [Float]]) {
            let trainer = try Trainer(model, try Adapter.random(for: model))
            let loss = try passes.reduce(0) { try $0 + trainer.forwardBackward($1, counted: counted) }
            return (loss, try trainer.adapter.all(.gradient))
        }
        let packed = try gradients([batch])
        for tokens in [1, 40, 80] {
            let passes = TokenBatch.passes(batch, tokens: tokens)
            #expect(passes.count > 1 && passes.joined().elementsEqual(batch))
            let split = try gradients(passes)
            #expect(isClose(split.0, packed.0, 1e-5) && relativeDifference(split.1, packed.1) <= 1e-5)
        }
    }

    @Test func passesHoldWhatFits() {
        let batch = examples([5, 5, 5, 30, 1])
        func counts(_ tokens: Int) -> [Int] { TokenBatch.passes(batch, tokens: tokens).map(\.count) }
        #expect(counts(.max) == [5] && counts(10) == [2, 1, 1, 1] && counts(1) == [1, 1, 1, 1, 1])
        #expect(TokenBatch.passes([], tokens: 10).isEmpty)
    }
}
