// The kernels of objectives that compare answers: log p of each answer against its sum in f64, and the
// weights of the targets against differences of the loss as the objective's own report has it in f64.

import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct ObjectiveKernelTests {
    static let names = [
        "dpo", "dpo:beta=0.5,smoothing=0.2", "hinge:beta=0.3", "ipo", "simpo",
        "simpo:beta=1.5,gamma=0.3,smoothing=0.1",
        "orpo", "orpo:lambda=2", "kto", "kto:beta=0.4,desirable=1.5,undesirable=0.5",
    ]

    /// Pairs whose answers have from one target to more than a workgroup is wide, with padding behind them.
    private struct Batch {
        var ranges: [Int32] = []
        var losses: [Float] = []
        var references: [Float] = []
        var signs: [Float] = []

        init(pairs: Int, padding: Int, seed: UInt64) {
            var random = RandomValues(seed: seed)
            for pair in 0..<pairs {
                for _ in 0..<2 {
                    let count = [1, 2, 7, 8, 9, 70][Int.random(in: 0..<6, using: &random)]
                    ranges += [Int32(losses.count), Int32(losses.count + count)]
                    let own = random.uniform(count, in: 0.01...3)
                    losses += own
                    references.append(-own.reduce(0, +) + random.normal(1, deviation: 3)[0])
                }
                signs.append(pair % 3 == 1 ? -1 : 1)
            }
            ranges += [Int32](repeating: 0, count: 4 * padding)
            references += [Float](repeating: 0, count: 2 * padding)
            signs += [Float](repeating: 0, count: padding)
        }

        func targets(_ answer: Int) -> Range<Int> { Int(ranges[2 * answer])..<Int(ranges[2 * answer + 1]) }
        var logps: [Double] {
            (0..<2 * signs.count).map { -losses[targets($0)].reduce(0) { $0 + Double($1) } }
        }

        func pairs(_ logps: [Double]) -> [AnswerPair] {
            signs.indices.filter { signs[$0] != 0 }.map { pair in
                func answer(_ index: Int) -> Answer {
                    Answer(
                        logp: logps[index], reference: Double(references[index]), tokens: targets(index).count
                    )
                }
                return AnswerPair(answer(2 * pair), answer(2 * pair + 1), isDesired: signs[pair] > 0)
            }
        }
    }

    private func isNear(_ weights: [Float], _ expected: [Double], _ relative: Double) -> String? {
        let largest = expected.map(abs).max() ?? 1
        return mismatch(
            weights, expected, Tolerance(absolute: relative * max(largest, 1e-3), relative: relative))
    }

    @Test(arguments: try FamilyRun.all(), [(1, 7), (9, 7), (130, 6)])
    func weightsAreThoseOfTheLoss(_ run: FamilyRun, _ size: (pairs: Int, padding: Int)) throws {
        let batch = Batch(pairs: size.pairs, padding: size.padding, seed: UInt64(size.pairs))
        let answers = AnswerBuffers(
            ranges: try run.input(batch.ranges, [2 * batch.signs.count, 2]),
            references: try run.input(batch.references, [batch.references.count]),
            signs: try run.input(batch.signs, [batch.signs.count]))
        let losses = try run.input(batch.losses, [batch.losses.count])
        let logps = try run.output([2 * batch.signs.count])
        try run.run { try $0.answerSums(into: logps, losses, answers) }
        #expect(mismatch(try run.values(logps), batch.logps, .float(scale: 4)) == nil)
        for name in Self.names {
            let named = try Registries.objectives.named(name)
            let objective = try #require(named as? any AnswerObjective)
            // KTO's kernel is a function of the whole batch.
            let weights = try run.output([batch.losses.count])
            try run.run { try objective.record(weights: weights, logps, answers, $0) }
            let values = try run.values(weights)
            // Of some answers: a difference takes four sums over all pairs.
            let step = max(1, batch.signs.count / 12)
            for answer in stride(from: 0, to: 2 * size.pairs, by: step) {
                let second = answer % 2 == 1 && objective.examples == .judged
                let slope =
                    second
                    ? [0.0]
                    : finiteDifference(at: [batch.logps[answer]], step: 1e-4) { x in
                        var moved = batch.logps
                        moved[answer] = x[0]
                        return -objective.report(batch.pairs(moved)).sum
                    }
                let targets = batch.targets(answer)
                let expected = [Double](repeating: slope[0], count: targets.count)
                #expect(
                    isNear(Array(values[targets]), expected, 2e-4) == nil,
                    "\(name), answer \(answer): \(values[targets.lowerBound]), expected \(slope[0])")
            }
        }
    }

    /// log p near 0 and far from it, and margins that saturate a sigmoid, give finite weights.
    @Test(arguments: try FamilyRun.all())
    func extremeAnswersGiveFiniteWeights(_ run: FamilyRun) throws {
        let losses: [Float] = [0, 1e4, 1e-7, 1e4, 1e-3, 80]
        let answers = AnswerBuffers(
            ranges: try run.input([0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6] as [Int32], [6, 2]),
            references: try run.input([-1e4, 0, 0, -1e4, 0, 0] as [Float], [6]),
            signs: try run.input([1, -1, 1] as [Float], [3]))
        let tensor = try run.input(losses, [6])
        for objective in Registries.objectives.all.compactMap({ $0 as? any AnswerObjective }) {
            let (logps, weights) = (try run.output([6]), try run.output([6]))
            try run.run {
                try $0.answerSums(into: logps, tensor, answers)
                try objective.record(weights: weights, logps, answers, $0)
            }
            #expect(try run.values(weights).allSatisfy(\.isFinite), "\(objective.name)")
        }
    }
}
