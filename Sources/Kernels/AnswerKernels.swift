// Objectives that compare answers: log p of each answer from the losses of its targets, and the weights of
// the targets in the cross-entropy whose gradient is that of the objective.

import VulkanCompute

/// Which targets belong to which answer, and what the reference makes of them. P pairs are 2P answers behind
/// each other. Empty where nothing is compared.
package struct AnswerBuffers {
    /// (2P, 2) ints: (start, end) of each answer's targets; empty for padding.
    package let ranges: Tensor
    /// (2P): log p by the reference.
    package let references: Tensor
    /// (P): 1 where a pair's first answer is wanted, −1 where it is not, 0 for padding.
    package let signs: Tensor

    package init(ranges: Tensor, references: Tensor, signs: Tensor) {
        (self.ranges, self.references, self.signs) = (ranges, references, signs)
    }

    package var pairs: Int { signs.count }
}

extension CommandEncoder {
    /// `logps` (2P): −Σ of the `losses` (n) of each answer's targets.
    package func answerSums(
        into logps: Tensor, _ losses: Tensor, _ answers: AnswerBuffers, label: String = "answer sums"
    ) throws(VulkanError) {
        precondition(logps.count == 2 * answers.pairs, "\(label): \(answers.pairs) pairs into \(logps.shape)")
        try dispatch(
            Shader.answerSums(family: family == .shared ? .shared : .subgroup),
            [logps, losses, answers.ranges].map(\.slice), push: [], specialization: rowLanes,
            groups: logps.count, label: label)
    }

    /// Runs an objective's kernel (lib/answers.glsl), a workgroup a pair: `weights` (n) of targets from
    /// `logps` (2P).
    package func answerWeights(
        _ shader: (Shader.Family) -> Shader, into weights: Tensor, _ logps: Tensor, _ answers: AnswerBuffers,
        usesReferences: Bool, push: [any PushWord], constants: [String: UInt32] = [:], label: String
    ) throws(VulkanError) {
        let tensors = [weights, logps, answers.ranges, answers.signs]
        try dispatch(
            shader(family == .shared ? .shared : .subgroup),
            (tensors + (usesReferences ? [answers.references] : [])).map(\.slice), push: push,
            specialization: rowLanes.merging(constants) { $1 }, groups: answers.pairs, label: label)
    }
}
