// What a training step takes, to the number: dispatches, pipelines, bytes of activations, operations. They follow from the recording
// alone, so they are the same on every machine, and a change of any of them is seen: Data/step-numbers.json holds them.
// LORAVK_RECORD=1 writes the file anew.

import Checkpoints
import Foundation
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct StepNumbersTests {
    private static let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Data/step-numbers.json").path

    /// Families of models whose blocks differ, plain LoRA and a method that is no low-rank term, with blocks computed again or not.
    private static let cases:
        [(architecture: String, method: String, tokens: Int, counted: Int, recomputed: Int)] = [
            ("llama", "lora", 64, 32, 0), ("llama", "lora", 512, 512, 2), ("llama", "dora", 64, 32, 0),
            ("llama", "vera", 64, 32, 0), ("gemma3_text", "lora", 64, 32, 0), ("qwen3", "lora", 64, 32, 0),
            ("gpt2", "lora", 64, 32, 0), ("mixtral", "lora", 64, 32, 0),
        ]

    @Test func aStepTakesWhatItTook() throws {
        var found = JSON.Object()
        for each in Self.cases {
            let name =
                "\(each.architecture) \(each.method) \(each.tokens)/\(each.counted), \(each.recomputed) again"
            found[name] = try numbers(
                each.architecture, each.method, each.tokens, each.counted, each.recomputed)
        }
        if ProcessInfo.processInfo.environment["LORAVK_RECORD"] != nil {
            try AtomicFile.write(JSON.object(found).text(.python) + "\n", to: Self.file)
        }
        guard case .object(let expected) = try JSON.read(Self.file) else {
            throw FileError(Self.file, "is no object")
        }
        for member in found.members {
            #expect(
                expected[member.key] == member.value,
                "\(member.key): \(member.value.text(.compact)); LORAVK_RECORD=1 records what was changed on purpose"
            )
        }
        #expect(expected.count == found.count)
    }

    private func numbers(
        _ architecture: String, _ method: String, _ tokens: Int, _ counted: Int, _ recomputed: Int
    ) throws -> JSON {
        let folder = NSTemporaryDirectory() + "numbers-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileSystem.makeFolder(folder)
        let made = try #require(Architectures.named(architecture))
        try TinyCheckpoint(made).writeFolder(folder)
        let model = try Transformer.load(folder, device: Device(planning: .least))
        var config = LoRAConfig()
        (config.rank, config.method) = (4, try Registries.methods.named(method))
        let adapter = try Adapter.create(for: model, config)
        let plan = try Trainer(model, adapter, recomputedBlocks: recomputed).plan(
            BatchShape(tokens: tokens, counted: counted))
        return .object([
            "dispatches": .integer(plan.dispatches), "pipelines": .integer(plan.pipelines.count),
            "bytes": .integer(plan.arena.byteCount), "operations": .integer(Int(plan.flops)),
            "workgroups": .integer(plan.launches.reduce(0) { $0 + $1.groups }),
        ])
    }
}
