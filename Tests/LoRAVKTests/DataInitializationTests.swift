// Initialisations that look at training data: EVA at the inputs of layers, LoRA-GA and spectral at the gradients of weights.

import Checkpoints
import LoRAVK
import TestSupport
import Testing

@Suite struct DataInitializationTests {
    private func adapter(
        _ initialization: String, _ model: Transformer, _ data: [Example], rank: Int = 4, alpha: Double = 6
    ) throws -> Adapter {
        var config = LoRAConfig(rank: rank, alpha: alpha)
        config.initialization = try Registries.initializations.named(initialization)
        return try Adapter.create(for: model, config, examples: data)
    }

    /// The inputs of the first block's q, k and v: RMSNorm of embeddings, known without running anything.
    private func firstInputs(_ model: Transformer, _ tokens: [Int32]) throws -> Matrix {
        func values(_ name: String) throws -> [Double] {
            let stored = try model.checkpoint.tensor(name)
            return try stored.floats(rows: 0..<stored.rows).doubles
        }
        let weight = try values("model.layers.0.input_layernorm.weight")
        let embedding = try values("model.embed_tokens.weight")
        return Matrix(
            tokens.flatMap { token in
                let row = embedding[Int(token) * weight.count..<(Int(token) + 1) * weight.count]
                let scale = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(row.count) + 1e-5).squareRoot()
                return zip(row, weight).map { $0 * scale * $1 }
            }, columns: weight.count)
    }

    /// That rows are singular vectors on the right of a matrix, and no other direction is stronger than the last.
    private func expectSingular(_ rows: Matrix, of matrix: Matrix, _ name: String) {
        #expect((rows.times(rows.transposed) - .identity(rows.rows)).norm < 1e-4, "\(name)")
        let images = matrix.times(rows.transposed)  // U·S
        let squares = images.transposed.times(images)
        let strengths = (0..<rows.rows).map { squares[$0, $0].squareRoot() }
        #expect(strengths == strengths.sorted(by: >), "\(name): \(strengths)")
        let back = matrix.transposed.times(images).transposed  // Vᵀ·S²
        for row in 0..<rows.rows {
            let (got, wanted) = (back.rows(row..<row + 1), rows.rows(row..<row + 1))
            let size = strengths[row] * strengths[row]
            #expect((got - wanted.scaled(by: size)).norm < 2e-2 * size, "\(name) \(row)")
        }
        let rest = matrix - images.times(rows)
        var direction = Matrix((0..<matrix.columns).map { Double($0 % 5) - 1.5 }, columns: 1)
        for _ in 0..<40 {
            direction = rest.transposed.times(rest.times(direction))
            direction = direction.scaled(by: 1 / direction.norm)
        }
        #expect(rest.times(direction).norm <= 1.01 * (strengths.last ?? 0), "\(name)")
    }

    @Test(arguments: [true, false])
    func evaStartsInTheStrongestInputs(centred: Bool) throws {
        let model = try TinyModel().load(TestDevices.main)
        let data = examples([40, 24, 32], seed: 4)
        let adapter = try adapter("eva:iterations=20,centre=\(centred ? 1 : 0)", model, data)
        var inputs = try firstInputs(model, data.flatMap(\.tokens))
        if centred {
            let each = Matrix([Double](repeating: 1, count: inputs.rows), columns: 1)
            let sums = each.transposed.times(inputs)
            inputs = inputs - each.times(sums.scaled(by: 1 / Double(inputs.rows)))
        }
        for name in ["q", "k", "v"] {
            guard let layer = adapter.layer("model.layers.0.self_attn.\(name)_proj") else { continue }
            let a = Matrix(try adapter.values(layer, .loraA), columns: layer.inFeatures)
            expectSingular(a, of: inputs, layer.name)
        }
        #expect(adapter.layers.reduce(0) { $0 + $1.rank } == 4 * 14)
        #expect(Set(adapter.layers.map(\.rank)).count > 1 && adapter.layers.allSatisfy { $0.rank <= 8 })
        for layer in adapter.layers {
            #expect(layer.scaling == 1.5)
            #expect(try adapter.values(layer, .loraB).allSatisfy { $0 == 0 })
            let a = Matrix(try adapter.values(layer, .loraA), columns: layer.inFeatures)
            #expect((a.times(a.transposed) - .identity(layer.rank)).norm < 1e-4)
        }
        try adapter.shake()
        let loss = try Evaluator(model, adapter).evaluate(data).lossSum
        try withTemporaryFolder { folder in
            try adapter.save(to: folder)
            let loaded = try Adapter.load(folder, for: model)
            #expect(loaded.layers.map(\.rank).sorted() == adapter.layers.map(\.rank).sorted())
            #expect(isClose(try Evaluator(model, loaded).evaluate(data).lossSum, loss, 1e-6))
        }
        #expect(try self.adapter("eva:rho=1", model, data).layers.allSatisfy { $0.rank == 4 })
    }

    @Test func ranksGoWhereTheVarianceIs() {
        let explained = [[0.5, 0.3, 0.1, 0.05], [0.25, 0.25, 0.25, 0.2], [0.02, 0.01, 0.01, 0.01]]
        #expect(redistributedRanks(explained: explained, budget: 6, limit: 4) == [2, 4, 0])
        #expect(redistributedRanks(explained: explained, budget: 6, limit: 2) == [2, 2, 2])
    }

    @Test func loraGATakesTheStrongestDirectionsOfTheGradient() throws {
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        let data = examples([20, 30], seed: 4)
        let adapter = try adapter("lora-ga:iterations=20,gamma=4", model, data)
        for (name, gradient) in try weightGradients(model, data) {
            let mine = try #require(adapter.layer(name))
            let size = Double(mine.outFeatures).squareRoot().squareRoot() / 2
            let a = Matrix(try adapter.values(mine, .loraA), columns: 32).rows(0..<4).scaled(by: 1 / size)
            expectSingular(a, of: gradient, name)
            let b = Matrix(try adapter.values(mine, .loraB), columns: 8).columns(0..<4).scaled(by: 1 / size)
            // What is left without A's directions has B's as its strongest on the left.
            let rest = gradient - gradient.times(a.transposed).times(a)
            expectSingular(b.transposed, of: rest.transposed, "\(name) B")
        }
    }

    /// Both small and along −G: the first singular vectors, by the roots of the singular values.
    @Test func spectralPointsWhereTheLossFalls() throws {
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        let data = examples([20, 30], seed: 4)
        let adapter = try adapter("spectral:iterations=20,scale=0.25", model, data)
        for (layer, gradient) in try weightGradients(model, data) {
            let mine = try #require(adapter.layer(layer))
            let a = Matrix(try adapter.values(mine, .loraA), columns: 32).rows(0..<4)
            let b = Matrix(try adapter.values(mine, .loraB), columns: 8).columns(0..<4)
            let sizes = (0..<4).map { a.rows($0..<$0 + 1).norm }
            #expect(abs(sizes[0] - 0.25) < 1e-5 && sizes == sizes.sorted(by: >))
            let directions = Matrix(
                (0..<4).flatMap { a.rows($0..<$0 + 1).scaled(by: 1 / sizes[$0]).values }, columns: 32)
            expectSingular(directions, of: gradient, layer)
            // b's columns are −G·v over S, of a's sizes; the sizes squared are as the singular values.
            let images = gradient.times(directions.transposed)
            let first = images.columns(0..<1).norm
            for rank in 0..<4 {
                let (image, column) = (images.columns(rank..<rank + 1), b.columns(rank..<rank + 1))
                #expect((column - image.scaled(by: -sizes[rank] / image.norm)).norm < 2e-2 * sizes[rank])
                #expect(
                    isClose(sizes[rank] / 0.25, (image.norm / first).squareRoot(), 1e-2), "\(layer) \(rank)")
            }
        }
    }

    /// The whole gradients of some weights: that of B where A is the identity.
    private func weightGradients(_ model: Transformer, _ data: [Example]) throws -> [(String, Matrix)] {
        var config = LoRAConfig(rank: 32, alpha: 32)
        config.targets = .names(["self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj"])
        let probe = try Adapter.create(for: model, config)
        for layer in probe.layers {
            try probe.set(layer, .loraA, to: Matrix.identity(32).values.map(Float.init))
        }
        _ = try gradients(model, probe, [data])
        return try probe.layers.map { layer in
            (layer.name, Matrix(try probe.values(layer, .loraB, .gradient), columns: 32))
        }
    }

    @Test func dataMustBeThere() throws {
        let model = try TinyModel(layers: 1).load(TestDevices.main)
        #expect(errorText { _ = try adapter("eva", model, []) }?.contains("there is none") == true)
        #expect(errorText { _ = try adapter("eva", model, examples([3])) }?.contains("no 8 tokens") == true)
        #expect(
            errorText { _ = try adapter("lora-ga", model, examples([9], prompt: 9)) }?
                .contains("no token to learn") == true)
        #expect(
            errorText { _ = try adapter("lora-ga", model, examples([20]), rank: 9) }?
                .contains("use a smaller rank") == true)
    }
}
