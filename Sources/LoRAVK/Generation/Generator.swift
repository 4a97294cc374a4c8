// Text generation with a key/value cache: the prompt in pieces, then token by token.

import Kernels
import VulkanCompute

/// Not thread-safe: one thread generates.
package final class Generator {
    package let model: Transformer
    package let adapter: Adapter?
    private let device: Device
    private let cache: KVCache
    private let workspace: Workspace
    private let unusedState: BufferSlice
    private let unusedResult: BufferSlice
    private static let promptPiece = 256

    /// `capacity` is the most tokens that prompt and answer may have together.
    package init(_ model: Transformer, _ adapter: Adapter?, capacity: Int) throws(VulkanError) {
        self.model = model
        self.adapter = adapter
        device = model.device
        cache = try KVCache(model, capacity: capacity)
        workspace = Workspace(device)
        unusedState = try device.makeStepState()
        unusedResult = try device.makeStepResult()
    }

    /// Tokens until one of `stopTokens`, `maxTokens`, the cache's capacity, or until `onToken` says false.
    @discardableResult
    package func generate(
        prompt: [Int32], maxTokens: Int, stopTokens: Set<Int32>, sampling: SamplerConfig,
        onToken: (Int32) -> Bool = { _ in true }
    ) throws -> [Int32] {
        try sampling.validate()
        guard !prompt.isEmpty, prompt.count < cache.capacity else {
            throw ConfigError(
                prompt.isEmpty
                    ? "the prompt has no tokens; give at least one"
                    : "the prompt has \(prompt.count) tokens, and only \(cache.capacity - 1) fit before an answer"
            )
        }
        try model.check(Example(tokens: prompt))
        var sampler = Sampler(sampling)
        var logits = try append(prompt)
        var answer: [Int32] = []
        while answer.count < maxTokens {
            let token = sampler.next(logits, after: prompt + answer)
            if stopTokens.contains(token) { break }
            answer.append(token)
            if !onToken(token) || answer.count == maxTokens || cache.count == cache.capacity { break }
            logits = try append([token])
        }
        return answer
    }

    /// Runs new tokens and returns the logits after the last.
    package func append(_ tokens: [Int32]) throws(VulkanError) -> [Float] {
        var logits: [Float] = []
        for start in stride(from: 0, to: tokens.count, by: Self.promptPiece) {
            logits = try appendPiece(Array(tokens[start..<min(start + Self.promptPiece, tokens.count)]))
        }
        return logits
    }

    private func appendPiece(_ tokens: [Int32]) throws(VulkanError) -> [Float] {
        let shape = BatchShape(tokens: tokens.count, counted: 1)
        let stride = model.head.layout.rows
        var output: Tensor?
        func record(_ encoder: CommandEncoder, _ arena: Arena, _ buffers: TokenBuffers) throws(VulkanError) {
            let pass = Pass(
                encoder: encoder, arena: arena, batch: buffers, state: unusedState, result: unusedResult,
                adapter: adapter, isTraining: false)
            let layers = cache.layers(adding: tokens.count)
            let (x, _) = try model.forward(pass, caches: layers)
            let logits = arena.take(1, stride)
            try LossHead(model: model).logits(x, into: logits, pass)
            arena.give(logits)
            output = logits
        }
        let measure = Arena(planningFor: device.capabilities)
        let planned = Buffer(planned: TokenBuffers.byteCount(shape), label: "tokens")
        try record(
            CommandEncoder(planningFor: device.capabilities), measure, TokenBuffers(planned.slice(), shape))
        if !workspace.holds(measure.plan, shape) { try workspace.grow(measure.plan, shape) }
        let (buffers, arena) = try workspace.open(shape)
        try buffers.upload(TokenBatch(continuing: cache.count, tokens), device)
        let encoder = try CommandEncoder(device)
        try record(encoder, arena, buffers)
        try encoder.finish().run()
        cache.advance(tokens.count)
        guard let output else { return [] }
        return Array(try device.values(output).prefix(model.config.vocabSize))
    }
}

extension TokenBatch {
    /// New tokens behind `offset` cached ones, of which the last one's logits are wanted.
    fileprivate init(continuing offset: Int, _ tokens: [Int32]) {
        self.init([Example(tokens: tokens, labels: tokens.map { _ in TokenBatch.ignored })])
        continueSequence(at: Int32(offset))
    }
}
