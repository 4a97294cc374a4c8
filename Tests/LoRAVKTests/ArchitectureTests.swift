// What holds for every architecture of the registry, on a tiny random model made from its description alone.

import Checkpoints
import Foundation
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct ArchitectureTests {
    static let all = Architectures.all.map(\.name)

    private func tiny(_ name: String, _ changes: JSON.Object = [:]) throws -> TinyCheckpoint {
        TinyCheckpoint(try #require(Architectures.named(name)), changes)
    }

    private func load(
        _ name: String, _ device: Device, gguf: Bool = false, _ changes: JSON.Object = [:]
    ) throws -> Transformer {
        try withTemporaryFolder { folder in
            let tiny = try tiny(name, changes)
            if gguf {
                try tiny.writeGGUF("\(folder)/model.gguf")
                return try Transformer.load("\(folder)/model.gguf", device: device)
            }
            try tiny.writeFolder(folder)
            return try Transformer.load(folder, device: device)
        }
    }

    /// Longer than the windows of the tiny models, which are at most 20.
    private let tokens = examples([27])[0].tokens

    private func expectSame(_ got: [Float], _ want: [Float], _ text: String, within tolerance: Double = 3e-4)
    {
        let wrong = mismatch(got, want.doubles, Tolerance(absolute: tolerance, relative: tolerance))
        #expect(wrong == nil, "\(text): \(wrong ?? "")")
    }

    @Test(arguments: all)
    func bothFilesAreTheSameModelToTheBit(_ name: String) throws {
        guard Architectures.named(name)?.gguf != nil else { return }
        let device = try TestDevices.main
        let (folder, gguf) = (try load(name, device), try load(name, device, gguf: true))
        let positions = Array(tokens.indices)
        let logits = try Evaluator(folder, nil).logits(tokens, at: positions)
        #expect(try Evaluator(gguf, nil).logits(tokens, at: positions) == logits)
        #expect(logits.allSatisfy { $0.allSatisfy(\.isFinite) } && Set(logits.map { $0[0] }).count > 20)
    }

    @Test(arguments: all)
    func gradientsAreThoseOfTheLoss(_ name: String) throws {
        // All experts, since the loss jumps where a token's choice becomes another.
        let experts = try tiny(name).spec.experts.first?.count
        let model = try load(
            name, TestDevices.main, experts.map { ["num_experts_per_tok": .integer($0)] } ?? [:])
        let adapter = try Adapter.random(for: model, rank: 3)
        let batch = examples([14, 5], prompt: 2)
        let evaluator = try Evaluator(model, adapter)
        _ = try gradients(model, adapter, [batch])
        try compareGradients(adapter, step: 1e-2, relative: 8e-3) { try evaluator.evaluate(batch).lossSum }
    }

    @Test(arguments: all)
    func computingAgainChangesNoBit(_ name: String) throws {
        let model = try load(name, TestDevices.main)
        let adapter = try Adapter.random(for: model, dropout: 0.25)
        let batch = examples([14, 5], prompt: 2)
        var seen: Set<[String: [Float]]> = []
        for blocks in 0...model.spec.blocks.count {
            let trainer = try Trainer(model, adapter, recomputedBlocks: blocks)
            try trainer.zeroGradients()
            _ = try trainer.forwardBackward(batch, counted: 1)
            seen.insert(try adapter.all(.gradient))
        }
        #expect(seen.count == 1)
    }

    /// On every family: that of GPUs has tensors between dispatches of one product.
    @Test(arguments: all, try TestDevices.main.families)
    func whatIsPlannedIsAllocated(_ name: String, _ family: Shader.Family) throws {
        let device = try Device.choose().open(family: family.rawValue)
        try withTemporaryFolder { folder in
            try tiny(name).writeFolder(folder)
            let checkpoint = try Checkpoint.open(path: folder)
            let batch = examples([33, 40], prompt: 2)
            let planner = try MemoryPlanner(checkpoint, weights: .auto, capabilities: device.capabilities) {
                try Adapter.random(for: $0)
            }
            let planned = try planner.use(TokenBatch(batch).shape, recomputedBlocks: 1)
            let model = try Transformer.load(checkpoint, device: device)
            let trainer = try Trainer(model, Adapter.random(for: model), recomputedBlocks: 1)
            _ = try trainer.step([batch], learningRate: 1e-3)
            #expect(device.heldByteCount == planned.total)
            withExtendedLifetime(trainer) {}
        }
    }

    /// Behind a cache, token by token and in pieces, with and without an adapter.
    @Test(arguments: all)
    func generationIsTheWholeSequence(_ name: String) throws {
        let model = try load(name, TestDevices.main)
        guard !model.spec.isEncoder else {
            let generator = try Generator(model, nil, capacity: 8)
            let text = errorText {
                _ = try generator.draw([1], AnswerOptions()) { _ in true }
            }
            return #expect(text?.contains("is an encoder") == true, "\(text ?? "")")
        }
        for adapter in [nil, try Adapter.random(for: model, rank: 8)] {
            let parts = [0..<1, 1..<2, 2..<9, 9..<10, 10..<24, 24..<25, 25..<26]
            let whole = try Evaluator(model, adapter).logits(tokens, at: parts.map { $0.upperBound - 1 })
            let generator = try Generator(model, adapter, capacity: tokens.count)
            for (want, part) in zip(whole, parts) {
                expectSame(try generator.append(Array(tokens[part])), want, "\(name), tokens \(part)")
            }
        }
    }

    /// Sequences in one batch do not see each other, and a longer one behind a window's reach changes nothing before it.
    @Test(arguments: all)
    func packedExamplesAreAlone(_ name: String) throws {
        let model = try load(name, TestDevices.main)
        let adapter = try Adapter.random(for: model)
        let evaluator = try Evaluator(model, adapter)
        let parts = examples([3, 27, 8, 19], prompt: 1)
        let alone = try parts.map { try evaluator.evaluate([$0]).lossSum }
        #expect(isClose(try evaluator.evaluate(parts).lossSum, alone.reduce(0, +), 1e-5))
        let together = try gradients(model, adapter, [parts])
        #expect(relativeDifference(together, try gradients(model, adapter, parts.map { [$0] })) < 2e-4)
    }

    @Test(arguments: all)
    func smallLimitsAndFamiliesAgree(_ name: String) throws {
        let batch = examples([24, 9], prompt: 1)
        var first: (loss: Double, gradients: [String: [Float]], step: [Float])?
        for device in [try TestDevices.main, try TestDevices.smallLimits] + (try TestDevices.families) {
            let model = try load(name, device)
            let adapter = try Adapter.random(for: model, rank: 8)
            let loss = try Evaluator(model, adapter).evaluate(batch).lossSum
            let gradients = try gradients(model, adapter, [batch])
            var step: [Float] = []
            if !model.spec.isEncoder {
                let generator = try Generator(model, adapter, capacity: 12)
                _ = try generator.append(Array(tokens[..<11]))
                step = try generator.append([tokens[11]])
            }
            if let first {
                #expect(isClose(first.loss, loss, 1e-5))
                #expect(relativeDifference(first.gradients, gradients) < 3e-4)
                expectSame(step, first.step, "\(name), a step")
            }
            first = first ?? (loss, gradients, step)
        }
    }

    @Test(arguments: all)
    func everyMethodTrainsAndIsSaved(_ name: String) throws {
        let model = try load(name, TestDevices.main)
        let batch = examples([14, 5], prompt: 2)
        for method in Registries.methods.all where method.name != "half-lora" {
            var config = LoRAConfig()
            config.rank = 4
            config.method = method
            let adapter = try Adapter.create(for: model, config)
            let before = try Evaluator(model, adapter).evaluate(batch).lossSum
            #expect(
                isClose(before, try Evaluator(model, nil).evaluate(batch).lossSum, 1e-4), "\(method.name)")
            let trainer = try Trainer(model, adapter)
            for _ in 0..<3 { _ = try trainer.step([batch], learningRate: 1e-2) }
            let after = try Evaluator(model, adapter).evaluate(batch).lossSum
            #expect(after < before, "\(name), \(method.name): \(before) became \(after)")
            if !model.spec.isEncoder {
                let whole = try Evaluator(model, adapter).logits(Array(tokens[..<6]), at: [4, 5])
                let generator = try Generator(model, adapter, capacity: 6)
                expectSame(try generator.append(Array(tokens[..<5])), whole[0], "\(name), \(method.name)")
                expectSame(try generator.append([tokens[5]]), whole[1], "\(name), \(method.name), a step")
            }
            try withTemporaryFolder { folder in
                try adapter.save(to: folder)
                let loaded = try Adapter.load(folder, for: model)
                #expect(
                    isClose(try Evaluator(model, loaded).evaluate(batch).lossSum, after, 1e-5),
                    "\(method.name)")
            }
        }
    }

    /// Merged into either kind of file, and as GGUF beside it, an adapter does what it did.
    @Test(arguments: all)
    func mergedIsAdapted(_ name: String) throws {
        let device = try TestDevices.main
        try withTemporaryFolder { folder in
            let tiny = try tiny(name)
            try FileSystem.makeFolder("\(folder)/model")
            try tiny.writeFolder("\(folder)/model")
            if tiny.architecture.gguf != nil { try tiny.writeGGUF("\(folder)/model.gguf") }
            let model = try Transformer.load("\(folder)/model", device: device)
            let adapter = try Adapter.random(for: model, deviation: 0.1)
            try adapter.save(to: "\(folder)/adapter")
            let files = try AdapterFiles("\(folder)/adapter")
            let want = try Evaluator(model, adapter).logits(tokens, at: [3, 26])
            for (base, out) in [("model", "merged"), ("model.gguf", "merged.gguf")] {
                guard FileSystem.exists("\(folder)/\(base)") else { continue }
                let checkpoint = try Checkpoint.open(path: "\(folder)/\(base)")
                _ = try Merge.write(files, into: checkpoint, to: "\(folder)/\(out)")
                let merged = try Transformer.load("\(folder)/\(out)", device: device)
                for (got, want) in zip(try Evaluator(merged, nil).logits(tokens, at: [3, 26]), want) {
                    expectSame(got, want, "\(name), \(out)", within: 1e-3)
                }
                if base == "model" {
                    let plain = try Evaluator(model, nil).logits(tokens, at: [26])[0]
                    #expect(
                        mismatch(plain, want[1].doubles, Tolerance(absolute: 1e-2, relative: 1e-2)) != nil)
                } else {
                    try GGUFExport.write(files, for: checkpoint, to: "\(folder)/adapter.gguf")
                    let exported = try GGUFFile("\(folder)/adapter.gguf")
                    #expect(exported.tensors.count == 2 * files.modules.count)
                    #expect(
                        try exported.metadata.optionalString("general.architecture") == tiny.architecture.gguf
                    )
                }
            }
        }
    }

    @Test(arguments: all)
    func aKeyThatNobodyReadsIsRefused(_ name: String) throws {
        let architecture = try #require(Architectures.named(name))
        for (key, value) in [
            ("alibi", JSON.bool(true)), ("clip_qkv", .double(8)), ("num_local_experts", .integer(4)),
            ("use_bidirectional_attention", .bool(true)),
            ("quantization_config", .object(["bits": .integer(4)])),
        ] {
            // Of those with experts it is the number.
            if key == "num_local_experts", try !TinyCheckpoint(architecture).spec.experts.isEmpty { continue }
            let text = errorText { _ = try TinyCheckpoint(architecture, [key: value]).spec }
            #expect(
                text?.contains("'\(key)' is") == true && text?.contains("not supported") == true,
                "\(text ?? "")")
        }
        guard let gguf = architecture.gguf else { return }
        try withTemporaryFolder { folder in
            let tiny = TinyCheckpoint(architecture)
            try tiny.writeGGUF("\(folder)/a.gguf")
            let file = try GGUFFile("\(folder)/a.gguf")
            var metadata = file.metadata
            metadata.set("\(gguf).attention.clamp_kqv", .float32(8))
            try GGUFWriter.write(
                file.tensors.map { TensorSource($0) }, metadata: metadata, to: "\(folder)/b.gguf")
            let text = errorText { _ = try ModelSpec(gguf: GGUFFile("\(folder)/b.gguf")) }
            #expect(text?.contains("'\(gguf).attention.clamp_kqv' is") == true, "\(text ?? "")")
        }
    }

    /// The one line that registers an architecture from outside; all the rest is in MadeUpArchitecture.swift.
    @Test func aMadeUpArchitectureNeedsAFileAndALine() throws {
        Architectures.register(MadeUpArchitecture())
        let name = MadeUpArchitecture().name
        try bothFilesAreTheSameModelToTheBit(name)
        try gradientsAreThoseOfTheLoss(name)
        try generationIsTheWholeSequence(name)
        try mergedIsAdapted(name)
    }
}
