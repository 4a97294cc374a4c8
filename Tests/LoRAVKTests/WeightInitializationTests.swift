// Initialisations that start in the weight, and the orthogonal one: what their factors are, and that the model stays as it was.

import Checkpoints
import LoRAVK
import TestSupport
import Testing

@Suite struct WeightInitializationTests {
    private func adapter(
        _ initialization: String, _ model: Transformer, rank: Int = 4, alpha: Double = 6, seed: UInt64 = 2
    ) throws -> Adapter {
        var config = LoRAConfig(rank: rank, alpha: alpha)
        config.initialization = try Registries.initializations.named(initialization)
        config.seed = seed
        return try Adapter.create(for: model, config)
    }

    /// A (R, in) and B (out, R) of the ranks that train, and W (out, in).
    private func matrices(
        _ adapter: Adapter, _ layer: LoRALayer, _ model: Transformer
    ) throws -> (a: Matrix, b: Matrix, w: Matrix) {
        let trained = layer.rank - layer.module.frozenRank
        let a = Matrix(try adapter.values(layer, .loraA), columns: layer.inFeatures)
        let b = Matrix(try adapter.values(layer, .loraB), columns: layer.rank)
        let stored = try model.checkpoint.tensor(layer.name + ".weight")
        let w = Matrix(try stored.floats(rows: 0..<stored.rows), columns: layer.inFeatures)
        if layer.module.frozenRank > 0 {
            #expect(a.rows(trained..<layer.rank) == a.rows(0..<trained))
            #expect(b.columns(trained..<layer.rank) == b.columns(0..<trained).scaled(by: -1))
        }
        return (a.rows(0..<trained), b.columns(0..<trained), w)
    }

    @Test(arguments: Registries.initializations.names + ["pissa:iterations=4"])
    func aNewAdapterChangesNothing(_ name: String) throws {
        let model = try TinyModel().load(TestDevices.main)
        var config = LoRAConfig(rank: 4, alpha: 6)
        config.initialization = try Registries.initializations.named(name)
        let adapter = try Adapter.create(for: model, config, examples: examples([40, 24], seed: 4))
        let tokens = examples([12])[0].tokens
        let base = try Evaluator(model, nil).logits(tokens, at: [3, 11])
        for (got, wanted) in zip(try Evaluator(model, adapter).logits(tokens, at: [3, 11]), base) {
            #expect(mismatch(got, wanted.doubles, Tolerance(absolute: 1e-5, relative: 1e-5)) == nil)
        }
        if name == "eva" { return }  // whose layers differ in rank
        #expect(
            adapter.parameterCount == adapter.layers.reduce(0) { $0 + 4 * ($1.inFeatures + $1.outFeatures) })
    }

    /// s·B·A is the best approximation of rank R: with it gone, A sees nothing of the rest, and neither does B.
    @Test(arguments: ["pissa", "pissa:iterations=8"])
    func pissaTakesTheLargestSingularValues(_ name: String) throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try adapter(name, model)
        for layer in adapter.layers {
            let (a, b, w) = try matrices(adapter, layer, model)
            let rest = w - b.times(a).scaled(by: 1.5)
            let size = w.norm
            let tolerance = name == "pissa" ? 1e-5 : 2e-2
            #expect(rest.times(a.transposed).norm <= tolerance * size, "\(layer.name)")
            #expect(b.transposed.times(rest).norm <= tolerance * size, "\(layer.name)")
            // A·Aᵀ = Bᵀ·B = S/s, diagonal, largest first.
            let (gramA, gramB) = (a.times(a.transposed), b.transposed.times(b))
            #expect((gramA - gramB).norm <= 1e-3 * gramA.norm)
            let values = (0..<4).map { gramA[$0, $0] }
            #expect(values == values.sorted(by: >) && (values[3]) > 0)
            // The rest has no direction that is stronger than the weakest that was taken.
            var direction = Matrix([Float](repeating: 1, count: layer.inFeatures), columns: 1)
            for _ in 0..<30 {
                direction = rest.transposed.times(rest.times(direction))
                direction = direction.scaled(by: 1 / direction.norm)
            }
            #expect(rest.times(direction).norm <= 1.5 * values[3] * 1.001)
        }
    }

    @Test func oloraIsAQRDecomposition() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try adapter("olora", model)
        for layer in adapter.layers {
            let (a, b, w) = try matrices(adapter, layer, model)
            #expect((b.transposed.times(b) - .identity(4)).norm < 1e-5)
            #expect((a - b.transposed.times(w)).norm < 1e-5 * w.norm)
            // R is upper triangular: the first columns of W are all there.
            #expect((w - b.times(a)).columns(0..<4).norm < 1e-5 * w.norm)
            for row in 1..<4 { for column in 0..<row { #expect(abs(a[row, column]) < 1e-5) } }
        }
    }

    /// A = σ/s·Ω·W, Ω normal.
    @Test func noraMixesTheRowsOfTheWeight() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try adapter("nora:sigma=0.3", model, rank: 8)
        var (squares, entries) = (0.0, 0)
        for layer in adapter.layers {
            let (a, b, w) = try matrices(adapter, layer, model)
            #expect(b.norm == 0)
            guard layer.outFeatures < layer.inFeatures else { continue }
            // Within the span of the rows of W: nothing is left of A without it.
            var rest = a
            for direction in w.orthonormalRows {
                rest = rest - rest.times(direction.transposed).times(direction)
            }
            #expect(rest.norm < 1e-5 * a.norm, "\(layer.name)")
            // E‖A‖² = (σ/s)²·R·‖W‖².
            squares += a.norm * a.norm / (0.3 / 0.75 * 0.3 / 0.75 * w.norm * w.norm)
            entries += 8
        }
        #expect(entries >= 32 && abs(squares / Double(entries) - 1) < 0.15)
    }

    @Test func orthogonalHasNoProduct() throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try adapter("orthogonal", model)
        for layer in adapter.layers {
            let (a, b, _) = try matrices(adapter, layer, model)
            #expect(a.norm > 0.1 && b.norm > 0.1)
            #expect(b.times(a).norm < 1e-6 * a.norm * b.norm, "\(layer.name)")
        }
        let text = errorText { _ = try self.adapter("orthogonal", model, rank: 3) }
        #expect(text == "the rank is 3; the orthogonal initialization needs an even one")
        #expect(
            errorText { _ = try self.adapter("pissa", model, rank: 17) }?.contains("has no more than 16")
                == true)
    }

    /// The start stays behind while the rest trains, and saved and loaded it still does.
    @Test(arguments: ["pissa", "olora"])
    func theStartIsTakenOffThroughTraining(_ name: String) throws {
        let model = try TinyModel().load(TestDevices.main)
        let adapter = try adapter(name, model, rank: 3)
        let batch = examples([9, 5])
        let before = try adapter.all()
        let trainer = try Trainer(model, adapter)
        let first = try trainer.step([batch], learningRate: 1e-3)
        _ = try trainer.step([batch], learningRate: 1e-3)
        #expect(try Evaluator(model, adapter).evaluate(batch).loss < first.loss)
        func checkFrozen(_ adapter: Adapter) throws {
            for (key, after) in try adapter.all() {
                let start = try #require(before[key])
                let width = key.contains("lora_A") ? after.count / 6 : 6
                for index in after.indices {
                    let rank = key.contains("lora_A") ? index / width : index % 6
                    #expect((after[index] == start[index]) == (rank >= 3), "\(key)[\(index)]")
                }
            }
        }
        try checkFrozen(adapter)
        try withTemporaryFolder { folder in
            try adapter.save(to: folder + "/a")
            let loaded = try Adapter.load(folder + "/a", for: model)
            #expect(loaded.parameterCount == adapter.parameterCount && loaded.config.rank == 6)
            try loaded.save(to: folder + "/b")
            for file in [AdapterFiles.configName, AdapterFiles.weightsName] {
                #expect(try contents("\(folder)/a/\(file)") == contents("\(folder)/b/\(file)"))
            }
            #expect(
                try Evaluator(model, loaded).evaluate(batch).lossSum
                    == Evaluator(model, adapter).evaluate(batch).lossSum)
            _ = try Trainer(model, loaded).step([batch], learningRate: 1e-3)
            try checkFrozen(loaded)
        }
    }
}

