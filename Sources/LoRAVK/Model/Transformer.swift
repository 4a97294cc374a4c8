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

    /// The residual stream (N, C) after the last block, and what a backward pass needs.
    func forward(_ pass: Pass, caches: [KVCache.Layer]? = nil) throws(VulkanError) -> (Tensor, [Block.Kept?])
    {
        var x = pass.arena.take(pass.tokens, config.hiddenSize)
        try pass.encoder.embedding(into: x, pass.batch.tokens, weight: embedding)
        var kept: [Block.Kept?] = []
        let lowest = lowestAdapted(pass.adapter)
        for (index, block) in blocks.enumerated() {
            let keep = pass.isTraining && index >= lowest
            let result = try block.forward(x, keep: keep, cache: caches?[index], pass)
            x = result.0
            kept.append(result.1)
        }
        return (x, kept)
    }

    /// Records the backward of all blocks that have an adapted layer in or below them. Takes over `dx`.
    func backward(_ dx: Tensor, _ kept: [Block.Kept?], _ pass: Pass) throws(VulkanError) {
        let lowest = lowestAdapted(pass.adapter)
        for (index, block) in blocks.enumerated().reversed() {
            guard let kept = kept[index] else { break }
            try block.backward(dx, kept, inputNeeded: index > lowest, pass)
        }
        pass.arena.give(dx)
    }

    private func lowestAdapted(_ adapter: Adapter?) -> Int {
        blocks.firstIndex { block in block.linears.contains { adapter?.layer($0.name) != nil } }
            ?? blocks.count
    }
}
