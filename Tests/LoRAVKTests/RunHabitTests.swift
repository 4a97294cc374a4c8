// What a run does beside its steps: checkpoints, the best adapter, patience, time, samples; and that a run that is stopped and goes
// on ends as an undisturbed one.

import Checkpoints
import Foundation
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct RunHabitTests {
    private let data = Dataset(examples: examples([9, 5, 12, 7, 8], prompt: 2))
    /// Of other tokens: what is learned makes it worse before long.
    private let validation = Dataset(examples: examples([11, 10], prompt: 2, seed: 77))

    private func trainer() throws -> Trainer {
        let model = try TinyModel().load(TestDevices.main)
        return try Trainer(model, try Adapter.random(for: model, dropout: 0.1))
    }

    private func config(steps: Int = 20, learningRate: Double = 2e-2) -> RunConfig {
        var config = RunConfig()
        (config.batchSize, config.steps) = (2, steps)
        config.schedule = Schedule(.constant, learningRate: learningRate, steps: steps)
        (config.saveEvery, config.validateEvery) = (3, 2)
        return config
    }

    private struct Ending {
        var outcome = RunOutcome.finished
        var losses: [Int: Double] = [:]
        var best: (step: Int, loss: Double)?
        var files: [String] = []
        var adapter: [UInt8] = []
        var parameters: [String: [Float]] = [:]
    }

    /// Runs to the end, stopping after each of `stops` and going on with another trainer.
    private func run(_ config: RunConfig, _ folder: String, stops: [Int] = []) throws -> Ending {
        var ending = Ending()
        for stop in stops + [.max] {
            let trainer = try trainer()
            let run = try TrainingRun(
                trainer, data: data, validation: validation, config: config, folder: folder, resumes: true)
            var done = 0
            ending.outcome = try run.run(
                shouldStop: { done >= stop },
                onProgress: {
                    done = $0.step
                    if let loss = $0.validationLoss { ending.losses[$0.step] = loss }
                }, onWarning: { Issue.record("\($0)") })
            ending.best = run.bestValidation
            ending.parameters = try trainer.adapter.all()
            if ending.outcome.isEnd { break }
        }
        ending.files = try FileSystem.names(in: folder)
        ending.adapter = try contents("\(folder)/adapter_model.safetensors")
        return ending
    }

    private func parameters(of folder: String) throws -> [String: [Float]] {
        try Adapter.load(folder, for: TinyModel().load(TestDevices.main)).all()
    }

    @Test func theBestAdapterIsTheEnd() throws {
        try withTemporaryFolder { parent in
            var config = config()
            config.keepsBest = true
            let kept = try run(config, parent + "/best")
            let best = try #require(kept.losses.min { $0.value < $1.value })
            #expect(kept.best?.step == best.key && kept.best?.loss == best.value && best.key < 20)
            #expect(
                kept.files == [
                    ".loravk.lock", "adapter_config.json", "adapter_model.safetensors", "metrics.jsonl",
                ])
            // No state was saved on the way: the same files are left.
            config.saveEvery = 0
            #expect(try run(config, parent + "/unsaved").files == kept.files)
            // A run that ends there has the same parameters.
            config.steps = best.key
            config.schedule.steps = 20
            config.keepsBest = false
            let short = try run(config, parent + "/short")
            #expect(kept.parameters == short.parameters && kept.adapter == short.adapter)
            #expect(try parameters(of: parent + "/best") == kept.parameters)
            // In memory too.
            config = self.config()
            config.keepsBest = true
            let trainer = try trainer()
            _ = try TrainingRun(trainer, data: data, validation: validation, config: config, folder: nil)
                .run()
            #expect(try trainer.adapter.all() == kept.parameters)
        }
    }

    @Test func patienceEndsARun() throws {
        try withTemporaryFolder { parent in
            var config = config(steps: 60)
            config.patience = 3
            let ended = try run(config, parent + "/out")
            let best = try #require(ended.best).step
            #expect(ended.outcome == .outOfPatience(step: best + 6))
            #expect(ended.losses.keys.max() == best + 6)
            #expect(try parameters(of: parent + "/out") == ended.parameters)
            #expect(!ended.files.contains(TrainingState.fileName))
            // No loss is better by so much: only the first counts.
            config.minImprovement = 100
            #expect(try run(config, parent + "/strict").outcome == .outOfPatience(step: 8))
        }
    }

    @Test(arguments: [[1], [4, 5], [2, 7, 9], [3, 6, 8, 12]])
    func aRunThatGoesOnEndsTheSame(stops: [Int]) throws {
        try withTemporaryFolder { parent in
            var config = config(steps: 60)
            (config.keepsBest, config.patience, config.keptCheckpoints) = (true, 3, 2)
            let whole = try run(config, parent + "/whole")
            let parts = try run(config, parent + "/parts", stops: stops)
            #expect(parts.outcome == whole.outcome && parts.best?.step == whole.best?.step)
            #expect(parts.parameters == whole.parameters && parts.adapter == whole.adapter)
            #expect(parts.files == whole.files)
        }
    }

    @Test func theLastCheckpointsStay() throws {
        try withTemporaryFolder { folder in
            var config = config(steps: 14)
            config.keptCheckpoints = 2
            let ending = try run(config, folder)
            let folders = ending.files.filter { $0.hasPrefix("checkpoint-") }
            #expect(folders == ["checkpoint-12", "checkpoint-9"])
            for name in folders {
                let files = try FileSystem.names(in: "\(folder)/\(name)")
                #expect(
                    files == ["adapter_config.json", "adapter_model.safetensors", TrainingState.fileName])
            }
            // It is the state of that step: a run in a copy of it ends as this one.
            let copy = folder + "/copy"
            try FileManager.default.copyItem(atPath: "\(folder)/checkpoint-9", toPath: copy)
            let resumed = try run(config, copy)
            #expect(resumed.parameters == ending.parameters)
            // Another run in the folder has its own.
            let trainer = try trainer()
            config.steps = 4
            let again = try TrainingRun(
                trainer, data: data, validation: validation, config: config, folder: folder, overwrites: true)
            #expect(try again.run() == .finished)
            #expect(
                try FileSystem.names(in: folder).filter { $0.hasPrefix("checkpoint-") } == ["checkpoint-3"])
        }
    }

    @Test func timeStopsAtTheEndOfAStep() throws {
        try withTemporaryFolder { parent in
            var config = config()
            let whole = try run(config, parent + "/whole")
            config.maxSeconds = 1e-9
            let folder = parent + "/parts"
            for step in 1...19 {
                let run = try TrainingRun(
                    trainer(), data: data, validation: validation, config: config, folder: folder,
                    resumes: true)
                #expect(try run.run() == .timeIsUp(step: step))
                #expect(run.isResumable)
            }
            config.maxSeconds = 1e6
            let ended = try run(config, folder)
            #expect(ended.outcome == .finished && ended.parameters == whole.parameters)
        }
    }

    @Test func whatIsLeftIsToldByStepsThatCompileNothing() throws {
        var config = config(steps: 12)
        config.batchSize = 5
        config.shuffles = false
        let run = try TrainingRun(trainer(), data: data, validation: validation, config: config, folder: nil)
        var progress: [RunProgress] = []
        _ = try run.run(onProgress: { progress.append($0) })
        #expect(progress[0].secondsLeft == nil && progress[0].report.isRecorded)
        #expect(progress[1...].allSatisfy { !$0.report.isRecorded && $0.secondsLeft != nil })
        let second = try #require(progress[1].secondsLeft)
        #expect(abs(second - 10 * progress[1].report.seconds) < 1e-9)
        #expect(progress[11].secondsLeft == 0)
    }

    @Test func theyAreRefusedWhereTheyMeanNothing() throws {
        let trainer = try trainer()
        func refused(_ text: String, validation: Dataset? = nil, _ change: (inout RunConfig) -> Void) {
            var config = config()
            change(&config)
            let error = errorText {
                _ = try TrainingRun(trainer, data: data, validation: validation, config: config, folder: nil)
            }
            #expect(error?.contains(text) == true, "\(error ?? "it was used")")
        }
        refused("there is no validation data") { $0.keepsBest = true }
        refused("there is no validation data") { $0.patience = 1 }
        refused("the patience is -1", validation: validation) { $0.patience = -1 }
        refused("the steps between validations are 0", validation: validation) {
            ($0.patience, $0.validateEvery) = (1, 0)
        }
        refused("the steps between saves are 0") { ($0.keptCheckpoints, $0.saveEvery) = (1, 0) }
        refused("the least improvement is -1.0") { $0.minImprovement = -1 }
        refused("the time of the run is 0.0 seconds") { $0.maxSeconds = 0 }
    }
}
