// Models and trainers of the C API: the same numbers as the Swift API, whole runs with callbacks, and stopping.

import CLoRAVK
import Foundation
import LoRAVK
import LoRAVKC
import TestSupport
import Testing
import VulkanCompute

@Suite struct TrainingTests {
    private let tokens = someTokens(24)

    @Test func stepsAreThoseOfTheSwiftAPI() throws {
        let context = try makeContext()
        let model = try context.model()
        let adapter = try model.adapter()
        let trainer = try model.trainer(adapter)
        var labels = tokens
        labels.replaceSubrange(0..<5, with: [Int32](repeating: -100, count: 5))

        let device = try Device.open()
        let swiftModel = try Transformer.load(tinyModel, device: device)
        var config = LoRAConfig()
        (config.rank, config.alpha, config.seed) = (4, 8, 1)
        let swiftTrainer = try Trainer(swiftModel, try Adapter.create(for: swiftModel, config))
        let examples = (0..<2).map { row in
            Example(
                tokens: Array(tokens[row * 12..<(row + 1) * 12]),
                labels: Array(labels[row * 12..<(row + 1) * 12]))
        }
        for _ in 0..<3 {
            let expected = try swiftTrainer.step([examples], learningRate: 1e-2)
            let result = try trainer.step(tokens, labels, batch: 2)
            #expect(result.loss == expected.loss && result.grad_norm == expected.gradientNorm)
            #expect(result.tokens == 24 && result.counted_tokens == 18)
        }
        var steps: Int64 = 0
        try check(loravk_trainer_step_count(trainer.pointer, &steps))
        #expect(steps == 3)
    }

    @Test func gradientsCanBeReadAndWrittenInBetween() throws {
        let context = try makeContext()
        let model = try context.model()
        let (whole, halves) = (try model.adapter(), try model.adapter())
        let (first, second) = (try model.trainer(whole), try model.trainer(halves))
        let expected = try first.step(tokens, batch: 2)
        // Two micro-batches, as two machines would have them, and a sum in between.
        var sums: [[Float]] = []
        for row in 0..<2 {
            try check(loravk_trainer_zero_gradients(second.pointer))
            let part = Array(tokens[row * 12..<(row + 1) * 12])
            try check(loravk_trainer_forward_backward(second.pointer, part, nil, 1, 12, 22, nil))
            let gradients = try halves.parameters(gradients: true)
            sums = sums.isEmpty ? gradients : zip(sums, gradients).map { zip($0, $1).map(+) }
        }
        for (index, values) in sums.enumerated() {
            try check(loravk_adapter_write_gradient(halves.pointer, index, values, values.count))
        }
        var norm = 0.0
        try check(loravk_trainer_apply(second.pointer, &norm))
        #expect(abs(norm - expected.grad_norm) < 1e-4 * norm)
        for (a, b) in zip(try whole.parameters(), try halves.parameters()) {
            #expect(mismatch(a, b.doubles, Tolerance(absolute: 1e-4, relative: 1e-3)) == nil)
        }
    }

    @Test func logitsEvaluationAndGeneration() throws {
        let context = try makeContext()
        let model = try context.model()
        var info = loravk_model_info()
        info.struct_size = MemoryLayout<loravk_model_info>.size
        try check(loravk_model_get_info(model.pointer, &info))
        let vocabulary = Int(info.vocab_size)
        var logits = [Float](repeating: 0, count: 24 * vocabulary)
        try check(loravk_model_logits(model.pointer, nil, tokens, 2, 12, &logits, logits.count))
        var evaluation = loravk_evaluation()
        evaluation.struct_size = MemoryLayout<loravk_evaluation>.size
        try check(loravk_model_evaluate(model.pointer, nil, tokens, nil, 2, 12, &evaluation))
        let labels = (0..<24).map { $0 % 12 == 11 ? -1 : tokens[$0 + 1] }
        let reference = ReferenceLoss.crossEntropy(
            logits.doubles, width: vocabulary, columns: vocabulary, labels: labels, scale: 1)
        #expect(abs(evaluation.loss - reference.losses.reduce(0, +) / 22) < 1e-4)
        #expect(
            evaluation.counted_tokens == 22 && evaluation.correct == Int64(reference.correct.reduce(0, +)))

