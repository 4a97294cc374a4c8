// Calls of Vulkan and of the file system fail in turn under short runs through the C API: a status and a text each time, nothing
// leaked, no half-written file. LORAVK_TEST_FAULTS=all has each call of Vulkan fail, which takes hours; without, some do.

import CLoRAVK
import Checkpoints
import Foundation
import LoRAVKC
import TestSupport
import Testing
import VulkanCompute

@Suite struct FaultTests {
    /// The numbers of the calls to fail: all, or some that are a prime distance apart, so that all kinds of calls are hit.
    private func numbers(upTo count: Int, distance: Int) -> StrideThrough<Int> {
        let all = ProcessInfo.processInfo.environment["LORAVK_TEST_FAULTS"] == "all"
        return stride(from: 1, through: count, by: all ? 1 : distance)
    }

    // MARK: Vulkan

    /// A model from its files, a step, a run of another, an evaluation, a few tokens, a saved adapter.
    private func session(_ context: Handle, out: String) throws {
        let model = try context.model()
        let adapter = try model.adapter()
        let trainer = try model.trainer(adapter)
        _ = try trainer.step(someTokens(16), batch: 2)
        _ = try trainer.run(on: tinyData, steps: 1)
        var evaluation = loravk_evaluation()
        evaluation.struct_size = MemoryLayout<loravk_evaluation>.size
        try check(
            loravk_model_evaluate(model.pointer, adapter.pointer, someTokens(8), nil, 1, 8, &evaluation))
        var config = loravk_generation_config()
        config.struct_size = MemoryLayout<loravk_generation_config>.size
        (config.max_tokens, config.top_p, config.repetition_penalty) = (3, 1, 1)
        try check(loravk_model_generate(model.pointer, adapter.pointer, [1, 2, 3], 3, &config, nil, 0, nil))
        let tensor = try context.tensor([1, 2, 3, 4] as [Float], [2, 2])
        let product = try context.tensor([2, 2])
        try check(loravk_matmul(product.pointer, tensor.pointer, tensor.pointer, 0, 1, false))
        try check(loravk_adapter_save(adapter.pointer, out))
    }

    private func heldBytes(_ context: Handle) throws -> Int64 {
        var bytes: Int64 = 0
        try check(loravk_context_get_held_bytes(context.pointer, &bytes))
        return bytes
    }

    @Test(arguments: VulkanFaults.Fault.allCases, [false, true])
    func everyVulkanCallMayFail(_ fault: VulkanFaults.Fault, _ onwards: Bool) throws {
        try withTemporaryFolder { folder in
            let counter = VulkanFaults(failing: .max)
            let first = try makeContext()
            try VulkanFaults.$active.withValue(counter) { try session(first, out: folder + "/out") }
            #expect(counter.counted > 300)
            #expect(try heldBytes(first) == 0)
            let status = loravk_status(
                fault == .deviceLost ? LORAVK_ERROR_DEVICE_LOST : LORAVK_ERROR_OUT_OF_MEMORY)
            for nth in numbers(upTo: counter.counted, distance: onwards ? 613 : 211) {
                let context = try makeContext()
                let faults = VulkanFaults(failing: nth, fault, onwards: onwards)
                do {
                    try VulkanFaults.$active.withValue(faults) { try session(context, out: folder + "/out") }
                    // How often a session submits depends on how fast the first submissions were.
                    #expect(faults.counted < nth, "call \(nth) failed and nobody noticed")
                } catch let error as StatusError {
                    #expect(error.status == status, "call \(nth): \(error)")
                    #expect(!error.description.isEmpty)
                }
                #expect(try heldBytes(context) == 0, "call \(nth) leaked")
                #expect(try isWhole(adapter: folder + "/out"), "call \(nth)")
            }
            // With a context that lives on, the driver is loaded once.
            withExtendedLifetime(first) {}
        }
    }

    // MARK: Files

