// What one run found.

import Checkpoints
import LoRAVK
import Reports

package struct SweepResult: Sendable, Equatable {
    package var point: SweepPoint
    /// The step whose loss or gradients were no numbers any more.
    package var divergedAt: Int?
    /// The step after which others went on in its place.
    package var prunedAt: Int?
    /// The mean of the last tenth of the steps.
    package var trainLoss: Double?
    package var validationLoss: Double?
    /// Of the validation's targets, how many were the model's first choice.
    package var tokenAccuracy: Double?
    /// Of the validation's examples, those whose every target was.
    package var exampleAccuracy: Double?
    package var parameters = 0
    /// Bytes of the device that a run takes, as planned.
    package var memory = 0
    package var secondsPerStep = 0.0
    package var curve: [Step] = []

    package init(_ point: SweepPoint) { self.point = point }

    package struct Step: Sendable, Equatable {
        package var step: Int
        package var loss: Double
        package var learningRate: Double
        package var gradientNorm: Double
        /// After the step, where it was looked at.
        package var validationLoss: Double?
        package var zA: Double?
        package var zB: Double?

        package init(step: Int, loss: Double, learningRate: Double, gradientNorm: Double) {
            (self.step, self.loss) = (step, loss)
            (self.learningRate, self.gradientNorm) = (learningRate, gradientNorm)
        }
    }

    package var state: String {
        divergedAt != nil ? "diverged" : prunedAt != nil ? "pruned" : "finished"
    }

    /// What the report compares: the validation loss where there is one. nil for a run that did not come to its end.
    package var loss: Double? { state == "finished" ? lastLoss : nil }

    /// The loss where it ended, early or not.
    package var lastLoss: Double? { divergedAt == nil ? validationLoss ?? trainLoss : nil }

    mutating func note(_ report: EvaluationReport) {
        validationLoss = report.loss
        tokenAccuracy = Double(report.correct) / Double(max(1, report.countedTokens))
        exampleAccuracy = Double(report.correctExamples) / Double(max(1, report.examples))
    }

    /// Takes the curve of the run's log, and what follows from it.
    mutating func read(_ log: RunLog) {
        var seconds: [Double] = []
        curve = log.lines.map { line in
            func number(_ key: String) -> Double? { line.numbers.first { $0.key == key }?.value }
            var step = Step(
                step: line.step, loss: number("loss") ?? .nan, learningRate: number("learning_rate") ?? .nan,
                gradientNorm: number("grad_norm") ?? .nan)
            (step.validationLoss, step.zA, step.zB) = (
                number("validation_loss"), number("z_a"), number("z_b")
            )
            if let second = number("seconds") { seconds.append(second) }
            return step
        }
        if divergedAt == nil {
            trainLoss = curve.isEmpty ? nil : curve.suffix(max(1, curve.count / 10)).map(\.loss).mean
        }
        // The first steps record what the later ones replay.
        if !seconds.isEmpty { secondsPerStep = seconds.sorted()[seconds.count / 2] }
    }
}
