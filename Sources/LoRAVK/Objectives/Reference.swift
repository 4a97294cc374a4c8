// The reference of an objective is the model as a run begins with it: no second model is in memory. What it
// makes of an example are two numbers, log p of both answers, computed before the first step. They depend on
// the data, the size of passes and the adapter's first parameters alone, so a run that goes on computes the
// same bits again.

import Kernels
import VulkanCompute

extension Evaluator {
    /// The data with log p of its answers by what this evaluates; as it is where the objective needs no
    /// reference. Behind a stop it is as it was.
    func referring(
        _ data: Dataset, tokensPerPass: Int = tokensPerPass, shouldStop: () -> Bool,
        onProgress: (Int) -> Void = { _ in }
    ) throws -> Dataset {
        guard objective.needsReference else { return data }
        for example in data.examples { try model.check(example) }
        var examples = data.examples
        var done = 0
        for pass in TokenBatch.passes(examples, tokens: min(tokensPerPass, Self.tokensPerPass)) {
            if shouldStop() { break }
            let batch = TokenBatch(pass)
            let losses = Array(try losses(batch).losses)
            func logp(_ answer: Int) -> Float {
                Float(-losses[batch.answers.targets(answer)].reduce(0) { $0 + Double($1) })
            }
            for index in pass.indices {
                examples[done + index].comparison?.reference = PairOf(logp(2 * index), logp(2 * index + 1))
            }
            done += pass.count
            onProgress(done)
        }
        return data.with(examples)
    }

    /// The data as the model without the adapter sees it, where the objective needs a reference.
    package func compared(_ data: Dataset, shouldStop: () -> Bool = { false }) throws -> Dataset {
        try withoutAdapter.referring(data, shouldStop: shouldStop)
    }
}

/// The parameters that a run begins with, which it may have gone on from since.
struct Reference {
    private let start: [Float]
    private let trainer: Trainer

    /// nil: the objective needs none.
    init?(_ trainer: Trainer) throws(VulkanError) {
        guard trainer.objective.needsReference else { return nil }
        start = try trainer.model.device.values(trainer.adapter.parameters)
        self.trainer = trainer
    }

    /// `isThere`: the trainer has these parameters now.
    func evaluate(isThere: Bool, _ body: (Evaluator) throws -> Void) throws {
        let (adapter, device) = (trainer.adapter, trainer.model.device)
        func set(_ values: [Float]) throws {
            try device.upload(values, into: adapter.parameters.slice)
            adapter.parametersChanged()
        }
        let now = isThere ? nil : try device.values(adapter.parameters)
        if now != nil { try set(start) }
        let result = Result { try body(Evaluator(sharing: trainer)) }
        if let now { try set(now) }
        try result.get()
    }
}