        let tokenizer = try Handle(loravk_tokenizer_release) { loravk_model_get_tokenizer(model.pointer, $0) }
        var (count, prompt) = (0, [Int32](repeating: 0, count: 64))
        let text = "Hello there"
        try check(loravk_tokenizer_encode(tokenizer.pointer, text, text.utf8.count, true, nil, 0, &count))
        #expect(
            loravk_tokenizer_encode(
                tokenizer.pointer, text, text.utf8.count, true, &prompt, count - 1, &count)
                == LORAVK_ERROR_BUFFER_TOO_SMALL)
        try check(
            loravk_tokenizer_encode(tokenizer.pointer, text, text.utf8.count, true, &prompt, 64, &count))
        final class Told { var tokens: [Int32] = []; var text = "" }
        let told = Told()
        var config = loravk_generation_config()
        config.struct_size = MemoryLayout<loravk_generation_config>.size
        (config.max_tokens, config.top_p, config.repetition_penalty) = (8, 1, 1)
        config.user_data = Unmanaged.passUnretained(told).toOpaque()
        config.on_token = { user, token, text, length in
            guard let user, let text else { return false }
            let told = Unmanaged<Told>.fromOpaque(user).takeUnretainedValue()
            if token >= 0 { told.tokens.append(token) }
            told.text += String(cString: text)
            return told.tokens.count < 5
        }
        var answer = [Int32](repeating: -7, count: 8)
        var answered = 0
        try check(loravk_model_generate(model.pointer, nil, prompt, count, &config, &answer, 8, &answered))
        #expect(Array(answer.prefix(answered)) == told.tokens && answered <= 5)
        var (room, length) = ([CChar](repeating: 0, count: 4096), 0)
        try check(loravk_tokenizer_decode(tokenizer.pointer, answer, answered, true, &room, 4096, &length))
        let decoded = String(decoding: room.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        #expect(decoded.hasPrefix(told.text) && !decoded.isEmpty)
        // Greedy: the first token is the largest logit behind the prompt.
        var last = [Float](repeating: 0, count: count * vocabulary)
        try check(loravk_model_logits(model.pointer, nil, prompt, 1, count, &last, last.count))
        let largest = last.suffix(vocabulary).enumerated().max { $0.element < $1.element }?.offset
        #expect(told.tokens.first.map { Int($0) } == largest)
    }

    @Test func evaluationsTellHowFarTheyAre() throws {
        final class Told { var done: [Int64] = []; var most = Int64.max }
        let model = try makeContext().model()
        let told = Told()
        func evaluate() throws -> (loravk_status, loravk_evaluation) {
            var evaluation = loravk_evaluation()
            evaluation.struct_size = MemoryLayout<loravk_evaluation>.size
            let status = tinyData.withCString { path in
                var data = loravk_data_config()
                data.struct_size = MemoryLayout<loravk_data_config>.size
                (data.path, data.max_tokens) = (path, 32)
                data.user_data = Unmanaged.passUnretained(told).toOpaque()
                data.on_progress = { user, done, total in
                    guard let user else { return false }
                    let told = Unmanaged<Told>.fromOpaque(user).takeUnretainedValue()
                    told.done.append(done)
                    return done < told.most
                }
                return loravk_model_evaluate_data(model.pointer, nil, &data, &evaluation)
            }
            return (status, evaluation)
        }
        let (status, evaluation) = try evaluate()
        try check(status)
        #expect(told.done.last == evaluation.examples && told.done == told.done.sorted())
        #expect(evaluation.correct > 0 && (0...evaluation.examples).contains(evaluation.correct_examples))
        told.most = 1
        #expect(text(try evaluate().0, LORAVK_ERROR_INVALID_STATE)?.contains("gave up") == true)
    }

    @Test func badTokensAreRefused() throws {
        let context = try makeContext()
        let model = try context.model()
        let adapter = try model.adapter()
        let trainer = try model.trainer(adapter)
        let before = try adapter.parameters()
        var result = loravk_step_result()
        #expect(
            loravk_trainer_step(trainer.pointer, [1 << 30], nil, 1, 1, nil) == LORAVK_ERROR_INVALID_ARGUMENT)
        #expect(
            loravk_trainer_step(trainer.pointer, [1, -5], nil, 1, 2, nil) == LORAVK_ERROR_INVALID_ARGUMENT)
        #expect(loravk_trainer_step(trainer.pointer, nil, nil, 1, 2, nil) == LORAVK_ERROR_INVALID_ARGUMENT)
        #expect(
            loravk_trainer_step(trainer.pointer, tokens, nil, .max, .max, nil)
                == LORAVK_ERROR_INVALID_ARGUMENT)
        #expect(loravk_trainer_step(trainer.pointer, tokens, nil, 0, 5, nil) == LORAVK_ERROR_INVALID_ARGUMENT)
        #expect(
            loravk_trainer_step(trainer.pointer, tokens, nil, 2, 12, &result) == LORAVK_ERROR_INVALID_ARGUMENT
        )
        var detail = loravk_error_detail()
        detail.struct_size = MemoryLayout<loravk_error_detail>.size
        try check(loravk_trainer_get_error_detail(trainer.pointer, &detail))
        #expect(detail.status == LORAVK_ERROR_INVALID_ARGUMENT)
        #expect(try adapter.parameters() == before)
    }

    /// What a run tells its callback, and what the callback does.
    private final class Watcher {
        var steps: [Int64] = []
        var stopAt = Int64.max
        var trainer: OpaquePointer?
        var nestedStatus = loravk_status(LORAVK_OK)
    }

    private func run(_ trainer: Handle, _ watcher: Watcher, output: String?, steps: Int64) throws
        -> loravk_run_result
    {
        watcher.trainer = trainer.pointer
        return try trainer.run(on: tinyData, output: output, steps: steps) { config in
            config.user_data = Unmanaged.passUnretained(watcher).toOpaque()
            config.on_progress = { user, progress in
                guard let user, let progress else { return false }
                let watcher = Unmanaged<Watcher>.fromOpaque(user).takeUnretainedValue()
                watcher.steps.append(progress.pointee.step)
                watcher.nestedStatus = loravk_trainer_apply(watcher.trainer, nil)
                return progress.pointee.step < watcher.stopAt
            }
        }
    }

    @Test func runsWithCallbacksAndStops() throws {
        let context = try makeContext()
        let model = try context.model()
        let adapter = try model.adapter()
        let trainer = try model.trainer(adapter)
        try withTemporaryFolder { folder in
            let watcher = Watcher()
            let result = try run(trainer, watcher, output: folder + "/out", steps: 4)
            #expect(result.steps == 4 && !result.stopped && watcher.steps == [1, 2, 3, 4])
            #expect(watcher.nestedStatus == LORAVK_ERROR_BUSY)
            let loaded = try Handle(loravk_adapter_release) {
                loravk_adapter_load(model.pointer, folder + "/out", $0)
            }
            // A file has its own order.
            #expect(try Set(loaded.parameters()) == Set(adapter.parameters()))
        }
        // From the callback, and asked for before the run.
        let watcher = Watcher()
        watcher.stopAt = 2
        var result = try run(trainer, watcher, output: nil, steps: 100)
        #expect(result.steps == 2 && result.stopped)
        loravk_trainer_request_stop(trainer.pointer)
        result = try run(trainer, Watcher(), output: nil, steps: 100)
        #expect(result.steps == 0 && result.stopped && result.loss.isNaN)
        // From another thread while it runs.
        let handle = UInt(bitPattern: trainer.pointer)
        let stopper = Thread {
            Thread.sleep(forTimeInterval: 0.3)
            loravk_trainer_request_stop(OpaquePointer(bitPattern: handle))
        }
        stopper.start()
        result = try run(trainer, Watcher(), output: nil, steps: 1_000_000)
        #expect(result.stopped)
    }

    @Test func statesAndRunsGoOnToTheSameBits() throws {
        let model = try makeContext().model()
        func made() throws -> (trainer: Handle, adapter: Handle) {
            let adapter = try model.adapter()
            return (try model.trainer(adapter), adapter)
        }
        try withTemporaryFolder { folder in
            let (whole, first, second) = (try made(), try made(), try made())
            let wanted = try (0..<4).map { try whole.trainer.step(someTokens(16, seed: $0), batch: 2).loss }
            for seed in 0..<2 { _ = try first.trainer.step(someTokens(16, seed: UInt64(seed)), batch: 2) }
            try check(loravk_trainer_save_state(first.trainer.pointer, folder + "/state"))
            try check(loravk_trainer_load_state(second.trainer.pointer, folder + "/state"))
            var steps: Int64 = 0
            try check(loravk_trainer_step_count(second.trainer.pointer, &steps))
            #expect(steps == 2)
            let losses = try (2..<4).map { try second.trainer.step(someTokens(16, seed: $0), batch: 2).loss }
            #expect(losses == Array(wanted[2...]))
            #expect(try second.adapter.parameters() == whole.adapter.parameters())
            #expect(
                text(loravk_trainer_load_state(second.trainer.pointer, tinyData), LORAVK_ERROR_FILE) != nil)
            #expect(try second.adapter.parameters() == whole.adapter.parameters())
        }
        try withTemporaryFolder { folder in
            let (whole, first, second) = (try made(), try made(), try made())
            let watcher = Watcher()
            watcher.stopAt = 2
            _ = try run(whole.trainer, Watcher(), output: folder + "/whole", steps: 5)
            _ = try run(first.trainer, watcher, output: folder + "/parts", steps: 5)
            let result = try second.trainer.run(on: tinyData, output: folder + "/parts", steps: 5) {
                $0.resume = true
            }
            #expect(result.steps == 5 && !result.stopped)
            #expect(try second.adapter.parameters() == whole.adapter.parameters())
        }
    }

    @Test func epochsAndWarmUpsAreCounted() throws {
        let model = try makeContext().model()
        let trainer = try model.trainer(try model.adapter())
        let lines = try String(contentsOfFile: tinyData, encoding: .utf8).split(separator: "\n").count
        let result = try trainer.run(on: tinyData, steps: 1) { config in
            (config.epochs, config.warmup_steps) = (2, -1)
        }
        #expect(result.steps == Int64(lines) && !result.stopped)
        for epochs in [-1, .nan, .infinity, 1e300] {
            #expect(throws: StatusError.self) {
                try trainer.run(on: tinyData, steps: 1) { $0.epochs = epochs }
            }
        }
    }

    @Test func plansAreWhatTrainingTakes() throws {
        let context = try makeContext()
        var plan = loravk_memory_plan()
        plan.struct_size = MemoryLayout<loravk_memory_plan>.size
        var lora = loravk_adapter_config()
        lora.struct_size = MemoryLayout<loravk_adapter_config>.size
        (lora.rank, lora.alpha) = (4, 8)
        try withUnsafePointer(to: lora) { lora in
            var config = loravk_plan_config()
            config.struct_size = MemoryLayout<loravk_plan_config>.size
            (config.adapter, config.batch_size, config.length, config.recomputed_blocks) = (lora, 2, 12, -1)
            try check(loravk_plan_training(context.pointer, tinyModel, &config, &plan))
            #expect(try heldBytes(context) == 0)
            let whole = plan.total_bytes
            #expect(
                whole == plan.weight_bytes + plan.adapter_bytes + plan.optimizer_bytes + plan.activation_bytes
                    + plan.token_bytes + plan.unused_bytes)
            let model = try context.model()
            let trainer = try model.trainer(try model.adapter())
            _ = try trainer.step(tokens, batch: 2)
            #expect(try heldBytes(context) == whole)
            // Without a context, and where nothing fits.
            try check(loravk_plan_training(nil, tinyModel, &config, &plan))
            config.budget_bytes = 1000
            #expect(
                text(loravk_plan_training(nil, tinyModel, &config, &plan), LORAVK_ERROR_OUT_OF_MEMORY)?
                    .contains("MB") == true)
            (config.budget_bytes, config.batch_size) = (0, .max)
            #expect(
                text(loravk_plan_training(nil, tinyModel, &config, &plan), LORAVK_ERROR_UNSUPPORTED) != nil)
        }
    }

    private func heldBytes(_ context: Handle) throws -> Int64 {
        var bytes: Int64 = 0
        try check(loravk_context_get_held_bytes(context.pointer, &bytes))
        return bytes
    }
}
