// DoRA: row norms without the weight, gradients with the norm held, and the invariant that gives it its name.

import Checkpoints
import LoRAVK
import TestSupport
import Testing

@Suite struct DoRATests {
    private func adapter(_ model: Transformer, rank: Int = 3, shaken: Bool = true) throws -> Adapter {
        var config = LoRAConfig(rank: rank, alpha: 2 * Double(rank))
        config.method = DoRA()
        let adapter = try Adapter.create(for: model, config)
        if shaken { try adapter.shake() }
        return adapter
    }

    /// ‖W + s·B·A‖ by rows, in f64.
    private func norms(_ adapter: Adapter, _ layer: LoRALayer, _ model: Transformer) throws -> [Double] {
        let a = Matrix(try adapter.values(layer, .loraA), columns: layer.inFeatures)
        let b = Matrix(try adapter.values(layer, .loraB), columns: layer.rank)
        let stored = try model.checkpoint.tensor(layer.name + ".weight")
        let w = Matrix(try stored.floats(rows: 0..<stored.rows), columns: layer.inFeatures)
        let whole = w - b.times(a).scaled(by: -Double(layer.scaling))
        return (0..<whole.rows).map { whole.rows($0..<$0 + 1).norm }
    }

    @Test(arguments: [3, 8, 20])
    func rowNormsAreThoseOfTheWholeWeight(rank: Int) throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try adapter(model, rank: rank)
        try adapter.refresh()
        for layer in adapter.layers {
            let expected = try norms(adapter, layer, model).map { 1 / $0 }
            let got = try model.device.values(layer.derived("1/n"))
            #expect(mismatch(got, expected, Tolerance(absolute: 0, relative: 1e-5)) == nil, "\(layer.name)")
        }
    }

    /// The norm is a constant to the gradient: so the differences move m with it, which leaves m/n as it was.
    @Test func gradientsHoldTheNorm() throws {
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        let adapter = try adapter(model)
        let batch = examples([9, 5], prompt: 2)
        _ = try gradients(model, adapter, [batch])
        let start = try adapter.layers.map {
            (
                m: try adapter.values($0, .magnitude), a: try adapter.values($0, .loraA),
                b: try adapter.values($0, .loraB), n: try norms(adapter, $0, model)
            )
        }
        let evaluator = try Evaluator(model, adapter)
        try compareGradients(adapter, step: 1e-2, relative: 3e-3) {
            var moved: [(LoRALayer, [Float])] = []
            for (layer, start) in zip(adapter.layers, start) {
                let (a, b) = (try adapter.values(layer, .loraA), try adapter.values(layer, .loraB))
                if a == start.a, b == start.b { continue }
                let factors = zip(try norms(adapter, layer, model), start.n).map { Float($0 / $1) }
                moved.append((layer, start.m))
                try adapter.set(layer, .magnitude, to: zip(start.m, factors).map(*))
            }
            defer { for (layer, m) in moved { try? adapter.set(layer, .magnitude, to: m) } }
            return try evaluator.evaluate(batch).lossSum
        }
    }

    /// With small limits, recomputed blocks and dropout the gradient is the same.
    @Test func limitsAndRecomputingChangeNothing() throws {
        let batch = examples([9, 40, 17], vocab: 640)
        var results: [[String: [Float]]] = []
        for (device, recomputed) in [
            (try TestDevices.main, 0), (try TestDevices.smallLimits, 0), (try TestDevices.main, 2),
        ] {
            let model = try TinyModel(vocab: 640, intermediate: 96).load(device)
            let adapter = try adapter(model, rank: 8)
            let trainer = try Trainer(model, adapter, recomputedBlocks: recomputed)
            _ = try trainer.forwardBackward(batch, counted: 1)
            results.append(try adapter.all(.gradient))
        }
        #expect(relativeDifference(results[0], results[1]) < 1e-4)
        #expect(relativeDifference(results[0], results[2]) == 0)
    }

    /// Saved, merged by hand and loaded: the rows of the merged weight are as long as m says, through training.
    @Test func trainingKeepsItsNormsUpToDate() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try adapter(model, shaken: false)
        let batch = examples([9, 5])
        let trainer = try Trainer(model, adapter)
        let first = try trainer.step([batch], learningRate: 1e-2)
        for _ in 0..<3 { _ = try trainer.step([batch], learningRate: 1e-2) }
        let loss = try Evaluator(model, adapter).evaluate(batch)
        #expect(loss.loss < first.loss)
        try withTemporaryFolder { folder in
            try adapter.save(to: folder)
            let files = try AdapterFiles(folder)
            #expect(files.config.usesDoRA && files.modules.allSatisfy { $0.magnitude != nil })
            let loaded = try Adapter.load(folder, for: model)
            #expect(loaded.method is DoRA && loaded.parameterCount == adapter.parameterCount)
            #expect(isClose(try Evaluator(model, loaded).evaluate(batch).lossSum, loss.lossSum, 1e-6))
        }
    }
}
