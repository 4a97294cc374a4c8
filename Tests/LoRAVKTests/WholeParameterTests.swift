// Copies of embedding and output that train whole: gradients against differences of the loss, memory against its plan, files, and what
// is refused.

import Checkpoints
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct WholeParameterTests {
    static let modules = [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]]

    private func loraConfig(_ modules: [String]) -> LoRAConfig {
        var config = LoRAConfig()
        (config.rank, config.modulesToSave) = (3, modules)
        return config
    }

    @Test(arguments: modules, [true, false])
    func gradientIsThatOfTheLoss(_ modules: [String], _ isTied: Bool) throws {
        let model = try TinyModel(layers: 1, tied: isTied).load(TestDevices.main)
        let adapter = try Adapter.create(for: model, loraConfig(modules))
        #expect(adapter.whole.count == modules.count)
        let batch = examples([8, 5, 11], prompt: 3, seed: 2)
        let evaluator = try Evaluator(model, adapter)
        let counted = batch.reduce(0) { $0 + $1.countedTokens }
        for recomputed in [0, 1] {
            let trainer = try Trainer(model, adapter, recomputedBlocks: recomputed)
            try trainer.zeroGradients()
            _ = try trainer.forwardBackward(batch, counted: 1)
            for whole in adapter.whole {
                let gradient = try adapter.values(whole.parameter, .gradient)
                let values = try adapter.values(whole.parameter)
                let largest = gradient.map(abs).max() ?? 0
                #expect(largest > 0, "\(whole.name)")
                let width = whole.parameter.shape.columns
                let token = Int(batch[0].tokens[1])
                for place in [
                    gradient.firstIndex { abs($0) == largest } ?? 0, token * width + 1, gradient.count - 1,
                ] {
                    func loss(_ step: Float) throws -> Double {
                        var moved = values
                        moved[place] += step
                        try adapter.set(whole.parameter, to: moved)
                        return try evaluator.evaluate(batch).loss * Double(counted)
                    }
                    let (near, far) = (try loss(1e-2) - loss(-1e-2), try loss(2e-2) - loss(-2e-2))
                    let slope = (8 * near - far) / 0.12
                    #expect(
                        abs(Double(gradient[place]) - slope) < 1e-2 * Double(largest) + 1e-4,
                        "\(whole.name)[\(place)]: \(gradient[place]), \(slope)")
                }
                try adapter.set(whole.parameter, to: values)
            }
        }
    }

    @Test func aNewCopyChangesNothingAndTheOtherEndStays() throws {
        let model = try TinyModel().load(TestDevices.main)
        let batch = examples([12, 9], prompt: 2, seed: 4)
        let plain = try Evaluator(model, nil).evaluate(batch).loss
        for modules in Self.modules {
            let adapter = try Adapter.create(for: model, loraConfig(modules))
            #expect(isClose(try Evaluator(model, adapter).evaluate(batch).loss, plain, 1e-5))
            let trainer = try Trainer(model, adapter)
            let before = try trainer.step([batch], learningRate: 1e-3).loss
            #expect(try trainer.step([batch], learningRate: 1e-3).loss < before)
        }
    }

    @Test func aCopyIsReadAsItWasWritten() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.create(for: model, loraConfig(["embed_tokens", "lm_head"]))
        let batch = examples([12, 9], prompt: 2, seed: 4)
        _ = try Trainer(model, adapter).step([batch], learningRate: 1e-2)
        let loss = try Evaluator(model, adapter).evaluate(batch).loss
        try withTemporaryFolder { folder in
            try adapter.save(to: folder)
            let read = try Adapter.load(folder, for: model)
            #expect(read.config.modulesToSave == ["embed_tokens", "lm_head"])
            #expect(try Evaluator(model, read).evaluate(batch).loss == loss)
            // The way of `eval` and `generate`: the model with the copies in their places.
            let (checkpoint, rest) = try AdapterFiles.open(AdapterMix(folder), adapting: model.checkpoint)
            let adapted = try Transformer.load(checkpoint, device: TestDevices.main, weights: .auto)
            let other = try Evaluator(adapted, Adapter.load(rest, for: adapted)).evaluate(batch).loss
            #expect(isClose(other, loss, 1e-5))
        }
    }

    @Test func memoryIsPlanned() throws {
        try withTemporaryFolder { folder in
            try TinyModel(vocab: 512).write(to: folder)
            let device = try Device.open(instance: Instance(options: .environment))
            let checkpoint = try Checkpoint.open(path: folder)
            func adapter(_ model: Transformer) throws -> Adapter {
                try Adapter.create(for: model, loraConfig(["embed_tokens", "lm_head"]))
            }
            let data = Dataset(examples: examples([20, 30, 24], prompt: 2, seed: 4))
            let planned = try MemoryPlanner(
                checkpoint, weights: .auto, capabilities: device.capabilities, makeAdapter: adapter
            ).layout(data.sizes, batchSize: 2, recomputedBlocks: 1)
            let model = try Transformer.load(checkpoint, device: device, weights: .auto)
            let trainer = try Trainer(model, adapter(model), recomputedBlocks: 1)
            var config = RunConfig()
            (config.batchSize, config.steps, config.tokensPerPass) = (2, 3, planned.tokensPerPass)
            config.schedule = Schedule(Defaults.schedule, learningRate: 1e-3, steps: 3)
            var bytes: [Int] = []
            let run = try TrainingRun(trainer, data: data, validation: data, config: config, folder: nil)
            _ = try run.run(onProgress: { _ in bytes.append(device.bufferByteCount) })
            #expect(Set(bytes) == [planned.use.total - planned.use.unused])
        }
    }

    @Test func whatCannotTrainWholeIsSaid() throws {
        let model = try TinyModel().load(TestDevices.main)
        #expect(throws: ConfigError.self) { try Adapter.create(for: model, loraConfig(["norm"])) }
        #expect(throws: ConfigError.self) { try Adapter.create(for: model, loraConfig(["q_proj"])) }
    }
}
