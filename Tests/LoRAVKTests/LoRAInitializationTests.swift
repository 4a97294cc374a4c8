// How adapters start: the random half has the paper's variance, the other half is zero. And the numbers behind it.

import LoRAVK
import TestSupport
import Testing

@Suite struct LoRAInitializationTests {
    /// From the reference implementation of SplitMix64.
    @Test func splitMix64KnownAnswers() {
        var zero = RandomNumbers(seed: 0)
        #expect(
            (0..<3).map { _ in zero.next() } == [
                0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F,
            ])
        var other = RandomNumbers(seed: 1_234_567)
        #expect(
            (0..<5).map { _ in other.next() } == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
                4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
            ])
    }

    @Test func uniformAndNormalHaveTheirMoments() {
        var random = RandomNumbers(seed: 3)
        let count = 100_000
        let uniform = (0..<count).map { _ in random.uniform() }
        #expect(uniform.allSatisfy { $0 >= 0 && $0 < 1 })
        #expect(abs(mean(uniform) - 0.5) < 0.005 && abs(variance(uniform) - 1.0 / 12) < 0.002)
        let normal = (0..<count).map { _ in random.normal() }
        #expect(normal.allSatisfy { $0.isFinite })
        #expect(abs(mean(normal)) < 0.016 && abs(variance(normal) - 1) < 0.025)
        #expect(abs(Double(normal.count { abs($0) < 1 }) / Double(count) - 0.6827) < 0.008)
    }

    private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    private func variance(_ values: [Double]) -> Double {
        let mean = mean(values)
        return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
    }

    /// Variances of the paper: Θ(1/in) and 1/R² of A, Θ(1/R) and 1/R of B; uniform ±b has b²/3.
    @Test(arguments: ["kaiming", "gaussian", "init-b", "init-b-gaussian"])
    func varianceIsThatOfThePaper(_ name: String) throws {
        let (rank, inputs, outputs) = (16, 400, 500)
        let site = InitialSite(rank: rank, inFeatures: inputs, outFeatures: outputs, scaling: 1)
        var random = RandomNumbers(seed: 11)
        let matrices = try Registries.initializations.named(name).matrices(site, using: &random)
        let half = name.hasPrefix("init-b") ? Adapter.Part.loraB : .loraA
        let values = try #require(matrices[half]).doubles
        #expect(matrices.count == 1 && values.count == rank * (half == .loraA ? inputs : outputs))
        let (expected, bound): (Double, Double?) =
            switch name {
            case "kaiming": (1 / (3 * Double(inputs)), 1 / Double(inputs).squareRoot())
            case "gaussian": (1 / Double(rank * rank), nil)
            case "init-b": (1 / (3 * Double(rank)), 1 / Double(rank).squareRoot())
            default: (1 / Double(rank), nil)
            }
        let count = Double(values.count)
        #expect(abs(mean(values)) < 5 * (expected / count).squareRoot())
        #expect(abs(variance(values) / expected - 1) < 5 * (2 / count).squareRoot())
        if let bound {
            let largest = values.map(abs).max() ?? 0
            #expect(largest <= bound && largest > 0.99 * bound)
        }
    }

    @Test(
        arguments: Registries.initializations.all.filter { $0.zero != nil && $0.sight == nil }.map(\.name),
        [3, 8])
    func oneHalfIsZeroAndTheOutputIsUnchanged(_ name: String, rank: Int) throws {
        let initialization = try Registries.initializations.named(name)
        let model = try TinyModel().load(TestDevices.main)
        var config = LoRAConfig()
        config.rank = rank
        config.initialization = initialization
        config.seed = 4
        let adapter = try Adapter.create(for: model, config)
        #expect(adapter.layers.count == 14)
        #expect(
            adapter.parameterCount
                == adapter.layers.reduce(0) { $0 + rank * ($1.inFeatures + $1.outFeatures) })
        for layer in adapter.layers {
            let (a, b) = (try adapter.values(layer, .loraA), try adapter.values(layer, .loraB))
            let (random, zero) = initialization.zero == .loraB ? (a, b) : (b, a)
            #expect(zero.allSatisfy { $0 == 0 }, "\(layer.name)")
            #expect(Set(random).count > random.count / 2, "\(layer.name)")
        }
        let batch = examples([7, 5])
        let plain = try Evaluator(model, nil).evaluate(batch)
        #expect(try Evaluator(model, adapter).evaluate(batch).lossSum == plain.lossSum)

        let again = try Adapter.create(for: model, config)
        #expect(try again.all() == adapter.all())
        config.seed = 5
        #expect(try Adapter.create(for: model, config).all() != adapter.all())
    }
}
