// Measures of what a head said of many sequences, by the names of Hugging Face's `evaluate`. They follow from all of them together,
// so what was said is kept.
//   one class    accuracy; f1, of two classes that of class 1, of more the mean over classes; matthews_correlation
//   labels       accuracy, where all labels of a text are right; f1 over all labels, and f1_macro, the mean over labels
//   numbers      mse; of one number also pearson and spearmanr
// Gorodkin 2004 has the correlation of several classes.

import Checkpoints

/// Of a sequence: a class, 1 or 0 for each label, or numbers.
package struct HeadSaying: Sendable, Equatable {
    package var expected: [Double]
    package var said: [Double]
    /// Of the head.
    package var outputs: Int

    package init(expected: [Double], said: [Double], outputs: Int) {
        (self.expected, self.said, self.outputs) = (expected, said, outputs)
    }
}

package struct HeadSayings: Sendable, Equatable {
    private var problem = ScoreHead.Problem.single
    private var all: [HeadSaying] = []

    package init() {}

    package mutating func add(_ saying: HeadSaying, as problem: ScoreHead.Problem) {
        self.problem = problem
        all.append(saying)
    }

    package mutating func add(_ other: HeadSayings) {
        if other.all.isEmpty { return }
        problem = other.problem
        all += other.all
    }

    /// Sequences of which all that was said is right.
    package var correct: Int { problem == .regression ? 0 : all.count { $0.expected == $0.said } }

    package var metrics: [(name: String, value: Double)] {
        guard let outputs = all.first?.outputs else { return [] }
        let accuracy = Double(correct) / Double(all.count)
        switch problem {
        case .single:
            let expected = all.map { Int($0.expected[0]) }
            let said = all.map { Int($0.said[0]) }
            let counts = (0..<outputs).map { Counts($0, expected, said) }
            return [
                ("accuracy", accuracy), ("f1", outputs == 2 ? counts[1].f1 : Self.mean(counts)),
                ("matthews_correlation", Self.matthews(counts, all.count)),
            ]
        case .multi:
            let counts = (0..<outputs).map { label in
                Counts(1, all.map { Int($0.expected[label]) }, all.map { Int($0.said[label]) })
            }
            return [
                ("accuracy", accuracy), ("f1", counts.reduce(Counts()) { $0.adding($1) }.f1),
                ("f1_macro", Self.mean(counts)),
            ]
        case .regression:
            let squares = all.reduce(0) { sum, saying in
                zip(saying.expected, saying.said).reduce(sum) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            }
            let mse = (name: "mse", value: squares / Double(all.count * outputs))
            guard outputs == 1 else { return [mse] }
            let (expected, said) = (all.map { $0.expected[0] }, all.map { $0.said[0] })
            let pearson = Self.correlation(expected, said)
            let spearman = Self.correlation(Self.ranks(expected), Self.ranks(said))
            return [mse]
                + [("pearson", pearson), ("spearmanr", spearman)].compactMap { name, value in
                    value.map { (name, $0) }
                }
        }
    }

    /// Of a class: how often it was rightly said, said, and expected.
    private struct Counts {
        var right = 0, said = 0, expected = 0

        init() {}

        init(_ label: Int, _ expected: [Int], _ said: [Int]) {
            right = zip(expected, said).count { $0 == label && $1 == label }
            self.said = said.count { $0 == label }
            self.expected = expected.count { $0 == label }
        }

        func adding(_ other: Counts) -> Counts {
            var sum = self
            sum.right += other.right
            sum.said += other.said
            sum.expected += other.expected
            return sum
        }

        var f1: Double { said + expected == 0 ? 0 : 2 * Double(right) / Double(said + expected) }
    }

    /// Over the classes that there are.
    private static func mean(_ counts: [Counts]) -> Double {
        let there = counts.filter { $0.said + $0.expected > 0 }
        return there.reduce(0) { $0 + $1.f1 } / Double(max(there.count, 1))
    }

    private static func matthews(_ counts: [Counts], _ count: Int) -> Double {
        let all = Double(count)
        func sum(_ term: (Counts) -> Int) -> Double { counts.reduce(0) { $0 + Double(term($1)) } }
        let above = sum(\.right) * all - sum { $0.said * $0.expected }
        let below = (all * all - sum { $0.said * $0.said }) * (all * all - sum { $0.expected * $0.expected })
        return below > 0 ? above / below.squareRoot() : 0
    }

    /// nil where one of the two does not vary.
    private static func correlation(_ x: [Double], _ y: [Double]) -> Double? {
        func centred(_ values: [Double]) -> [Double] {
            let mean = values.reduce(0, +) / Double(values.count)
            return values.map { $0 - mean }
        }
        func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
        let (x, y) = (centred(x), centred(y))
        let below = dot(x, x) * dot(y, y)
        return below > 0 ? dot(x, y) / below.squareRoot() : nil
    }

    /// Places in ascending order; equal values share the mean of theirs.
    private static func ranks(_ values: [Double]) -> [Double] {
        let order = values.indices.sorted { (values[$0], $0) < (values[$1], $1) }
        var ranks = [Double](repeating: 0, count: values.count)
        var first = 0
        while first < order.count {
            var end = first + 1
            while end < order.count, values[order[end]] == values[order[first]] { end += 1 }
            for place in first..<end { ranks[order[place]] = Double(first + end - 1) / 2 }
            first = end
        }
        return ranks
    }
}
