// Calls of Vulkan and of the file system fail in turn under a short run through the C API: a status and a text each time, nothing
// leaked, no half-written file.

import CLoRAVK
import Checkpoints
import Foundation
import LoRAVKC
import TestSupport
import Testing
import VulkanCompute

@Suite struct FaultTests {
    /// A model from its files, two steps, an evaluation, a few tokens, a saved adapter.
    private func session(_ context: Handle, out: String) throws {
        let model = try context.model()
        let adapter = try model.adapter()
        let trainer = try model.trainer(adapter)
        for _ in 0..<2 { _ = try trainer.step(someTokens(16), batch: 2) }
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

    private func isWhole(_ folder: String) throws -> Bool {
        guard FileSystem.isFolder(folder) else { return true }
        let names = try FileSystem.names(in: folder)
        if names.contains(AdapterFiles.configName) { _ = try AdapterFiles(folder) }
        return !names.contains { $0.hasSuffix(".partial") }
            && names.contains(AdapterFiles.configName) == names.contains(AdapterFiles.weightsName)
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
            let statuses: [loravk_status] =
                fault == .deviceLost
                ? [loravk_status(LORAVK_ERROR_DEVICE_LOST)] : [loravk_status(LORAVK_ERROR_OUT_OF_MEMORY)]
            // A prime distance, so that all kinds of calls are hit.
            for nth in stride(from: 1, through: counter.counted, by: onwards ? 307 : 101) {
                let context = try makeContext()
                do {
                    try VulkanFaults.$active.withValue(VulkanFaults(failing: nth, fault, onwards: onwards)) {
                        try session(context, out: folder + "/out")
                    }
                    Issue.record("call \(nth) failed and nobody noticed")
                } catch let error as StatusError {
                    #expect(statuses.contains(error.status), "call \(nth): \(error)")
                    #expect(!error.description.isEmpty)
                }
                #expect(try heldBytes(context) == 0, "call \(nth) leaked")
                #expect(try isWhole(folder + "/out"), "call \(nth)")
            }
        }
    }

    @Test(arguments: [false, true])
    func everyFileOperationMayFail(_ onwards: Bool) throws {
        let context = try makeContext()
        let model = try context.model()
        let adapter = try model.adapter()
        try withTemporaryFolder { folder in
            try check(loravk_adapter_save(adapter.pointer, folder + "/out"))
            let counter = FileFaults(failing: .max)
            try FileFaults.$active.withValue(counter) {
                try check(loravk_adapter_save(adapter.pointer, folder + "/out"))
            }
            for nth in 1...counter.counted {
                FileFaults.$active.withValue(FileFaults(failing: nth, onwards: onwards)) {
                    #expect(
                        text(loravk_adapter_save(adapter.pointer, folder + "/out"), LORAVK_ERROR_FILE)?
                            .contains("No space left") == true, "operation \(nth)")
                    var detail = loravk_error_detail()
                    detail.struct_size = MemoryLayout<loravk_error_detail>.size
                    #expect(loravk_last_error_detail(&detail) == LORAVK_OK && detail.system_errno == ENOSPC)
                }
                let names = try FileSystem.names(in: folder + "/out")
                #expect(!names.contains { $0.hasSuffix(".partial") })
                _ = try AdapterFiles(folder + "/out")
            }
        }
    }
}
