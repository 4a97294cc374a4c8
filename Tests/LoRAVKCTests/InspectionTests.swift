// What models and adapters are, through the C API: files and what is loaded agree.

import CLoRAVK
import Checkpoints
import LoRAVKC
import Testing

@Suite struct InspectionTests {
    /// The tensors that a callback was told of.
    private final class Tensors {
        var shapes: [String: [Int64]] = [:]
        var types: Set<String> = []
    }

    private func told(
        _ inspect: (loravk_inspect_callback, UnsafeMutableRawPointer) -> loravk_status
    ) throws -> Tensors {
        let tensors = Tensors()
        try check(
            inspect(
                { user, name, type, shape, dimensions in
                    guard let user, let name, let type else { return }
                    let tensors = Unmanaged<Tensors>.fromOpaque(user).takeUnretainedValue()
                    tensors.shapes[String(cString: name)] = Array(
                        UnsafeBufferPointer(start: shape, count: dimensions))
                    tensors.types.insert(String(cString: type))
                }, Unmanaged.passUnretained(tensors).toOpaque()))
        return tensors
    }

    @Test func models() throws {
        var (file, loaded) = (loravk_model_info(), loravk_model_info())
        file.struct_size = MemoryLayout<loravk_model_info>.size
        loaded.struct_size = file.struct_size
        let tensors = try told { loravk_model_inspect(tinyModel, $0, $1, &file) }
        let model = try makeContext().model()
        try check(loravk_model_get_info(model.pointer, &loaded))
        #expect(file.parameters == loaded.parameters && file.parameters > 0 && file.layers == loaded.layers)
        #expect(tensors.shapes.values.reduce(0) { $0 + $1.reduce(1, *) } == file.parameters)
        #expect(tensors.types == ["F16"] && file.weight_bytes == 2 * file.parameters)
        // A program of version 0.1 has a shorter struct.
        var short = loravk_model_info()
        (short.struct_size, short.parameters) = (112, -1)
        try check(loravk_model_inspect(tinyModel, nil, nil, &short))
        #expect(short.parameters == -1 && short.layers == file.layers)
        #expect(
            text(loravk_model_inspect("/none", nil, nil, &file), LORAVK_ERROR_FILE)?.contains("/none") == true
        )
        #expect(text(loravk_model_inspect(tinyModel, nil, nil, nil), LORAVK_ERROR_INVALID_ARGUMENT) != nil)
    }

    @Test func adapters() throws {
        let adapter = try makeContext().model().adapter(rank: 4)
        try withTemporaryFolder { folder in
            try check(loravk_adapter_save(adapter.pointer, folder))
            var (file, loaded) = (loravk_adapter_info(), loravk_adapter_info())
            file.struct_size = MemoryLayout<loravk_adapter_info>.size
            loaded.struct_size = file.struct_size
            let tensors = try told { loravk_adapter_inspect(folder, $0, $1, &file) }
            try check(loravk_adapter_get_info(adapter.pointer, &loaded))
            #expect(file.rank == 4 && loaded.rank == 4 && file.alpha == 8 && loaded.alpha == 8)
            #expect(file.modules == loaded.modules && Int(file.modules) * 2 == tensors.shapes.count)
            #expect(file.parameters == loaded.parameters)
            #expect(tensors.shapes.values.reduce(0) { $0 + $1.reduce(1, *) } == file.parameters)
            #expect(withUnsafeBytes(of: file.method) { $0.starts(with: Array("lora\0".utf8)) })
            #expect(
                text(loravk_adapter_inspect(tinyModel, nil, nil, &file), LORAVK_ERROR_FILE) != nil)
        }
    }

    @Test func tuningThatIsGivenUpLeavesNothing() throws {
        let context = try makeContext()
        var (config, before, after) = (loravk_tune_config(), true, true)
        try check(loravk_context_is_tuned(context.pointer, &before))
        config.struct_size = MemoryLayout<loravk_tune_config>.size
        config.on_finding = { _, finding in (finding?.pointee.best_flops_per_second ?? 0) <= 0 }
        try [Int32(16)].withUnsafeBufferPointer { tokens in
            (config.tokens, config.token_count) = (tokens.baseAddress, 1)
            #expect(
                text(loravk_context_tune(context.pointer, tinyModel, &config), LORAVK_ERROR_INVALID_STATE)?
                    .contains("gave up") == true)
            let another = try makeContext()
            try check(loravk_context_is_tuned(another.pointer, &after))
            #expect(after == before)
        }
        [Int32(15)].withUnsafeBufferPointer { tokens in
            (config.tokens, config.token_count) = (tokens.baseAddress, 1)
            #expect(
                text(loravk_context_tune(context.pointer, tinyModel, &config), LORAVK_ERROR_INVALID_ARGUMENT)?
                    .contains("16") == true)
            #expect(
                text(loravk_context_tune(context.pointer, "/none", nil), LORAVK_ERROR_FILE) != nil)
        }
    }
}