/// Row-major, for what tests check of small factors.
struct Matrix: Equatable {
    let values: [Double]
    let columns: Int
    var rows: Int { values.count / columns }

    init(_ values: [Double], columns: Int) { (self.values, self.columns) = (values, columns) }
    init(_ values: [Float], columns: Int) { self.init(values.doubles, columns: columns) }

    static func identity(_ size: Int) -> Matrix {
        Matrix((0..<size * size).map { $0 % (size + 1) == 0 ? 1.0 : 0 }, columns: size)
    }

    subscript(row: Int, column: Int) -> Double { values[row * columns + column] }
    var norm: Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    var transposed: Matrix {
        Matrix((0..<columns).flatMap { column in (0..<rows).map { self[$0, column] } }, columns: rows)
    }

    func rows(_ range: Range<Int>) -> Matrix {
        Matrix(Array(values[range.lowerBound * columns..<range.upperBound * columns]), columns: columns)
    }
    func columns(_ range: Range<Int>) -> Matrix { transposed.rows(range).transposed }
    func scaled(by factor: Double) -> Matrix { Matrix(values.map { $0 * factor }, columns: columns) }
    /// By Gram and Schmidt, each a (1, columns).
    var orthonormalRows: [Matrix] {
        var found: [Matrix] = []
        for index in 0..<rows {
            var row = rows(index..<index + 1)
            for direction in found { row = row - row.times(direction.transposed).times(direction) }
            found.append(row.scaled(by: 1 / row.norm))
        }
        return found
    }

    static func - (a: Matrix, b: Matrix) -> Matrix {
        Matrix(zip(a.values, b.values).map(-), columns: a.columns)
    }
    func times(_ other: Matrix) -> Matrix {
        Matrix(
            (0..<rows).flatMap { row in
                (0..<other.columns).map { column in
                    (0..<columns).reduce(0.0) { $0 + self[row, $1] * other[$1, column] }
                }
            }, columns: other.columns)
    }
}
