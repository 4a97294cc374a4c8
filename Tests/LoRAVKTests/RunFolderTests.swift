// Runs that go on: to the same bits as undisturbed ones, wherever they were stopped or killed, and only as the same run.

import Checkpoints
import Foundation
import LoRAVK
import TestSupport
import Testing
import Tokenizer
import VulkanCompute

@Suite struct RunFolderTests {
    private let data = Dataset(examples: examples([9, 5, 12, 7, 8], prompt: 2))
    private static let names = [
        ".loravk.lock", "adapter_config.json", "adapter_model.safetensors", "metrics.jsonl",
    ]

    private var config: RunConfig {
        var config = RunConfig()
        config.batchSize = 2
        config.accumulation = 2
        config.steps = 6
        config.schedule = Schedule(.cosine, learningRate: 1e-2, warmupSteps: 2, steps: 6)
        config.seed = 3
        (config.saveEvery, config.validateEvery) = (2, 3)
        return config
    }

    /// Options as `lora-vk train` has them.
    struct Recipe: Sendable, CustomTestStringConvertible {
        var method = "lora"
        var start: String?
        var dropout = 0.0

        var testDescription: String { "\(method) \(start ?? "") \(dropout)" }

        func trainer(_ model: Transformer, change: (inout LoRAConfig) -> Void = { _ in }) throws -> Trainer {
            var config = LoRAConfig()
            (config.rank, config.alpha, config.dropout, config.seed) = (3, 6, dropout, 3)
            config.method = try Registries.methods.named(method)
            config.initialization = try start.map(Registries.initializations.named)
            change(&config)
            var optimizer = AdamWConfig()
            (optimizer.weightDecay, optimizer.maxGradientNorm) = (0.1, 1)
            return try Trainer(
                model, Adapter.create(for: model, config), optimizer: optimizer, seed: config.seed)
        }
    }

    private func run(
        _ trainer: Trainer, _ folder: String, data: Dataset? = nil, config: RunConfig? = nil,
        resumes: Bool = false, stopAfter: Int = .max, onProgress: (RunProgress) -> Void = { _ in }
    ) throws -> RunOutcome {
        let run = try TrainingRun(
            trainer, data: data ?? self.data, validation: self.data, config: config ?? self.config,
            folder: folder, resumes: resumes)
        var done = run.firstStep
        return try run.run(
            shouldStop: { done == stopAfter },
            onProgress: {
                done += 1
                #expect($0.step == done && $0.tokensPerSecond > 0)
                onProgress($0)
            }, onWarning: { Issue.record("\($0)") })
    }

    /// What does not change from run to run: both files of the adapter, and the metrics without their times.
    private func results(_ folder: String) throws -> [[UInt8]] {
        let lines = try String(decoding: contents("\(folder)/metrics.jsonl"), as: UTF8.self)
            .split(separator: "\n").map { line in
                var fields = try JSONFields(JSON.parse(Array(line.utf8), path: ""), path: "").object
                (fields["seconds"], fields["tokens_per_second"]) = (nil, nil)
                return JSON.object(fields).text(.compact)
            }
        #expect(lines.count == config.steps)
        return try [
            contents("\(folder)/adapter_model.safetensors"), contents("\(folder)/adapter_config.json"),
            lines.flatMap { Array($0.utf8) },
        ]
    }

    // MARK: The same bits

    private static let recipes =
        Registries.methods.all.map { Recipe(method: $0.name) } + [
            Recipe(dropout: 0.3), Recipe(method: "dora", dropout: 0.1), Recipe(start: "pissa"),
            Recipe(start: "init-b"),
        ]

