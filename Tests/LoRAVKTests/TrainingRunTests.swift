// Whole runs: what is in the folder at every moment, what a full disk or a diverging loss does to it.

import Checkpoints
import Foundation
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct TrainingRunTests {
    private let names = [".loravk.lock", "adapter_config.json", "adapter_model.safetensors", "metrics.jsonl"]
    private let data = Dataset(examples: examples([9, 5, 12, 7, 8], prompt: 2))

    private func trainer() throws -> Trainer {
        let model = try TinyModel().load(TestDevices.main)
        return try Trainer(model, try Adapter.random(for: model))
    }

    private func config(steps: Int = 3, learningRate: Double = 1e-2) -> RunConfig {
        var config = RunConfig()
        config.batchSize = 2
        config.steps = steps
        config.schedule = Schedule(.constant, learningRate: learningRate, steps: steps)
        config.saveEvery = 1
        return config
    }

    private func metrics(_ folder: String) throws -> [JSONFields] {
        try String(decoding: contents("\(folder)/metrics.jsonl"), as: UTF8.self).split(separator: "\n").map {
            try JSONFields(JSON.parse(Array($0.utf8), path: "metrics"), path: "metrics")
        }
    }

    @Test func aRunLeavesAnAdapterAndItsMetrics() throws {
        try withTemporaryFolder { parent in
            let folder = parent + "/new/folder"
            let trainer = try trainer()
            var config = config(steps: 4)
            config.validateEvery = 2
            config.schedule = Schedule(.linear, learningRate: 1e-2, steps: 4)
            let run = try TrainingRun(trainer, data: data, validation: data, config: config, folder: folder)
            var progress: [RunProgress] = []
            let outcome = try run.run(
                onProgress: { progress.append($0) }, onWarning: { Issue.record("\($0)") })
            #expect(outcome == .finished && trainer.step == 4)
            #expect(
                progress.map(\.step) == [1, 2, 3, 4]
                    && progress.allSatisfy { $0.steps == 4 && $0.tokensPerSecond > 0 })
            #expect(progress.map { $0.validationLoss != nil } == [false, true, false, true])
            #expect(progress.last?.secondsLeft == 0)
            #expect(try FileSystem.names(in: folder) == names)

            let lines = try metrics(folder)
            #expect(try lines.map { try $0.integer("step") } == [1, 2, 3, 4])
            #expect(try lines.map { try $0.number("learning_rate") } == [1e-2, 7.5e-3, 5e-3, 2.5e-3])
            #expect(try lines.map { try $0.number("loss") } == progress.map(\.report.loss))
            #expect(try lines[3].number("validation_loss") == progress[3].validationLoss)
            #expect(try Adapter.load(folder, for: trainer.model).all() == trainer.adapter.all())
        }
    }

    @Test func stoppingSavesWhatWasReached() throws {
        try withTemporaryFolder { folder in
            let trainer = try trainer()
            var config = config(steps: 100)
            config.saveEvery = 0
            let run = try TrainingRun(trainer, data: data, config: config, folder: folder)
            var done = 0
            let outcome = try run.run(shouldStop: { done == 3 }, onProgress: { done = $0.step })
            #expect(outcome == .stopped(step: 3))
            #expect(try Adapter.load(folder, for: trainer.model).all() == trainer.adapter.all())
            #expect(try metrics(folder).count == 3)
        }
    }

    // MARK: Folders

    @Test func anOccupiedFolderIsLeftAlone() throws {
        try withTemporaryFolder { folder in
            let trainer = try trainer()
            try trainer.adapter.save(to: folder)
            try AtomicFile.write("old\n", to: "\(folder)/metrics.jsonl")
            let before = try contents("\(folder)/adapter_model.safetensors")
            let text = errorText {
                _ = try TrainingRun(trainer, data: data, config: config(), folder: folder)
            }
            #expect(
                text
                    == "\(folder): already holds an adapter; choose another folder, or overwrite it with --overwrite"
            )
            #expect(try contents("\(folder)/metrics.jsonl") == Array("old\n".utf8))
            let run = try TrainingRun(trainer, data: data, config: config(), folder: folder, overwrites: true)
            #expect(try contents("\(folder)/adapter_model.safetensors") == before)
            #expect(try run.run() == .finished)
            #expect(try contents("\(folder)/adapter_model.safetensors") != before)
        }
    }

    @Test func oneRunAtATimeInAFolder() throws {
        try withTemporaryFolder { folder in
            let trainer = try trainer()
            var first: TrainingRun? = try TrainingRun(trainer, data: data, config: config(), folder: folder)
            let text = errorText {
                _ = try TrainingRun(trainer, data: data, config: config(), folder: folder)
            }
            #expect(text?.contains("another run (process \(getpid())) is writing into this folder") == true)
            #expect(try first?.run() == .finished)
            first = nil
            _ = try TrainingRun(trainer, data: data, config: config(), folder: folder, overwrites: true)
        }
    }

    @Test func aFolderThatCannotBeUsedIsRefusedBeforeTheFirstStep() throws {
        try withTemporaryFolder { folder in
            let trainer = try trainer()
            try AtomicFile.write("a file", to: "\(folder)/file")
            for path in ["\(folder)/file", "\(folder)/file/below"] {
                let text = errorText {
                    _ = try TrainingRun(trainer, data: data, config: config(), folder: path)
                }
                #expect(text?.contains("cannot create the folder") == true, "\(text ?? "it was used")")
            }
            #expect(try contents("\(folder)/file") == Array("a file".utf8))
            for operation in [FileOperation.open, .write] {
                let text = FileFaults.$active.withValue(
                    FileFaults(operation, failing: 1, onwards: true, errno: EROFS)
                ) {
                    errorText {
                        _ = try TrainingRun(
                            trainer, data: data, config: config(), folder: "\(folder)/readonly")
                    }
                }
                #expect(
                    text?.contains("Read-only file system; check the permissions") == true,
                    "\(text ?? "it was used")")
            }
            #expect(trainer.step == 0)
        }
    }

    @Test func badSettingsAreRefused() throws {
        try withTemporaryFolder { folder in
            let trainer = try trainer()
            func refused(_ text: String, _ change: (inout RunConfig) -> Void) {
                var config = config()
                change(&config)
                let error = errorText {
                    _ = try TrainingRun(trainer, data: data, config: config, folder: folder + "/out")
                }
                #expect(error?.contains(text) == true, "\(error ?? "it was used")")
            }
            for count in [0, -1, .min, .max] {
                refused("the batch size is \(count)") { $0.batchSize = count }
                refused("the gradient accumulation is \(count)") { $0.accumulation = count }
            }
            refused("the number of steps is 0") { $0.steps = 0 }
            refused("the learning rate is nan") { $0.schedule.learningRate = .nan }
            refused("-1") { $0.saveEvery = -1 }
            refused("-1") { $0.validateEvery = -1 }
            #expect(!FileSystem.exists(folder + "/out"))
        }
    }

    /// A kernel would read beside its tables, and train on something else.
    @Test func examplesThatTheModelCannotReadAreRefused() throws {
        try withTemporaryFolder { folder in
            let trainer = try trainer()
            for (example, reason) in [
                (Example(tokens: [1, 96]), "96"), (Example(tokens: [1, -1]), "-1"),
                (Example(tokens: [1, 2], labels: [1, 96]), "96"),
                (Example(tokens: [Int32](repeating: 1, count: 65)), "65 tokens"),
            ] {
                let bad = Dataset(examples: data.examples + [example])
                let text = errorText {
                    _ = try TrainingRun(trainer, data: bad, config: config(), folder: folder)
                }
                #expect(text?.contains(reason) == true, "\(text ?? "it was used")")
                let valid = errorText {
                    _ = try TrainingRun(
                        trainer, data: data, validation: bad, config: config(), folder: folder)
                }
                #expect(valid?.contains(reason) == true, "\(valid ?? "it was used")")
                let evaluated = errorText {
                    _ = try Evaluator(trainer.model, nil).evaluate(bad, shouldStop: { false })
                }
                #expect(evaluated?.contains(reason) == true, "\(evaluated ?? "it was used")")
            }
            let longest = Dataset(examples: [Example(tokens: [Int32](repeating: 1, count: 64))])
            #expect(
                try TrainingRun(trainer, data: longest, config: config(steps: 1), folder: folder).run()
                    == .finished)
        }
    }

    // MARK: Faults

    /// Every file operation of a run fails in turn, once or from then on. Only the last save of the adapter must succeed.
    @Test(arguments: [false, true])
    func onlyAFaultInTheLastSaveEndsARun(onwards: Bool) throws {
        try withTemporaryFolder { folder in
            let trainer = try trainer()
            let config = config()
            func run(_ faults: FileFaults) throws -> (text: String?, warnings: [String]) {
                var warnings: [String] = []
                let run = try TrainingRun(
                    trainer, data: data, config: config, folder: folder, overwrites: true)
                let text = FileFaults.$active.withValue(faults) {
                    errorText { _ = try run.run(onWarning: { warnings.append($0) }) }
                }
                return (text, warnings)
            }
            // A save over another takes one operation less than the first of a folder.
            #expect(try run(FileFaults(failing: .max)).text == nil)
            let counter = FileFaults(failing: .max)
            let clean = try run(counter)
            #expect(clean.text == nil && clean.warnings.isEmpty)
            let saving = FileFaults(failing: .max)
            try FileFaults.$active.withValue(saving) { try trainer.adapter.save(to: folder) }
            let savingState = FileFaults(failing: .max)
            try FileFaults.$active.withValue(savingState) { try trainer.saveState(to: "\(folder)/state") }
            try FileSystem.remove("\(folder)/state")
            // The last operation removes the state.
            let removal = counter.counted
            let lastSave = removal - saving.counted..<removal
            #expect(
                saving.counted >= 8
                    && counter.counted == 3 * saving.counted + 2 * savingState.counted + 3 + 1)

            for nth in 1...counter.counted {
                let (text, warnings) = try run(FileFaults(failing: nth, onwards: onwards))
                let fails = lastSave.contains(nth) || (onwards && nth < removal)
                #expect(
                    (text?.contains("No space left on device") ?? false) == fails,
                    "call \(nth): \(text ?? "went well")")
                #expect(warnings.isEmpty == lastSave.contains(nth), "call \(nth)")
                #expect(warnings.allSatisfy { $0.contains("No space left on device") })
                let state = "\(folder)/\(TrainingState.fileName)"
                #expect(
                    try FileSystem.names(in: folder).filter { $0 != TrainingState.fileName } == names,
                    "call \(nth)")
                #expect(!FileSystem.exists(state) || fails || nth == removal, "call \(nth)")
                if FileSystem.exists(state) {
                    _ = try TrainingState(SafetensorsFile(state), for: trainer)
                }
                let saved = try Adapter.load(folder, for: trainer.model).all()
                if !fails { #expect(try saved == trainer.adapter.all(), "call \(nth)") }
            }
        }
    }

    // MARK: Divergence

    @Test func aLossThatIsNoNumberStopsTheTrainer() throws {
        let trainer = try trainer()
        let start = try trainer.adapter.all()
        let error = #expect(throws: DivergenceError.self) {
            for _ in 0..<5 { _ = try trainer.step([examples([9, 5])], learningRate: 1e30) }
        }
        #expect(error?.description.contains("try a smaller learning rate") == true)
        try trainer.restoreLastGoodParameters()
        let kept = try trainer.adapter.all()
        #expect(kept.values.joined().allSatisfy { $0.isFinite })
        #expect(trainer.step > 1 || kept == start)
        #expect(try Evaluator(trainer.model, trainer.adapter).evaluate(examples([9, 5])).lossSum.isFinite)
    }

    @Test func aRunThatDivergesLeavesTheLastGoodAdapter() throws {
        try withTemporaryFolder { folder in
            let trainer = try trainer()
            let run = try TrainingRun(
                trainer, data: data, config: config(steps: 50, learningRate: 1e30), folder: folder)
            let text = errorText { _ = try run.run() }
            #expect(
                text?.contains("Try a smaller learning rate") == true
                    || text?.contains("try a smaller learning rate") == true)
            #expect(text?.hasSuffix("The adapter of the last good step is in \(folder)") == true)
            #expect(try FileSystem.names(in: folder) == names)
            let saved = try Adapter.load(folder, for: trainer.model)
            #expect(try saved.all() == trainer.adapter.all())
            #expect(try Evaluator(trainer.model, saved).evaluate(examples([9, 5])).lossSum.isFinite)
        }
    }
}
