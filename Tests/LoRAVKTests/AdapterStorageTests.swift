// Adapters to PEFT's files and back, and adapters that do not belong to the model.

import Checkpoints
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct AdapterStorageTests {
    @Test(arguments: [1, 3, 8, 20])
    func savedAndLoadedItIsTheSame(rank: Int) throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.random(for: model, rank: rank)
        try withTemporaryFolder { folder in
            try adapter.save(to: folder + "/a")
            let loaded = try Adapter.load(folder + "/a", for: model)
            #expect(try loaded.all() == adapter.all())
            #expect(
                loaded.layers.allSatisfy {
                    $0.rank == rank && $0.scaling == 1 && $0.paddedRank == (rank + 7) / 8 * 8
                })
            try loaded.save(to: folder + "/b")
            for name in [AdapterFiles.configName, AdapterFiles.weightsName] {
                #expect(try contents("\(folder)/a/\(name)") == contents("\(folder)/b/\(name)"), "\(name)")
            }
            #expect(
                try FileSystem.names(in: folder + "/a") == [
                    AdapterFiles.configName, AdapterFiles.weightsName,
                ])
            let batch = examples([9, 5])
            #expect(
                try Evaluator(model, loaded).evaluate(batch).lossSum
                    == Evaluator(model, adapter).evaluate(batch).lossSum)
        }
    }

    /// What a rank is padded with stays zero, or the padding would learn.
    @Test(arguments: [1, 3, 20])
    func paddingStaysZeroThroughTraining(rank: Int) throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.random(for: model, rank: rank)
        let trainer = try Trainer(model, adapter)
        for _ in 0..<3 { _ = try trainer.step([examples([9, 5])], learningRate: 1e-2) }
        for layer in adapter.layers {
            let a = try model.device.download(layer.loraA.slice, as: Float.self)
            #expect(a.dropFirst(rank * layer.inFeatures).allSatisfy { $0 == 0 }, "A of \(layer.name)")
            let b = try model.device.download(layer.loraB.slice, as: Float.self)
            let padding = b.indices.filter { $0 % layer.paddedRank >= rank }
            #expect(padding.count == layer.outFeatures * (layer.paddedRank - rank))
            #expect(padding.allSatisfy { b[$0] == 0 }, "B of \(layer.name)")
        }
    }

    /// An adapter trained further from its files is the adapter trained on.
    @Test func trainingGoesOnFromFiles() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.random(for: model, rank: 3)
        try withTemporaryFolder { folder in
            try adapter.save(to: folder)
            let loaded = try Adapter.load(folder, for: model)
            let batch = examples([9, 5])
            let first = try Trainer(model, adapter).step([batch], learningRate: 1e-2)
            let second = try Trainer(model, loaded).step([batch], learningRate: 1e-2)
            #expect(first.loss == second.loss)
            // The layers lie in another order, and so are summed in another.
            #expect(isClose(first.gradientNorm, second.gradientNorm, 1e-6))
            #expect(try adapter.all() == loaded.all())
        }
    }

    @Test(arguments: [
        (LoRAConfig.Targets.names(["q_proj", "layers.1.mlp.up_proj"]), 3),
        (.names(["mlp.*"]), 6), (.names(["v_proj", "q_proj"]), 4), (.allLinear, 14),
    ])
    func targetsComeBack(targets: LoRAConfig.Targets, count: Int) throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.random(for: model, targets: targets)
        #expect(adapter.layers.count == count)
        try withTemporaryFolder { folder in
            try adapter.save(to: folder)
            #expect(
                Set(try Adapter.load(folder, for: model).layers.map(\.name))
                    == Set(adapter.layers.map(\.name)))
        }
    }

    /// GPT-2's files have their matrices as (in, out). PEFT's config says so; A and B are as for any other model.
    @Test func anAdapterOfTransposedLayers() throws {
        try withTemporaryFolder { folder in
            try FileSystem.makeFolder(folder + "/model")
            try TinyCheckpoint(GPT2()).writeFolder(folder + "/model")
            let model = try Transformer.load(folder + "/model", device: TestDevices.main)
            let adapter = try Adapter.random(for: model, targets: .names(["attn.c_attn", "c_proj"]))
            try adapter.save(to: folder + "/a")
            let batch = examples([9, 5])
            let loss = try Evaluator(model, adapter).evaluate(batch).lossSum
            let files = try AdapterFiles(folder + "/a")
            #expect(files.config.fanInFanOut && files.warnings(for: model.checkpoint).isEmpty)
            let joined = try #require(files.modules.first { $0.name.hasSuffix("c_attn") })
            #expect(joined.loraA.shape == [4, 32] && joined.loraB.shape == [96, 4])

            // A config that says otherwise is corrected.
            var wrong = files.config
            wrong.fanInFanOut = false
            try AdapterFiles.write(
                wrong, files.tensors.map { TensorSource($0) }, metadata: files.metadata, to: folder + "/b")
            let warnings = try AdapterFiles(folder + "/b").warnings(for: model.checkpoint)
            #expect(warnings.count == 1 && warnings[0].contains("the matrices as (in, out)"), "\(warnings)")
            let loaded = try Adapter.load(folder + "/b", for: model)
            #expect(try Evaluator(model, loaded).evaluate(batch).lossSum == loss)
            try loaded.save(to: folder + "/c")
            for name in [AdapterFiles.configName, AdapterFiles.weightsName] {
                #expect(try contents("\(folder)/a/\(name)") == contents("\(folder)/c/\(name)"), "\(name)")
            }
        }
    }

    @Test func settingsComeBack() throws {
        let model = try TinyModel().load(TestDevices.main)
        var config = LoRAConfig(rank: 4, alpha: 10)
        config.usesRsLoRA = true
        config.dropout = 0.25
        config.initialization = .initBGaussian
        let adapter = try Adapter.create(for: model, config)
        try withTemporaryFolder { folder in
            try adapter.save(to: folder)
            let loaded = try Adapter.load(folder, for: model)
            #expect(loaded.layers.allSatisfy { $0.scaling == 5 && $0.dropout == 0.25 })
            #expect(loaded.config.usesRsLoRA && loaded.config.alpha == 10)
        }
    }

    @Test(arguments: [
        (TinyModel(hidden: 48, heads: 6), "64 inputs and 32 outputs, the base model's has 64 and 48"),
        (TinyModel(intermediate: 96), "the base model's has"),
        (TinyModel(layers: 1), "has no linear layer 'model.layers.1."),
    ])
    func anAdapterOfAnotherModelIsRefused(other: TinyModel, reason: String) throws {
        let adapter = try Adapter.random(for: try TinyModel().load(TestDevices.main))
        let model = try other.load(TestDevices.main)
        try withTemporaryFolder { folder in
            try adapter.save(to: folder)
            let text = errorText { _ = try Adapter.load(folder, for: model) }
            #expect(text?.contains(reason) == true, "\(text ?? "it was loaded")")
            #expect(text?.contains("the adapter belongs to another model") == true)
        }
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func valuesThatAreNotFiniteAreRefused(_ value: Float) throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.random(for: model, targets: .names(["q_proj"]))
        try withTemporaryFolder { folder in
            let tensors = try adapter.all().map { key, values in
                var values = values
                if key.contains("layers.1") && key.contains("lora_B") { values[5] = value }
                return TensorSource(key, shape: key.contains("lora_A") ? [4, 32] : [32, 4], values)
            }
            try AdapterFiles.write(adapter.config, tensors, to: folder)
            let text = errorText { _ = try Adapter.load(folder, for: model) }
            #expect(
                text?.contains("layers.1.self_attn.q_proj.lora_B.weight' holds values that are not finite")
                    == true)

            // Nor are they ever written.
            let layer = adapter.layers[1]
            var values = try adapter.values(layer, .loraA)
            values[3] = value
            try adapter.set(layer, .loraA, to: values)
            let kept = try contents("\(folder)/\(AdapterFiles.weightsName)")
            #expect(errorText { try adapter.save(to: folder) }?.contains("not finite") == true)
            #expect(try contents("\(folder)/\(AdapterFiles.weightsName)") == kept)
        }
    }

    @Test func aModelWithValuesThatAreNotFiniteIsRefused() throws {
        try withTemporaryFolder { folder in
            try TinyModel().write(to: folder)
            let path = "\(folder)/model.safetensors"
            let file = try SafetensorsFile(path)
            let tensors = try file.tensors.map { tensor in
                var values = try tensor.floats(rows: 0..<tensor.rows)
                if tensor.name.hasSuffix("layers.1.mlp.up_proj.weight") { values[70] = .nan }
                return TensorSource(tensor.name, shape: tensor.shape, values)
            }
            try SafetensorsWriter.write(tensors, to: path)
            for storage in WeightStorage.allCases {
                let text = errorText {
                    _ = try Transformer.load(folder, device: TestDevices.main, weights: storage)
                }
                #expect(
                    text?.contains("'model.layers.1.mlp.up_proj.weight' holds nan at element 70;") == true,
                    "\(text ?? "loaded")")
            }
        }
    }
}