    @Test(arguments: recipes)
    func aStoppedRunGoesOnToTheSameBits(_ recipe: Recipe) throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            let (whole, parts) = ("\(folder)/whole", "\(folder)/parts")
            #expect(try run(recipe.trainer(model), whole) == .finished)
            #expect(try FileSystem.names(in: whole) == Self.names)
            // The same command from the first time on.
            #expect(
                try run(recipe.trainer(model), parts, resumes: true, stopAfter: 3) == .stopped(step: 3))
            #expect(try FileSystem.names(in: parts) == Self.names + [TrainingState.fileName])
            _ = try Adapter.load(parts, for: model)
            #expect(
                try run(recipe.trainer(model), parts, resumes: true, stopAfter: 4) == .stopped(step: 4))
            let last = try recipe.trainer(model)
            #expect(try run(last, parts, resumes: true) == .finished)
            #expect(last.step == 6)
            #expect(try FileSystem.names(in: parts) == Self.names)
            #expect(try results(parts) == results(whole))
        }
    }

    /// Copies of the folder at every step are what SIGKILL leaves.
    @Test func aKilledRunGoesOnToTheSameBits() throws {
        let model = try TinyModel().load(TestDevices.main)
        let recipe = Recipe(dropout: 0.3)
        try withTemporaryFolder { folder in
            let whole = "\(folder)/whole"
            _ = try run(recipe.trainer(model), whole) { progress in
                try? FileManager.default.copyItem(atPath: whole, toPath: "\(folder)/\(progress.step)")
            }
            for (killed, first) in [(1, 0), (2, 0), (3, 2), (4, 2), (5, 4), (6, 4)] {
                let copy = "\(folder)/\(killed)"
                // A line that was being written.
                try AtomicFile.write(
                    contents("\(copy)/metrics.jsonl") + Array("{\"step\": 1, \"lo".utf8),
                    to: "\(copy)/metrics.jsonl")
                var steps: [Int] = []
                #expect(
                    try run(recipe.trainer(model), copy, resumes: true) { steps.append($0.step) } == .finished
                )
                #expect(steps == Array(first + 1...6))
                #expect(try results(copy) == results(whole))
            }
        }
    }

    /// As a host program does that stops a run and goes on in the same process.
    @Test func aTrainerMayGoOnWithItsOwnRun() throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            let (whole, parts) = ("\(folder)/whole", "\(folder)/parts")
            _ = try run(Recipe().trainer(model), whole)
            let trainer = try Recipe().trainer(model)
            _ = try run(trainer, parts, stopAfter: 0)
            #expect(try run(trainer, parts, resumes: true, stopAfter: 5) == .stopped(step: 5))
            #expect(try run(trainer, parts, resumes: true) == .finished)
            #expect(try results(parts) == results(whole))
        }
    }

    // MARK: The same run

    /// A template that writes the date gives the same tokens on another day only by the first day's.
    @Test func aRunKeepsTheDateOfItsData() throws {
        let template = "{% for m in messages %}{{ strftime_now('%d %H%M%S') + m.content }}{% endfor %}"
        let tokenizer = try DatasetTests.tokenizer(template: template)
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { parent in
            let (file, folder) = ("\(parent)/data.jsonl", "\(parent)/out")
            let message = #"{"messages": [{"role": "assistant", "content": "a"}]}"#
            try AtomicFile.write((0..<5).map { _ in message }.joined(separator: "\n"), to: file)
            func data(_ date: TemplateDate) throws -> Dataset {
                var format = TextFormat()
                format.date = date
                let read = try Dataset(file, tokenizer: tokenizer, format: format)
                // The tiny model has fewer tokens.
                let small = read.examples.map { example in
                    Example(tokens: example.tokens.map { $0 % 32 })
                }
                return Dataset(examples: small, date: read.date)
            }
            let first = try #require(TemplateDate("2026-03-05 14:07:09"))
            _ = try run(Recipe().trainer(model), folder, data: data(first), stopAfter: 3)
            #expect(TrainingRun.savedDate(in: folder) == first && TrainingRun.savedDate(in: parent) == nil)
            let next = try #require(TemplateDate("2026-03-06 09:00:00"))
            let error = errorText {
                _ = try run(Recipe().trainer(model), folder, data: data(next), resumes: true)
            }
            let told = "date of the chat template 2026-03-05 14:07:09 there, 2026-03-06 09:00:00 here"
            #expect(error?.contains(told) == true, "\(error ?? "it went on")")
            let saved = try #require(TrainingRun.savedDate(in: folder))
            #expect(try run(Recipe().trainer(model), folder, data: data(saved), resumes: true) == .finished)
        }
    }

    @Test func anotherRunIsRefusedByName() throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { parent in
            let folder = "\(parent)/out"
            let recipe = Recipe()
            _ = try run(recipe.trainer(model), folder, stopAfter: 3)
            let state = "\(folder)/\(TrainingState.fileName)"
            let before = try contents(state)
            func refused(
                _ text: String, _ trainer: Trainer? = nil, data: Dataset? = nil,
                _ change: (inout RunConfig) -> Void = { _ in }
            ) throws {
                var config = config
                change(&config)
                let trainer = try trainer ?? recipe.trainer(model)
                let start = try trainer.adapter.all()
                let error = errorText {
                    _ = try run(trainer, folder, data: data, config: config, resumes: true)
                }
                #expect(error?.hasPrefix("\(state): is of a run with other settings: ") == true)
                #expect(error?.contains(text) == true, "\(error ?? "it went on")")
                #expect(
                    error?.hasSuffix("; give the options of that run, or begin anew with --overwrite") == true
                )
                #expect(try trainer.adapter.all() == start && trainer.step == 0)
                #expect(try contents(state) == before)
            }
            try refused("settings: batch size 2 there, 3 here; give") { $0.batchSize = 3 }
            try refused("settings: accumulation 2 there, 1 here; give") { $0.accumulation = 1 }
            try refused("settings: steps 6 there, 7 here; give") { $0.steps = 7 }
            try refused("settings: learning rate 0.01 there, 0.02 here; give") {
                $0.schedule.learningRate = 0.02
            }
            try refused(
                "schedule cosine over 6 steps there, linear over 6 steps here; warm-up steps 2 there, 1 here"
            ) {
                ($0.schedule.shape, $0.schedule.warmupSteps) = (.linear, 1)
            }
            try refused("settings: seed 3 there, 4 here; give") { $0.seed = 4 }
            try refused("settings: shuffled true there, false here; give") { $0.shuffles = false }
            try refused("settings: tokens of a pass all there, 16 here; give") { $0.tokensPerPass = 16 }
            var changed = data.examples
            changed[4].labels[3] = TokenBatch.ignored
            try refused("settings: data 5 examples, 41 tokens, ", data: Dataset(examples: changed))

            func adapted(_ change: (inout LoRAConfig) -> Void) throws -> Trainer {
                try recipe.trainer(model, change: change)
            }
            try refused("rank 3 there, 4 here", adapted { $0.rank = 4 })
            try refused("alpha 6 there, 5 here", adapted { $0.alpha = 5 })
            try refused("settings: dropout 0 there, 0.1 here; give", adapted { $0.dropout = 0.1 })
            try refused("method lora there, lora+:ratio=16 here", Recipe(method: "lora+").trainer(model))
            try refused(
                "settings: initialization kaiming there, init-b here; give",
                Recipe(start: "init-b").trainer(model))
            try refused(
                "settings: adapted layers and their rates 14 layers, ",
                adapted { $0.learningRates = [("q_proj", 0.5)] })
            try refused(
                "adapted layers and their rates 14 layers, ", adapted { $0.targets = .names(["q_proj"]) })
            try refused("settings: seed of dropout 3 there, 5 here; give", adapted { $0.seed = 5 })
            try refused(
                "settings: weight decay 0.1 there, 0 here; largest gradient norm 1 there, none here; give",
                Trainer(model, recipe.trainer(model).adapter, seed: 3))
            let other = try TinyModel(seed: 2).load(TestDevices.main)
            try refused("settings: model 20 tensors, ", recipe.trainer(other))
            let half = try TinyModel().load(TestDevices.main, weights: .f16)
            try refused("settings: types of weights f32 there, f16 here; give", recipe.trainer(half))

            // What changes no bit may change.
            var same = config
            (same.saveEvery, same.validateEvery, same.tokensPerPass) = (1, 6, 21)
            #expect(try run(recipe.trainer(model), folder, config: same, resumes: true) == .finished)
        }
    }

    @Test func aFolderSaysHowToGoOn() throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { parent in
            let folder = "\(parent)/out"
            let recipe = Recipe()
            _ = try run(recipe.trainer(model), folder, stopAfter: 3)
            let state = "\(folder)/\(TrainingState.fileName)"
            func text(overwrites: Bool = false, resumes: Bool = false) -> String? {
                errorText {
                    _ = try TrainingRun(
                        recipe.trainer(model), data: data, config: config, folder: folder,
                        overwrites: overwrites, resumes: resumes)
                }
            }
            #expect(
                text()
                    == "\(folder): already holds an unfinished run; go on with it by --resume, choose another folder, or overwrite it with --overwrite"
            )
            #expect(
                text(overwrites: true, resumes: true)?.contains("either goes on (--resume) or replaces")
                    == true)
            // An unfinished run that was killed before its first adapter.
            let saved = try contents(state)
            try FileSystem.remove("\(folder)/adapter_config.json")
            #expect(text()?.contains("already holds an unfinished run") == true)
            #expect(text(resumes: true) == nil)

            func damaged(_ change: (inout [String: String]) -> Void) throws -> String? {
                let file = try SafetensorsFile(state)
                var metadata = file.metadata
                change(&metadata)
                try SafetensorsWriter.write(
                    file.tensors.map { TensorSource($0) }, metadata: metadata, to: state)
                let error = text(resumes: true)
                try AtomicFile.write(saved, to: state)
                return error
            }
            for number in ["6", "-1", "nan", "", "1152921504606846976"] {
                let error = try damaged { $0["lora_vk.done"] = number }
                #expect(error == "\(state): 'lora_vk.done' is '\(number)', expected an integer from 0 to 5")
            }
            #expect(try damaged { $0["lora_vk.done"] = nil }?.contains("was not saved by a run") == true)
            #expect(
                try damaged { $0["lora_vk.run.steps"] = nil }?.contains("steps missing there, 6 here") == true
            )
            #expect(try damaged { _ in } == nil)

            // Overwriting leaves nothing of the old run, and its adapter is not taken for the new one's.
            _ = try TrainingRun(
                recipe.trainer(model), data: data, config: config, folder: folder, overwrites: true)
            #expect(!FileSystem.exists(state))
            #expect(try run(recipe.trainer(model), folder, resumes: true) == .finished)
            #expect(
                text(resumes: true)
                    == "\(folder): holds an adapter without a training state: its run finished, or could not save one; go on from the adapter with a new optimizer (--adapter), or begin anew with --overwrite"
            )
            let finished = try results(folder)
            _ = try TrainingRun(
                Recipe(start: "init-b").trainer(model), data: data, config: config, folder: folder,
                overwrites: true)
            #expect(text(resumes: true)?.contains("initialization init-b there, kaiming here") == true)
            _ = try run(Recipe(start: "init-b").trainer(model), folder, resumes: true)
            #expect(try results(folder) != finished)
            #expect(
                errorText {
                    _ = try TrainingRun(
                        recipe.trainer(model), data: data, config: config, folder: nil, resumes: true)
                }?.contains("output folder") == true)
        }
    }

    /// Of a model with the same tensors' names and shapes, and of one whose forward goes by other numbers.
    @Test func anotherModelIsRefused() throws {
        try withTemporaryFolder { folder in
            var weights = TinyModel()
            let recipe = Recipe()
            _ = try run(recipe.trainer(weights.load(TestDevices.main)), "\(folder)/out", stopAfter: 2)
            weights.ropeTheta *= 2
            let other = try recipe.trainer(weights.load(TestDevices.main))
            #expect(
                errorText { _ = try run(other, "\(folder)/out", resumes: true) }?.contains(
                    "other settings: model 20 tensors, ") == true)
        }
    }

    /// With a rate at which the parameters burst: the adapter of the last good step is the one that an undisturbed run keeps.
    @Test func divergenceAfterAStopKeepsTheSameAdapter() throws {
        let model = try TinyModel().load(TestDevices.main)
        var config = config
        config.schedule = Schedule(.constant, learningRate: 1e19, steps: 6)
        try withTemporaryFolder { folder in
            let (whole, parts) = ("\(folder)/whole", "\(folder)/parts")
            func text(_ folder: String, resumes: Bool) -> String? {
                errorText { _ = try run(Recipe().trainer(model), folder, config: config, resumes: resumes) }
            }
            let said = text(whole, resumes: false)
            #expect(said?.contains("at step 2") == true)
            _ = try run(Recipe().trainer(model), parts, config: config, stopAfter: 1)
            #expect(
                text(parts, resumes: true)?.replacingOccurrences(of: parts, with: whole) == said)
            let name = "adapter_model.safetensors"
            #expect(try contents("\(parts)/\(name)") == contents("\(whole)/\(name)"))
        }
    }

    @Test func anotherDeviceIsAWarning() throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            _ = try run(Recipe().trainer(model), folder, stopAfter: 3)
            let state = "\(folder)/\(TrainingState.fileName)"
            let file = try SafetensorsFile(state)
            var metadata = file.metadata
            metadata["lora_vk.computer"] = "A card, its driver 1"
            try SafetensorsWriter.write(file.tensors.map { TensorSource($0) }, metadata: metadata, to: state)
            let run = try TrainingRun(
                Recipe().trainer(model), data: data, config: config, folder: folder, resumes: true)
            var warnings: [String] = []
            #expect(try run.run(onWarning: { warnings.append($0) }) == .finished)
            #expect(
                warnings.count == 1
                    && warnings[0].hasPrefix(
                        "the run began on A card, its driver 1 and goes on on \(model.device.capabilities.name), "
                    )
            )
        }
    }

    // MARK: Faults

    /// The adapter is what counts: a state that cannot be saved at a stop is a warning.
    @Test func aStopOnAFullDiskSavesTheAdapter() throws {
        let model = try TinyModel().load(TestDevices.main)
        try withTemporaryFolder { folder in
            let trainer = try Recipe().trainer(model)
            let run = try TrainingRun(trainer, data: data, config: config, folder: folder)
            var warnings: [String] = []
            var done = 0
            // The first operation after the step's metrics creates the state's file.
            let faults = FileFaults(failing: 2)
            let outcome = try FileFaults.$active.withValue(faults) {
                try run.run(
                    shouldStop: { done == 1 }, onProgress: { done = $0.step },
                    onWarning: { warnings.append($0) })
            }
            #expect(outcome == .stopped(step: 1) && !run.isResumable)
            #expect(warnings.count == 1 && warnings[0].contains("No space left on device"))
            #expect(warnings.first?.hasSuffix("; the training's state was not saved") == true)
            #expect(try FileSystem.names(in: folder) == Self.names)
            #expect(try Adapter.load(folder, for: model).all() == trainer.adapter.all())
        }
    }
}
