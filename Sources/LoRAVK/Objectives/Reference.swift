// The reference of an objective is the model without its adapter: no second model is in memory. What it makes of an example are two
// numbers, log p of both answers, computed before the first step. They depend on the data and the size of passes alone, so a run that goes on
// computes the same bits again.

extension Evaluator {
    /// The examples with log p of their answers by the model without the adapter. Those behind a stop are as they were.
    func withReferences(
        _ examples: [Example], tokensPerPass: Int, shouldStop: () -> Bool, onProgress: (Int) -> Void
    ) throws -> [Example] {
        let reference = withoutAdapter
        var examples = examples
        var done = 0
        for pass in TokenBatch.passes(examples, tokens: min(tokensPerPass, Self.tokensPerPass)) {
            if shouldStop() { break }
            let batch = TokenBatch(pass)
            let losses = Array(try reference.losses(batch).losses)
            func logp(_ answer: Int) -> Float {
                Float(-losses[batch.answers.targets(answer)].reduce(0) { $0 + Double($1) })
            }
            for index in pass.indices {
                examples[done + index].comparison?.reference = PairOf(logp(2 * index), logp(2 * index + 1))
            }
            done += pass.count
            onProgress(done)
        }
        return examples
    }

    /// The data as the objective compares it: with what the reference makes of it, where it needs that.
    package func compared(
        _ data: Dataset, tokensPerPass: Int = tokensPerPass, shouldStop: () -> Bool = { false },
        onProgress: (Int) -> Void = { _ in }
    ) throws -> Dataset {
        guard objective.needsReference else { return data }
        for example in data.examples { try model.check(example) }
        return data.with(
            try withReferences(
                data.examples, tokensPerPass: tokensPerPass, shouldStop: shouldStop, onProgress: onProgress))
    }
}
