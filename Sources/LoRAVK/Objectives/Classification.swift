// What transformers' AutoModelForSequenceClassification learns, by its `problem_type`: one of K classes by the cross-entropy, each
// of K labels by its own, or K numbers by the squared error. The mean over sequences (and labels, or numbers).

import Checkpoints
import Kernels
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct Classification: ScoreObjective {
    package let problem: ScoreHead.Problem
    package var options = [
        NumberOption(
            "labels", 0, in: 0...Double(ScoreHead.mostOutputs),
            "outputs of the head; 0: as many as the data has")
    ]

    package init(_ problem: ScoreHead.Problem) { self.problem = problem }

    package var name: String {
        switch problem {
        case .single: "classification"
        case .multi: "multilabel"
        case .regression: "regression"
        }
    }

    package var summary: String {
        switch problem {
        case .single: "−log softmax of a text's class"
        case .multi: "−log σ of each label of a text, the mean"
        case .regression: "the squared error of a text's numbers, the mean"
        }
    }

    package var examples: Example.Kind {
        switch problem {
        case .single: .labelled
        case .multi: .multilabelled
        case .regression: .scored
        }
    }

    package var loss: ScoreLoss {
        switch problem {
        case .single: .label
        case .multi: .labels
        case .regression: .numbers
        }
    }

    package func head(for data: Dataset) throws(ConfigError) -> ScoreHead? {
        let found =
            problem == .regression && data.labels.isEmpty
            ? ScoreHead.numbered(0..<(data.examples.first?.outcome?.values.count ?? 1)) : data.labels
        let wanted = Int(option("labels"))
        guard wanted == 0 || wanted >= found.count else {
            throw ConfigError("\(data.path) has \(found.count) labels, and \(description) wants \(wanted)")
        }
        guard found.count <= ScoreHead.mostOutputs else {
            throw ConfigError(
                "\(data.path) has \(found.count) labels; a head has at most \(ScoreHead.mostOutputs)")
        }
        // A class alone is no choice.
        let least = problem == .single ? 2 : 1
        let count = max(wanted, found.count, least)
        return ScoreHead(problem, names: found + ScoreHead.numbered(found.count..<count))
    }

    package func checkProblem(_ head: ScoreHead) throws(ConfigError) {
        guard head.problem ?? problem == problem else {
            throw ConfigError(
                "the adapter's head is of \(head.problem?.rawValue ?? ""), and the objective \(name) of \(problem.rawValue)"
            )
        }
    }

    package func report(_ scores: [[Float]], _ examples: [Example]) -> LossReport {
        var report = LossReport(count: examples.count)
        for (scores, outcome) in zip(scores, examples.compactMap(\.outcome)) {
            let z = scores.map(Double.init)
            let saying: HeadSaying
            switch problem {
            case .single:
                let largest = z.max() ?? 0
                report.sum += log(z.reduce(0) { $0 + exp($1 - largest) }) + largest - z[Int(outcome.label)]
                saying = HeadSaying(
                    expected: [Double(outcome.label)], said: [Double(z.firstIndex(of: largest) ?? 0)],
                    outputs: z.count)
            case .multi:
                let t = outcome.values.map(Double.init)
                report.sum += zip(z, t).reduce(0) { $0 - logSigmoid(-$1.0) - $1.1 * $1.0 } / Double(z.count)
                saying = HeadSaying(expected: t, said: z.map { $0 > 0 ? 1 : 0 }, outputs: z.count)
            case .regression:
                let t = outcome.values.map(Double.init)
                report.sum += zip(z, t).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / Double(z.count)
                saying = HeadSaying(expected: t, said: z, outputs: z.count)
            }
            report.metrics.add(saying, as: problem)
        }
        return report
    }
}
