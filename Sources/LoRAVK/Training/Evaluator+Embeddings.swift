// Vectors of texts: the model's states, pooled, and divided by their length where that is asked for.

import Checkpoints
import Kernels
import VulkanCompute

extension Evaluator {
    /// A vector (C) of each text, in their order.
    package func embeddings(
        _ texts: [[Int32]], pooling: Pooling, isNormalized: Bool = true
    ) throws -> [[Float]] {
        if let empty = texts.firstIndex(where: \.isEmpty) {
            throw ConfigError("text \(empty + 1) has no tokens; leave it out")
        }
        // Texts of one length after the other: a pass then has few shapes.
        let order = texts.indices.sorted { texts[$0].count > texts[$1].count }
        let examples = order.map { Example(texts: [texts[$0]], pooling: pooling) }
        var vectors = [[Float]](repeating: [], count: texts.count)
        var done = 0
        for pass in TokenBatch.passes(examples, tokens: Self.tokensPerPass) {
            try Interruption.check("embeddings")
            for vector in try self.vectors(pass).first {
                vectors[order[done]] = isNormalized ? vector.normalized : vector
                done += 1
            }
        }
        return vectors
    }

    /// The vectors of the texts of a pass: those of the first place, and the others place by place.
    func vectors(_ examples: [Example]) throws -> (first: [[Float]], others: [[Float]]) {
        for example in examples { try model.check(example) }
        let batch = TokenBatch(examples)
        let pass = try workspace.prepare(batch, for: .embeddings(adapted: adapter != nil), recordVectors)
        try adapter?.refresh()
        try pass.graph.run()
        let width = model.spec.width
        func rows(_ tensor: Tensor) throws(VulkanError) -> [[Float]] {
            let values = try device.values(tensor)
            return stride(from: 0, to: values.count, by: width).map { Array(values[$0..<$0 + width]) }
        }
        return (try rows(pass.outputs[0]), pass.outputs.count > 1 ? try rows(pass.outputs[1]) : [])
    }

    /// The loss of vectors of texts: all of them are compared at once, whatever the passes are.
    func evaluate(texts passes: [[Example]], _ objective: any TextObjective) throws -> EvaluationReport {
        let examples = passes.flatMap { $0 }
        var report = EvaluationReport()
        guard !examples.isEmpty else { return report }
        try objective.check(examples, nil)
        var (first, others) = ([[Float]](), [[[Float]]]())
        for pass in passes {
            let vectors = try vectors(pass)
            first += vectors.first
            let places = vectors.others.count / pass.count
            if others.isEmpty { others = [[[Float]]](repeating: [], count: places) }
            for place in 0..<places {
                others[place] += vectors.others[place * pass.count..<(place + 1) * pass.count]
            }
        }
        report.objective = objective.report(
            first, others.flatMap { $0 }, scores: examples.map { $0.texts?.score ?? 0 })
        report.countedTokens = examples.reduce(0) { $0 + $1.countedTokens }
        report.examples = examples.count
        return report
    }

    private func recordVectors(
        _ encoder: CommandEncoder, _ arena: Arena, _ buffers: TokenBuffers
    ) throws(VulkanError) -> [Tensor] {
        let pass = pass(encoder, arena, buffers)
        let (x, _) = try model.forward(pass)
        let vectors = try model.head.vectors(x, pass)
        for vector in vectors { arena.give(vector) }
        return vectors
    }
}

extension Head {
    /// Of the first texts of a batch, and of the others where there are any. Takes over `x`.
    fileprivate func vectors(_ x: Tensor, _ pass: Pass) throws(VulkanError) -> [Tensor] {
        let (texts, (n, saved)) = (pass.batch.texts, try normed(x, pass))
        let ranges = [texts.first] + (texts.others.rows > 0 ? [texts.others] : [])
        let vectors = try ranges.map { ranges throws(VulkanError) in
            let y = pass.arena.take(ranges.rows, x.width)
            try pass.encoder.pool(into: y, n, ranges: ranges)
            return y
        }
        giveNormed(x, n, saved, pass)
        return vectors
    }
}

extension [Float] {
    /// Divided by its length, in f64; zeros stay.
    var normalized: [Float] {
        let length = reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        return length > 0 ? map { Float(Double($0) / length) } : self
    }
}
