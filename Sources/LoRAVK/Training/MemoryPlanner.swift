// What training takes of a device's memory, found on a device that only plans: the code that loads the model, makes the
// adapter and lays out its steps runs there, so that what is planned is what is then allocated. And the layout of steps
// that fits a budget.

import Checkpoints
import Kernels
import VulkanCompute

/// Bytes of device memory.
package struct MemoryUse: Sendable, Equatable {
    /// Frozen weights, norms and the table of rotary angles.
    package var weights = 0
    /// Parameters and gradients.
    package var adapter = 0
    /// What the optimizer keeps, what is needed to undo a step, and the state of a step.
    package var optimizer = 0
    package var activations = 0
    package var tokens = 0
    /// Parts of the blocks held from the driver that no buffer uses.
    package var unused = 0

    package init() {}

    package var total: Int { weights + adapter + optimizer + activations + tokens + unused }
}

/// How the steps of a run lie in memory.
package struct StepLayout: Sendable, Equatable {
    /// Blocks of which only the input is kept for the backward.
    package var recomputedBlocks: Int
    /// A batch of more tokens is split into several passes.
    package var tokensPerPass: Int
    package var use: MemoryUse
}

package struct MemoryPlanner {
    private let device: Device
    private let model: Transformer
    private let adapter: Adapter
    private let optimizer: OptimizerConfig
    private let objective: any Objective
    private var fixed = MemoryUse()

    /// Passes of so many tokens are as fast as longer ones: a batch is split down to here before anything is computed twice.
    private static let fastPass = 512

    package init(
        _ checkpoint: Checkpoint, weights: WeightStorage, capabilities: Capabilities,
        optimizer: OptimizerConfig = OptimizerConfig(), objective: any Objective = CausalLM(),
        makeAdapter: (Transformer) throws -> Adapter
    ) throws {
        (self.optimizer, self.objective) = (optimizer, objective)
        device = Device(planning: capabilities)
        model = try Transformer.load(checkpoint, device: device, weights: weights)
        fixed.weights = device.bufferByteCount
        adapter = try makeAdapter(model)
        fixed.adapter = device.bufferByteCount - fixed.weights
    }

    package var blocks: Int { model.blocks.count }

    /// The memory of training in passes of a shape.
    package func use(_ shape: BatchShape, recomputedBlocks: Int) throws -> MemoryUse {
        var use = fixed
        var counted = device.bufferByteCount
        func added() -> Int {
            defer { counted = device.bufferByteCount }
            return device.bufferByteCount - counted
        }
        let trainer = try Trainer(
            model, adapter, optimizer: optimizer, recomputedBlocks: recomputedBlocks, objective: objective)
        use.optimizer = added()
        try trainer.reserve(shape)
        use.activations = try trainer.plan(shape).arena.byteCount
        use.tokens = added() - use.activations
        use.unused = device.heldByteCount - device.bufferByteCount
        return use
    }

    /// What passes of a layout run.
    package func pipelines(_ layout: StepLayout) throws -> Set<PipelineUse> {
        try Trainer(
            model, adapter, optimizer: optimizer, recomputedBlocks: layout.recomputedBlocks,
            objective: objective
        )
        .plan(
            BatchShape(
                tokens: layout.tokensPerPass, counted: 64, pairs: objective is any AnswerObjective ? 8 : 0,
                texts: objective.examples == .texts ? 8 : 0,
                places: (objective as? any TextObjective)?.places.upperBound ?? 0,
                values: objective.valueCount(adapter.head))
        ).pipelines
    }

    /// Steps with batches of `batchSize` of these examples, in passes of so many tokens.
    package func layout(
        _ examples: [ExampleSize], batchSize: Int, tokensPerPass: Int = .max, recomputedBlocks: Int
    ) throws -> StepLayout {
        let shape = BatchShape(largestOf: examples, batchSize: batchSize, tokensPerPass: tokensPerPass)
        return StepLayout(
            recomputedBlocks: recomputedBlocks, tokensPerPass: shape.tokens,
            use: try use(shape, recomputedBlocks: recomputedBlocks))
    }

    /// The fastest layout within `budget` bytes of steps with batches of `batchSize` of these examples. In order: the whole
    /// batch at once; in passes; blocks computed again, no more than needed (or as many as `recomputedBlocks` says); in
    /// smaller passes, down to one example each. With `tokensPerPass` only in passes of so many.
    package func layout(
        _ examples: [ExampleSize], batchSize: Int, budget: Int, recomputedBlocks: Int? = nil,
        tokensPerPass: Int? = nil
    ) throws -> StepLayout {
        func candidate(_ tokensPerPass: Int, _ recomputed: Int) throws -> StepLayout {
            try layout(
                examples, batchSize: batchSize, tokensPerPass: tokensPerPass, recomputedBlocks: recomputed)
        }
        func fits(_ layout: StepLayout) -> Bool { layout.use.total <= budget }

        let few = recomputedBlocks ?? 0
        let most = recomputedBlocks ?? blocks
        var smallest = try candidate(tokensPerPass ?? .max, few)
        if fits(smallest) { return smallest }
        func halves(downTo least: Int) -> [Int] {
            tokensPerPass == nil ? Self.halves(of: smallest.tokensPerPass, downTo: least) : []
        }
        for limit in halves(downTo: Self.fastPass) {
            smallest = try candidate(limit, few)
            if fits(smallest) { return smallest }
        }
        let tokens = smallest.tokensPerPass
        smallest = try candidate(tokens, most)
        if fits(smallest) {
            var (tooFew, enough) = (few, most)
            while enough - tooFew > 1 {
                let middle = (tooFew + enough) / 2
                let layout = try candidate(tokens, middle)
                if fits(layout) { (enough, smallest) = (middle, layout) } else { tooFew = middle }
            }
            return smallest
        }
        for limit in halves(downTo: 1) {
            smallest = try candidate(limit, most)
            if fits(smallest) { return smallest }
        }
        let least =
            tokensPerPass == nil
            ? "one example at a time"
            : "the passes of \(smallest.tokensPerPass) tokens that the run began with"
        let use = smallest.use
        let parts = [
            ("weights", use.weights), ("adapter and optimizer", use.adapter + use.optimizer),
            ("activations of \(smallest.tokensPerPass) tokens", use.activations),
            ("their ids and labels", use.tokens), ("unused parts of the driver's blocks", use.unused),
        ].map { (name: $0, megabytes: Self.megabytes($1)) }
        // The sum of what is shown, so that it adds up.
        let sum = parts.reduce(0) { $0 + $1.megabytes }
        let shown = parts.filter { $0.megabytes > 0 }.map { "\($0.name) \($0.megabytes) MB" }
        throw VulkanError(
            .outOfMemory,
            "training needs \(sum) MB of device memory (\(shown.joined(separator: ", "))) even with \(least) and "
                + "\(most >= blocks ? "all" : "\(most)") blocks computed again; the budget is "
                + "\(Self.megabytes(budget)) MB. Shorter examples, a smaller rank or fewer targets need less")
    }

    private static func megabytes(_ count: Int) -> Int { (count + 500_000) / 1_000_000 }

    private static func halves(of tokens: Int, downTo least: Int) -> [Int] {
        sequence(first: tokens) { $0 / 2 >= least ? $0 / 2 : nil }.dropFirst().map { $0 }
    }
}