    /// What a run on a data file leaves: an adapter, that adapter for llama.cpp, and the model merged with it.
    private struct Outputs {
        let folder: String
        var adapter: String { folder + "/adapter" }
        var exported: String { folder + "/adapter.gguf" }
        var merged: String { folder + "/merged" }
    }

    private func run(_ trainer: Handle, _ outputs: Outputs) throws -> (warnings: [String], steps: Int64) {
        final class Told { var warnings: [String] = [] }
        let told = Told()
        let result = try trainer.run(on: tinyData, output: outputs.adapter, steps: 2) { config in
            (config.save_every, config.no_shuffle) = (1, true)
            config.user_data = Unmanaged.passUnretained(told).toOpaque()
            config.on_warning = { user, text in
                guard let user, let text else { return }
                Unmanaged<Told>.fromOpaque(user).takeUnretainedValue().warnings.append(String(cString: text))
            }
        }
        try check(loravk_export_adapter(tinyModel, outputs.adapter, outputs.exported, nil))
        try check(loravk_export_merged(tinyModel, outputs.adapter, outputs.merged, nil, nil))
        // What of the data is cut is told of every run.
        return (told.warnings.filter { !$0.hasPrefix("\(tinyData): ") }, result.steps)
    }

    @Test(arguments: [false, true])
    func everyFileOperationOfARunMayFail(_ onwards: Bool) throws {
        let context = try makeContext()
        let model = try context.model()
        let trainer = try model.trainer(try model.adapter())
        // The first run also reads the tokenizer, which the model keeps.
        try withTemporaryFolder { folder in _ = try run(trainer, Outputs(folder: folder)) }
        let counter = FileFaults(failing: .max)
        try withTemporaryFolder { folder in
            let clean = try FileFaults.$active.withValue(counter) {
                try run(trainer, Outputs(folder: folder))
            }
            #expect(clean.warnings.isEmpty && clean.steps == 2)
        }
        #expect(counter.counted > 40)
        for nth in 1...counter.counted {
            try withTemporaryFolder { folder in
                let outputs = Outputs(folder: folder)
                try FileFaults.$active.withValue(FileFaults(failing: nth, onwards: onwards)) {
                    do {
                        // A save in between may fail; the run goes on and says so.
                        let (warnings, steps) = try run(trainer, outputs)
                        #expect(!onwards && steps == 2, "operation \(nth)")
                        #expect(
                            warnings.count == 1 && warnings[0].contains("No space left"), "operation \(nth)")
                    } catch let error as StatusError {
                        #expect(error.status == LORAVK_ERROR_FILE, "operation \(nth): \(error)")
                        #expect(error.description.contains("No space left"), "operation \(nth): \(error)")
                        var detail = loravk_error_detail()
                        detail.struct_size = MemoryLayout<loravk_error_detail>.size
                        #expect(
                            loravk_last_error_detail(&detail) == LORAVK_OK && detail.system_errno == ENOSPC)
                    }
                }
                #expect(try isWhole(adapter: outputs.adapter), "operation \(nth)")
                if FileSystem.exists(outputs.exported) { _ = try GGUFFile(outputs.exported) }
                if FileSystem.exists(outputs.merged) { _ = try Checkpoint.open(path: outputs.merged) }
                let left = try #require(FileManager.default.enumerator(atPath: folder)).compactMap {
                    $0 as? String
                }
                #expect(!left.contains { $0.hasSuffix(".partial") }, "operation \(nth): \(left)")
            }
        }
    }

    /// An adapter that loads, or none: without a config there is none.
    private func isWhole(adapter folder: String) throws -> Bool {
        guard FileSystem.isFolder(folder) else { return true }
        let names = try FileSystem.names(in: folder)
        if names.contains(AdapterFiles.configName) { _ = try AdapterFiles(folder) }
        return !names.contains { $0.hasSuffix(".partial") }
    }
}
