// A Llama-architecture model on the device: embedding, blocks, final norm, output head. All weights are frozen.

import Checkpoints
import Kernels
import VulkanCompute

/// Immutable after loading.
package final class Transformer: Sendable {
    package let checkpoint: Checkpoint
    package let device: Device
    let embedding: Weight  // (V, C)
    let blocks: [Block]
    let finalNorm: Tensor  // (C)
    /// The output projection (V, C); the embedding itself where they are tied.
    let head: Weight

    package var config: ModelConfig { checkpoint.config }
    /// What the user named: a folder or file.
    package var source: String { checkpoint.path }
    /// Linear layers that can be adapted, in the model's order.
    package var linears: [Linear] { blocks.flatMap(\.linears) }

    /// Runs of modules, named in the model's order, that read the same input.
    func inputGroups(_ names: [String]) -> [Range<Int>] {
        var groups: [String: Int] = [:]
        for (index, block) in blocks.enumerated() {
            for (place, group) in [block.headProjections, block.gateUp].enumerated() {
                for linear in group.members { groups[linear.name] = 2 * index + place }
            }
        }
        var runs: [Range<Int>] = []
        for (index, name) in names.enumerated() {
            if let last = runs.last, let group = groups[name], group == groups[names[index - 1]] {
                runs[runs.count - 1] = last.lowerBound..<index + 1
            } else {
                runs.append(index..<index + 1)
            }
        }
        return runs
    }
    package let weightByteCount: Int

    init(
        checkpoint: Checkpoint, device: Device, embedding: Weight, blocks: [Block], finalNorm: Tensor,
        head: Weight,
        weightByteCount: Int
    ) {
        self.checkpoint = checkpoint
        self.device = device
        self.embedding = embedding
        self.blocks = blocks
        self.finalNorm = finalNorm
        self.head = head
        self.weightByteCount = weightByteCount
    }

    /// Refuses what kernels would read wrongly: tokens outside the vocabulary, more tokens than there are positions.
    package func check(_ example: Example) throws(ConfigError) {
        guard example.tokens.count <= config.contextLength else {
            throw ConfigError(
                "an example has \(example.tokens.count) tokens, and the model has \(config.contextLength) positions; cut it"
            )
        }
        let vocabulary = 0..<Int32(config.vocabSize)
        let label = example.labels.first { $0 >= vocabulary.upperBound }
        guard let token = label ?? example.tokens.first(where: { !vocabulary.contains($0) }) else { return }
        throw ConfigError(
            "an example has the token \(token), and the model's vocabulary has \(vocabulary.count); "
                + "use the tokenizer that belongs to the model")
    }

    /// What the forward holds of a block until its backward.
    enum Held {
        case nothing
        /// Its input (N, C), from which the backward computes the rest again.
        case input(Tensor)
        case all(Block.Kept)
    }

    /// The residual stream (n, C) of the counted positions after the last block, and what a backward pass needs.
    func forward(_ pass: Pass, caches: [KVCache.Layer]? = nil) throws(VulkanError) -> (Tensor, [Held]) {
        var x = pass.arena.take(pass.tokens, config.hiddenSize)
        try pass.encoder.embedding(into: x, pass.batch.tokens, weight: embedding)
        var held: [Held] = []
        let lowest = lowestAdapted(pass.adapter)
        for (index, block) in blocks.enumerated() {
            if let cache = caches?[index], let y = try block.step(x, cache, pass) {
                x = y
                held.append(.nothing)
                continue
            }
            let needsBackward = pass.isTraining && index >= lowest
            // The lowest are computed again: when the backward comes to them, the others hold nothing any more.
            let recomputes = needsBackward && index - lowest < pass.recomputedBlocks
            if recomputes {
                held.append(.input(x))
                x = try pass.copy(x)
            }
            let (y, kept) = try block.forward(
                x, keep: needsBackward && !recomputes, cache: caches?[index],
                outputRows: outputRows(index, pass),
                pass)
            x = y
            if !recomputes { held.append(kept.map { .all($0) } ?? .nothing) }
        }
        return (x, held)
    }

    /// Records the backward of all blocks that have an adapted layer in or below them. Takes over `dx` (n, C).
    func backward(_ dx: Tensor, _ held: [Held], _ pass: Pass) throws(VulkanError) {
        let lowest = lowestAdapted(pass.adapter)
        var dx = dx
        for (index, block) in blocks.enumerated().reversed() where index >= lowest {
            let rows = outputRows(index, pass)
            let kept: Block.Kept
            switch held[index] {
            case .nothing: preconditionFailure("the forward kept nothing of block \(index)")
            case .input(let x): kept = try block.recompute(x, outputRows: rows, pass)
            case .all(let all): kept = all
            }
            dx = try block.backward(dx, kept, inputNeeded: index > lowest, outputRows: rows, pass)
        }
        pass.arena.give(dx)
    }

    /// Of the last block only the positions that the loss counts are needed; a single token is one.
    private func outputRows(_ block: Int, _ pass: Pass) -> Tensor? {
        block == blocks.count - 1 && pass.tokens > 1 ? pass.batch.countedPositions : nil
    }

    private func lowestAdapted(_ adapter: Adapter?) -> Int {
        blocks.firstIndex { block in block.linears.contains { adapter?.layer($0.name) != nil } }
            ?? blocks.count
    }
}