/// What of an example decides how much memory it takes.
package struct ExampleSize: Sendable, Equatable {
    package var tokens: Int
    package var counted: Int
    /// It is a pair of sequences whose answers are compared.
    package var isPair: Bool
    /// Texts whose vectors are compared.
    package var texts: Int
    /// Numbers that belong to a target.
    package var values: Int

    package init(tokens: Int, counted: Int, isPair: Bool = false, texts: Int = 0, values: Int = 0) {
        (self.tokens, self.counted, self.isPair) = (tokens, counted, isPair)
        (self.texts, self.values) = (texts, values)
    }
}

extension Dataset {
    package var sizes: [ExampleSize] {
        examples.map {
            ExampleSize(
                tokens: $0.tokens.count, counted: $0.countedTokens, isPair: $0.comparesAnswers,
                texts: $0.texts?.ends.count ?? 0, values: $0.outcome?.values.count ?? 0)
        }
    }
}

extension BatchShape {
    /// The largest pass that batches of these examples come to, where none has more than `tokensPerPass` tokens unless one
    /// example does.
    package init(largestOf examples: [ExampleSize], batchSize: Int, tokensPerPass: Int = .max) {
        let tokens = examples.map(\.tokens).sorted(by: >).prefix(batchSize)
        let counted = examples.map(\.counted).sorted(by: >).prefix(batchSize).reduce(0, +)
        let most = min(tokens.reduce(0, +), max(tokensPerPass, tokens.first ?? 0))
        let pairs = min(batchSize, examples.count { $0.isPair })
        self.init(
            tokens: TokenBatch.bucket(most), counted: TokenBatch.bucket(max(1, min(counted, most))),
            pairs: pairs == 0 ? 0 : TokenBatch.bucket(pairs),
            texts: min(batchSize, examples.count { $0.texts > 0 }), places: examples.map(\.texts).max() ?? 0,
            values: examples.map(\.values).max() ?? 0)
    }
}
