// A model on the device: embedding, blocks, output head. All weights are frozen; an adapter may have copies of embedding and output that
// train.

import Checkpoints
import Kernels
import VulkanCompute

/// Immutable after loading.
package final class Transformer: Sendable {
    package let checkpoint: Checkpoint
    package let device: Device
    let embedding: Embedding
    let blocks: [Block]
    package let head: Head

    package var spec: ModelSpec { checkpoint.spec }
    /// What the user named: a folder or file.
    package var source: String { checkpoint.path }
    /// Linear layers that can be adapted, in the model's order.
    package var linears: [Linear] { blocks.flatMap(\.linears) }

    /// Runs of modules, named in the model's order, that read the same input.
    func inputGroups(_ names: [String]) -> [Range<Int>] {
        var groups: [String: Int] = [:]
        for (index, branch) in blocks.flatMap(\.branches).enumerated() {
            for linear in branch.inputs.members { groups[linear.name] = index }
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
    let tokenRules: TokenRules

    init(
        checkpoint: Checkpoint, device: Device, embedding: Embedding, blocks: [Block], head: Head,
        weightByteCount: Int
    ) {
        self.checkpoint = checkpoint
        self.device = device
        self.embedding = embedding
        self.blocks = blocks
        self.head = head
        self.weightByteCount = weightByteCount
        tokenRules = TokenRules(
            windows: checkpoint.spec.windows,
            shortPositions: checkpoint.spec.attentions.compactMap { $0.rope?.shortPositions }.first)
    }

    /// Refuses what kernels would read wrongly: tokens outside the vocabulary, more tokens than there are positions.
    package func check(_ example: Example) throws(ConfigError) {
        let longest = example.sequences.map(\.count).max() ?? 0
        guard longest <= spec.contextLength else {
            throw ConfigError(
                "an example has \(longest) tokens, and the model has \(spec.contextLength) positions; cut it"
            )
        }
        let vocabulary = 0..<Int32(spec.vocabulary)
        let label = example.labels.first { $0 >= vocabulary.upperBound }
        guard let token = label ?? example.tokens.first(where: { !vocabulary.contains($0) }) else { return }
        throw ConfigError(
            "an example has the token \(token), and the model's vocabulary has \(vocabulary.count); "
                + "use the tokenizer that belongs to the model")
    }

    /// Refuses an encoder, whose tokens see those behind them.
    package func checkPredictsNextToken() throws(ConfigError) {
        guard spec.isEncoder else { return }
        throw ConfigError(
            "\(spec.modelType) is an encoder: it predicts no next token; use it for embeddings, or name another model"
        )
    }

    /// What the forward saves of a block for its backward.
    enum Saved {
        case nothing
        /// Its input (N, C), from which the backward computes the rest again.
        case input(Tensor)
        case all([Branch.Saved])
    }

    /// The residual stream (n, C) of the counted positions after the last block, and what a backward pass needs.
    func forward(_ pass: Pass, states: [[LayerState?]]? = nil) throws(VulkanError) -> (Tensor, [Saved]) {
        var x = try embedding.forward(pass)
        var all: [Saved] = []
        let lowest = lowestAdapted(pass)
        for (index, block) in blocks.enumerated() {
            let needsBackward = pass.isTraining && index >= lowest.block
            // The lowest are computed again: when the backward comes to them, the others hold nothing any more.
            let recomputes = needsBackward && index - lowest.block < pass.recomputedBlocks
            if recomputes {
                all.append(.input(x))
                x = try pass.copy(x)
            }
            let (y, saved) = try block.forward(
                x, savesFrom: needsBackward && !recomputes ? lowest.branch(of: index) : nil, states?[index],
                rows: outputRows(index, pass), pass)
            x = y
            if !recomputes { all.append(saved.isEmpty ? .nothing : .all(saved)) }
        }
        return (x, all)
    }

    /// Records the backward of all branches that have an adapted layer in or below them. Takes over `dx` (n, C).
    func backward(_ dx: Tensor, _ saved: [Saved], _ pass: Pass) throws(VulkanError) {
        let lowest = lowestAdapted(pass)
        var dx = dx
        for (index, block) in blocks.enumerated().reversed() where index >= lowest.block {
            let (rows, first) = (outputRows(index, pass), lowest.branch(of: index))
            let all: [Branch.Saved]
            switch saved[index] {
            case .nothing: preconditionFailure("the forward saved nothing of block \(index)")
            case .input(let x): all = try block.recompute(x, from: first, rows: rows, pass)
            case .all(let saved): all = saved
            }
            dx = try block.backward(
                dx, all, from: first, needsInput: index > lowest.block || trainsEmbedding(pass), rows: rows,
                pass)
        }
        if trainsEmbedding(pass) { try embedding.backward(dx, pass) }
        pass.arena.give(dx)
    }

    /// Of the last block only the positions that the loss counts are needed; a single token is one.
    private func outputRows(_ block: Int, _ pass: Pass) -> Tensor? {
        block == blocks.count - 1 && pass.tokens > 1 ? pass.batch.countedPositions : nil
    }

    private func trainsEmbedding(_ pass: Pass) -> Bool { pass.adapter?.whole(embedding.name) != nil }

    private func lowestAdapted(_ pass: Pass) -> Lowest {
        if trainsEmbedding(pass) { return Lowest(block: 0, branch: 0) }
        for (index, block) in blocks.enumerated() {
            if let branch = block.lowestAdapted(pass) { return Lowest(block: index, branch: branch) }
        }
        return Lowest(block: blocks.count, branch: 0)
    }
}

/// The lowest branch with an adapted layer.
private struct Lowest {
    let block: Int
    let branch: Int

    /// The first branch of a block that a backward needs.
    func branch(of block: Int) -> Int { block == self.block ? branch : 0 }
}
