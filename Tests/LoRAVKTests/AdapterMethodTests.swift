// Every registered method: what starts, what trains, what is saved. And a method that only these tests have.

import Checkpoints
import LoRAVK
import TestSupport
import Testing

@Suite struct AdapterMethodTests {
    /// Every method, with an update whose effect is neither too large nor too small for a difference.
    static let methods = Registries.methods.all.map {
        ["delora": "delora:lambda=0.5", "vera": "vera:d=1"][$0.name] ?? $0.name
    }

    private func config(_ method: String, rank: Int = 4) throws -> LoRAConfig {
        var config = LoRAConfig(rank: rank, alpha: 2 * Double(rank))
        config.method = try Registries.methods.named(method)
        config.seed = 3
        return config
    }

    @Test(arguments: Registries.methods.names)
    func aNewAdapterChangesNothing(_ method: String) throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.create(for: model, config(method))
        let tokens = examples([12])[0].tokens
        let base = try Evaluator(model, nil).logits(tokens, at: [3, 11])
        let logits = try Evaluator(model, adapter).logits(tokens, at: [3, 11])
        for (got, wanted) in zip(logits, base) {
            #expect(mismatch(got, wanted.doubles, Tolerance(absolute: 1e-5, relative: 1e-5)) == nil)
        }
    }

    /// Away from the start, where every parameter matters. DoRA's gradient holds a norm constant: DoRATests.
    @Test(arguments: methods.filter { $0 != "dora" })
    func gradientsAreThoseOfTheLoss(_ method: String) throws {
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        let adapter = try Adapter.create(for: model, config(method, rank: 3))
        try adapter.shake()
        let batch = examples([9, 5], prompt: 2)
        _ = try gradients(model, adapter, [batch])
        let evaluator = try Evaluator(model, adapter)
        try compareGradients(adapter, step: 1e-2, relative: 3e-3) { try evaluator.evaluate(batch).lossSum }
    }

    /// What is saved is the adapter: PEFT's files give the same model, and the same files.
    @Test(arguments: methods)
    func theSavedAdapterIsTheSameModel(_ method: String) throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.create(for: model, config(method, rank: 3))
        try adapter.shake()
        let batch = examples([9, 5])
        let loss = try Evaluator(model, adapter).evaluate(batch).lossSum
        let base = try Evaluator(model, nil).evaluate(batch).lossSum
        #expect(!isClose(loss, base, 1e-3), "the adapter does nothing")
        try withTemporaryFolder { folder in
            try adapter.save(to: folder + "/a")
            let loaded = try Adapter.load(folder + "/a", for: model)
            #expect(isClose(try Evaluator(model, loaded).evaluate(batch).lossSum, loss, 1e-4))
            try loaded.save(to: folder + "/b")
            for name in [AdapterFiles.configName, AdapterFiles.weightsName] {
                #expect(try contents("\(folder)/a/\(name)") == contents("\(folder)/b/\(name)"), "\(name)")
            }
        }
    }

    /// A first step of AdamW is as long as the learning rate, whatever the gradient.
    @Test func theRateOfBIsRatioTimesThatOfA() throws {
        let model = try TinyModel().load(TestDevices.main)
        var config = try config("lora+:ratio=5")
        config.learningRates = [("q_proj", 0), ("mlp.*", 0.5), ("layers.1.mlp.up_proj", 3)]
        let adapter = try Adapter.create(for: model, config)
        try adapter.shake()
        let before = try adapter.all()
        _ = try Trainer(model, adapter).step([examples([9, 5])], learningRate: 1e-3)
        for (key, after) in try adapter.all() {
            let moved = zip(after, try #require(before[key])).map { abs($0 - $1) }.max() ?? 0
            let module: Float =
                key.contains("q_proj") ? 0 : key.contains("1.mlp.up") ? 3 : key.contains("mlp") ? 0.5 : 1
            let wanted = 1e-3 * module * (key.contains("lora_B") ? 5 : 1)
            #expect(abs(moved - wanted) <= 2e-2 * wanted, "\(key) moved by \(moved)")
        }
    }

    /// Plain gradient steps of η at first (AdamW would hide the factor): seen in the gradients after the step.
    @Test func alloraScalesTheGradientsOfB() throws {
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        let adapter = try Adapter.create(for: model, config("allora:eta=3"))
        #expect(adapter.layers.allSatisfy { $0.scaling == 1 })
        let batch = [examples([9, 5])]
        let plain = try gradients(model, adapter, batch)
        let norm = try Trainer(model, adapter).step(batch, learningRate: 1e-30).gradientNorm
        let counted = Double(examples([9, 5]).reduce(0) { $0 + $1.countedTokens })
        for (key, scaled) in try adapter.all(.gradient) {
            let factor: Float = key.contains("lora_B") ? 3 : 1
            let expected = try #require(plain[key]).map { Double($0 * factor) / counted }
            #expect(
                mismatch(scaled, expected, Tolerance(absolute: 1e-6, relative: 1e-4)) == nil, "\(key)")
        }
        let all = try adapter.all(.gradient).values.joined().reduce(0.0) { $0 + Double($1) * Double($1) }
        #expect(isClose(norm, all.squareRoot(), 1e-5))
    }

    /// What AdamW gets, times what it was computed from, is the plain gradient but for one factor a matrix.
    @Test func noraPlusScalesTheGradients() throws {
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        let adapter = try Adapter.create(for: model, config("nora+:damping=0.01", rank: 3))
        #expect(
            adapter.parameterCount == adapter.layers.reduce(0) { $0 + 3 * ($1.inFeatures + $1.outFeatures) })
        try adapter.shake()
        let batch = [examples([9, 5])]
        let plain = try gradients(model, adapter, batch)
        let before = try adapter.all()
        _ = try Trainer(model, adapter).step(batch, learningRate: 1e-30)
        let after = try adapter.all(.gradient)
        for layer in adapter.layers {
            func matrix(_ of: [String: [Float]], _ part: AdapterFiles.Part) throws -> Matrix {
                Matrix(
                    try #require(of[AdapterFiles.key(layer.name, part)]),
                    columns: part == .loraA ? layer.inFeatures : 3)
            }
            let (a, b) = (try matrix(before, .loraA), try matrix(before, .loraB))
            for (part, factor) in [(AdapterFiles.Part.loraA, b), (.loraB, a.transposed)] {
                var (got, wanted) = (try matrix(after, part), try matrix(plain, part))
                if part == .loraB { (got, wanted) = (got.transposed, wanted.transposed) }
                let back = factor.transposed.times(factor).times(got) - got.scaled(by: -0.01)
                let difference = back.scaled(by: 1 / back.norm) - wanted.scaled(by: 1 / wanted.norm)
                #expect(difference.norm < 1e-3, "\(layer.name) \(part)")
            }
        }
    }

    /// No rank moves W by more than λ/R over the norms of its columns; and only the directions of A and B count.
    @Test func deloraIsBoundedByLambda() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.create(for: model, config("delora:lambda=2"))
        let trainer = try Trainer(model, adapter)
        let batch = examples([9, 5])
        for step in 0..<4 {
            _ = try trainer.step([batch], learningRate: 1e-2)
            try adapter.refresh()
            for layer in adapter.layers {
                let lambda = Double(try adapter.values(layer, .lambda)[0])
                #expect(step == 0 || lambda != 2)
                let u = Matrix(try model.device.values(layer.derived("U")), columns: 8)
                let a = Matrix(try adapter.values(layer, .loraA), columns: layer.inFeatures)
                for rank in 0..<4 {
                    let size = u.columns(rank..<rank + 1).norm * a.rows(rank..<rank + 1).norm
                    #expect(size <= abs(lambda) / 4 * (1 + 1e-5), "\(layer.name)")
                    #expect(size >= abs(lambda) / 4 * (1 - 1e-5), "B has left zero: the bound is reached")
                }
            }
        }
        let loss = try Evaluator(model, adapter).evaluate(batch).lossSum
        for layer in adapter.layers {
            try adapter.set(layer, .loraA, to: try adapter.values(layer, .loraA).map { 3 * $0 })
            try adapter.set(layer, .loraB, to: try adapter.values(layer, .loraB).map { 0.5 * $0 })
        }
        #expect(isClose(try Evaluator(model, adapter).evaluate(batch).lossSum, loss, 1e-5))
    }

    /// Every layer has its block of the same two matrices, which the file holds whole. Only vectors train.
    @Test func veraSharesItsMatrices() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.create(for: model, config("vera"))
        #expect(adapter.parameterCount == adapter.layers.reduce(0) { $0 + 4 + $1.outFeatures })
        try withTemporaryFolder { folder in
            try adapter.save(to: folder)
            let files = try AdapterFiles(folder)
            let (a, b) = (try #require(files.shared[.veraA]), try #require(files.shared[.veraB]))
            #expect(a.shape == [4, 64] && b.shape == [64, 4])
            let (wholeA, wholeB) = (try a.floats(), try b.floats())
            #expect(Set(wholeA).count == 256 && abs(wholeA.max() ?? 0) <= (6 / Float(64)).squareRoot())
            #expect((wholeB.max() ?? 0) > 1 && (wholeB.max() ?? 9) <= (6 / Float(4)).squareRoot())
            for layer in adapter.layers {
                let blockA = try model.device.values(layer.shared(.sharedA))
                let blockB = try model.device.values(layer.shared(.sharedB))
                for rank in 0..<4 {
                    #expect(
                        blockA[rank * layer.inFeatures..<(rank + 1) * layer.inFeatures]
                            == wholeA[rank * 64..<rank * 64 + layer.inFeatures])
                    for row in 0..<layer.outFeatures {
                        #expect(blockB[row * 8 + rank] == wholeB[row * 4 + rank])
                    }
                }
            }
        }
    }

    @Test func loraFATrainsBOnly() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.create(for: model, config("lora-fa"))
        #expect(adapter.parameterCount == adapter.layers.reduce(0) { $0 + 4 * $1.outFeatures })
        let before = try adapter.all()
        _ = try Trainer(model, adapter).step([examples([9, 5])], learningRate: 1e-3)
        for (key, after) in try adapter.all() {
            #expect((after == before[key]) == key.contains("lora_A"), "\(key)")
        }
    }

    /// Rows of the update that were not chosen are zero to the last bit; the others learn.
    @Test(arguments: ["rocoft", "rocoft-columns"])
    func rocoftChangesOnlyItsRowsOrColumns(_ method: String) throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try Adapter.create(for: model, config(method))
        let isRows = method == "rocoft"
        #expect(
            adapter.parameterCount
                == adapter.layers.reduce(0) { $0 + 4 * (isRows ? $1.inFeatures : $1.outFeatures) })
        let trainer = try Trainer(model, adapter)
        for _ in 0..<3 { _ = try trainer.step([examples([9, 5])], learningRate: 1e-2) }
        for layer in adapter.layers {
            #expect(layer.scaling == 1)
            let a = Matrix(try adapter.values(layer, .loraA), columns: layer.inFeatures)
            let b = Matrix(try adapter.values(layer, .loraB), columns: 4)
            let update = isRows ? b.times(a) : b.times(a).transposed
            let changed = (0..<update.rows).filter { update.rows($0..<$0 + 1).norm > 0 }
            #expect(changed.count == 4, "\(layer.name)")
            let choice = isRows ? b.values : a.values
            #expect(choice.allSatisfy { $0 == 0 || $0 == 1 } && choice.reduce(0, +) == 4)
        }
    }

    /// The method goes on from its files.
    @Test(arguments: ["lora+:ratio=5", "lora-fa", "nora+:damping=0.5", "rocoft", "vera:d=0.5"])
    func aSavedMethodIsTheMethodAgain(_ method: String) throws {
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        let adapter = try Adapter.create(for: model, config(method))
        try withTemporaryFolder { folder in
            try adapter.save(to: folder)
            let loaded = try Adapter.load(folder, for: model)
            #expect(loaded.method.description == method && loaded.parameterCount == adapter.parameterCount)
        }
    }

    @Test func settingsThatCannotBeAreRefused() throws {
        func refused(_ part: String, _ body: () throws -> Void) {
            let text = errorText(body)
            #expect(text?.contains(part) == true, "\(text ?? "accepted")")
        }
        refused("no adapter method 'lore'; there are lora, rslora") {
            _ = try Registries.methods.named("lore")
        }
        refused("no option 'ratios'; it takes ratio") { _ = try Registries.methods.named("lora+:ratios=2") }
        refused("lora takes no option 'x'; it takes none") { _ = try Registries.methods.named("lora:x=1") }
        refused("ratio is -1.0; it must be 0.001 to") { _ = try Registries.methods.named("lora+:ratio=-1") }
        refused("'ratio' is no option; they are written lora+:name=number") {
            _ = try Registries.methods.named("lora+:ratio")
        }
        refused("no initialization 'zeros'; there are kaiming") {
            _ = try Registries.initializations.named("zeros")
        }
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        refused("lora-fa trains B only") {
            var config = try config("lora-fa")
            config.initialization = .initB
            _ = try Adapter.create(for: model, config)
        }
        refused("rocoft starts with an update of zero in its own way") {
            var config = try config("rocoft")
            config.initialization = .initB
            _ = try Adapter.create(for: model, config)
        }
        refused("the rank is 17, and a layer has only 16 rows") {
            _ = try Adapter.create(for: model, config("rocoft", rank: 17))
        }
        refused("delora needs A or B to start at zero") {
            var config = try config("delora")
            config.initialization = .pissa
            _ = try Adapter.create(for: model, config)
        }
        for start in [LoRAInitialization.pissa, .kaiming] {
            refused("nora+ starts as nora, and the initialization is \(start.name); leave --init away") {
                var config = try config("nora+")
                config.initialization = start
                _ = try Adapter.create(for: model, config)
            }
        }
        refused("vera starts with an update of zero in its own way, and the initialization is kaiming") {
            var config = try config("vera")
            config.initialization = .kaiming
            _ = try Adapter.create(for: model, config)
        }
        refused("the rank is 257, and nora+ takes at most 256") {
            _ = try Adapter.create(for: model, config("nora+", rank: 257))
        }
        refused("multiplied by -1.0") {
            var config = try config("lora")
            config.learningRates = [("q_proj", -1)]
            _ = try Adapter.create(for: model, config)
        }
        refused("'x_proj' matches no linear layer") {
            var config = try config("lora")
            config.learningRates = [("x_proj", 2)]
            _ = try Adapter.create(for: model, config)
        }
    }

    /// One line registers a method from outside; all the rest is in MadeUpMethod.swift.
    @Test func aMadeUpMethodNeedsAFileAndALine() throws {
        Registries.methods.register(MadeUpMethod())
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        let adapter = try Adapter.create(for: model, config("half-lora:part=0.25"))
        let batch = examples([9, 5], prompt: 2)
        try itTrains(adapter, model, batch)
        let evaluator = try Evaluator(model, adapter)
        try withTemporaryFolder { folder in
            try adapter.save(to: folder)
            let loaded = try Adapter.load(folder, for: model)
            #expect(
                isClose(
                    try Evaluator(model, loaded).evaluate(batch).lossSum,
                    try evaluator.evaluate(batch).lossSum, 1e-5))
        }
    }

    /// With a forward and a backward of its own. A block that is computed again gives the same gradients.
    @Test func aMadeUpMethodThatIsNoLowRankTermTrains() throws {
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        var config = LoRAConfig()
        config.method = MadeUpGain()
        let adapter = try Adapter.create(for: model, config)
        #expect(adapter.parameterCount == adapter.layers.reduce(0) { $0 + $1.outFeatures })
        let batch = examples([9, 5], prompt: 2)
        let base = try Evaluator(model, nil).evaluate(batch).lossSum
        #expect(isClose(try Evaluator(model, adapter).evaluate(batch).lossSum, base, 1e-6))
        try itTrains(adapter, model, batch)
        var found: [[String: [Float]]] = []
        for recomputed in 0...1 {
            let trainer = try Trainer(model, adapter, recomputedBlocks: recomputed)
            try trainer.zeroGradients()
            _ = try trainer.forwardBackward(batch, counted: 1)
            found.append(try adapter.all(.gradient))
        }
        #expect(found[0] == found[1])
    }

    /// Gradients are those of the loss, and a step makes it smaller.
    private func itTrains(_ adapter: Adapter, _ model: Transformer, _ batch: [Example]) throws {
        try adapter.shake()
        let evaluator = try Evaluator(model, adapter)
        let before = try evaluator.evaluate(batch).lossSum
        _ = try gradients(model, adapter, [batch])
        try compareGradients(adapter, step: 1e-2, relative: 3e-3) { try evaluator.evaluate(batch).lossSum }
        _ = try Trainer(model, adapter).step([batch], learningRate: 1e-3)
        #expect(try evaluator.evaluate(batch).lossSum < before)
    }
}

extension Adapter {
    /// Moves every parameter that trains away from its start, as training would; ranks stay as they are padded.
    func shake(deviation: Float = 0.1) throws {
        var random = RandomValues(seed: 8)
        for layer in layers {
            for parameter in layer.parameters where parameter.learningRate != 0 {
                let part = parameter.shape.part
                let start = try values(layer, part)
                try set(layer, part, to: zip(start, random.normal(start.count, deviation: deviation)).map(+))
            }
        }
    }
}
