// Handles and structs that come in wrong are errors with a text; handles go in any order.

import CLoRAVK
import LoRAVKC
import Testing

@Suite struct HandleTests {
    @Test func wrongHandlesAreErrors() throws {
        let context = try makeContext()
        let tensor = try context.tensor([2, 2])
        #expect(text(loravk_zero(nil), LORAVK_ERROR_INVALID_HANDLE) == "tensor is NULL; expected a tensor")
        #expect(
            text(loravk_zero(context.pointer), LORAVK_ERROR_INVALID_HANDLE)
                == "tensor is a context; expected a tensor")
        #expect(
            text(loravk_zero(OpaquePointer(bitPattern: 0x10)), LORAVK_ERROR_INVALID_HANDLE)?.contains(
                "not a handle")
                == true)
        let released = tensor.pointer
        tensor.release()
        #expect(text(loravk_zero(released), LORAVK_ERROR_INVALID_HANDLE)?.contains("was released") == true)
        // Twice, and of another kind: nothing happens.
        loravk_tensor_release(released)
        loravk_model_release(context.pointer)
        loravk_trainer_request_stop(context.pointer)
        var bytes: Int64 = 0
        try check(loravk_context_get_held_bytes(context.pointer, &bytes))
    }

    @Test func anyReleaseOrder() throws {
        // Parents before children; the children still work.
        for parentsFirst in [true, false] {
            let context = try makeContext()
            let model = try context.model()
            let adapter = try model.adapter()
            let trainer = try model.trainer(adapter)
            let tensor = try context.tensor([1, 2, 3, 4] as [Float], [4])
            if parentsFirst {
                context.release()
                model.release()
                adapter.release()
            }
            _ = try trainer.step(someTokens(8), batch: 1)
            #expect(try tensor.floats == [1, 2, 3, 4])
            for handle in parentsFirst ? [trainer, tensor] : [tensor, trainer, adapter, model, context] {
                handle.release()
            }
        }
    }

    @Test func structsOfOtherVersions() throws {
        // A longer struct whose unknown tail is zero is fine; otherwise it asks for more than this version can do.
        var config: (loravk_context_config, UInt64) = (loravk_context_config(), 0)
        let longer = MemoryLayout<loravk_context_config>.size + 8
        config.0.struct_size = longer
        func create() -> (loravk_status, OpaquePointer?) {
            var context: OpaquePointer?
            let status = withUnsafePointer(to: &config) { pointer in
                pointer.withMemoryRebound(to: loravk_context_config.self, capacity: 1) {
                    loravk_context_create($0, &context)
                }
            }
            return (status, context)
        }
        let (status, context) = create()
        try check(status)
        loravk_context_release(context)
        config.1 = 1
        #expect(text(create().0, LORAVK_ERROR_INVALID_ARGUMENT)?.contains("newer library") == true)
        for size in [0, 8, longer << 20] {
            config.0.struct_size = size
            #expect(text(create().0, LORAVK_ERROR_INVALID_ARGUMENT)?.contains("_INIT") == true)
        }
    }

    @Test func structsOfTheFirstVersion() throws {
        // What lies behind the end that the caller knows is not looked at.
        let model = try makeContext().model()
        var config = loravk_adapter_config()
        (config.rank, config.alpha) = (4, 8)
        config.data = UnsafePointer(bitPattern: 0x10)
        for (size, expected) in [(96, LORAVK_OK), (88, LORAVK_ERROR_INVALID_ARGUMENT)] {
            config.struct_size = size
            var adapter: OpaquePointer?
            #expect(loravk_adapter_create(model.pointer, &config, &adapter) == expected)
            loravk_adapter_release(adapter)
        }
    }

    @Test func resultsAreWrittenUpToTheCallersSize() throws {
        let context = try makeContext()
        var info: (loravk_device_info, UInt64) = (loravk_device_info(), 77)
        info.0.struct_size = MemoryLayout<loravk_device_info>.size
        try withUnsafeMutablePointer(to: &info) { pointer in
            try pointer.withMemoryRebound(to: loravk_device_info.self, capacity: 1) {
                try check(loravk_context_get_device_info(context.pointer, $0))
            }
        }
        #expect(info.1 == 77 && info.0.vulkan_major >= 1)
        #expect(info.0.struct_size == MemoryLayout<loravk_device_info>.size)
    }

    @Test func errorsInTheirParts() throws {
        let context = try makeContext()
        var model: OpaquePointer?
        #expect(loravk_model_load(context.pointer, "/nowhere/model.gguf", nil, &model) == LORAVK_ERROR_FILE)
        var detail = loravk_error_detail()
        detail.struct_size = MemoryLayout<loravk_error_detail>.size
        #expect(loravk_last_error_detail(&detail) == LORAVK_OK)
        #expect(detail.status == LORAVK_ERROR_FILE && model == nil)
        #expect(
            withUnsafeBytes(of: detail.path) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
                == "/nowhere/model.gguf")
        #expect(String(cString: loravk_status_name(detail.status)) == "LORAVK_ERROR_FILE")
        #expect(String(cString: loravk_status_name(12345)) == "unknown status")
        // Success clears it.
        var bytes: Int64 = 0
        try check(loravk_context_get_held_bytes(context.pointer, &bytes))
        #expect(String(cString: loravk_last_error()).isEmpty)
    }
}
