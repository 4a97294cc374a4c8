// Exports of the C API: the files are there, say what they hold, and a callback can give up.

import CLoRAVK
import Checkpoints
import LoRAVKC
import TestSupport
import Testing

@Suite struct ExportTests {
    @Test func adaptersAndMergedModels() throws {
        let context = try makeContext()
        let model = try context.model()
        let adapter = try model.adapter()
        let trainer = try model.trainer(adapter)
        let tokens = someTokens(12)
        for _ in 0..<3 { _ = try trainer.step(tokens, batch: 1) }
        try withTemporaryFolder { folder in
            let (saved, gguf, merged) = (folder + "/adapter", folder + "/adapter.gguf", folder + "/merged")
            try check(loravk_adapter_save(adapter.pointer, saved))
            try check(loravk_export_adapter(tinyModel, saved, gguf, nil))
            #expect(text(loravk_export_adapter(tinyModel, saved, gguf, nil), LORAVK_ERROR_FILE) != nil)

            var config = loravk_export_config()
            config.struct_size = MemoryLayout<loravk_export_config>.size
            config.max_shard_bytes = 1 << 40
            config.on_tensor = { _, done, _ in done < 3 }
            #expect(
                text(
                    loravk_export_merged(tinyModel, saved, merged, &config, nil), LORAVK_ERROR_INVALID_STATE)?
                    .contains("gave up") == true)
            #expect(!FileSystem.exists(merged))
            config.on_tensor = nil
            var report = loravk_merge_report()
            report.struct_size = MemoryLayout<loravk_merge_report>.size
            try "f32".withCString { type in
                config.type = type
                try check(loravk_export_merged(tinyModel, saved, merged, &config, &report))
            }
            #expect(report.modules > 0 && report.kept > 0.99 && report.relative_error < 0.01)
            // The merged model is the model with its adapter.
            let whole = try context.model(merged)
            var info = loravk_model_info()
            info.struct_size = MemoryLayout<loravk_model_info>.size
            try check(loravk_model_get_info(model.pointer, &info))
            func logits(_ model: Handle, _ adapter: Handle?) throws -> [Float] {
                var values = [Float](repeating: 0, count: 12 * Int(info.vocab_size))
                try check(
                    loravk_model_logits(model.pointer, adapter?.pointer, tokens, 1, 12, &values, values.count)
                )
                return values
            }
            #expect(
                mismatch(
                    try logits(whole, nil), try logits(model, adapter).doubles,
                    Tolerance(absolute: 1e-3, relative: 1e-3)) == nil)
        }
        #expect(text(loravk_export_adapter("/no", "/no", "/no", nil), LORAVK_ERROR_FILE) != nil)
        #expect(text(loravk_export_adapter(nil, "/no", "/no", nil), LORAVK_ERROR_INVALID_ARGUMENT) != nil)
    }
}
