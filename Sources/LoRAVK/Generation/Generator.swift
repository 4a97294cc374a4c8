// Text generation with a key/value cache: the prompt in pieces, then token by token. The step for one token is recorded
// once and replayed, since all that changes from token to token lies in device memory.

import Kernels
import VulkanCompute

/// How long a generation took.
package struct GenerationTimes: Sendable, Equatable {
    package var promptTokens = 0
    package var promptSeconds = 0.0
    package var answerTokens = 0
    /// Tokens that were run after the prompt, one by one: all of the answer but its last.
    package var stepTokens = 0
    package var stepSeconds = 0.0

    package var promptRate: Double { promptSeconds > 0 ? Double(promptTokens) / promptSeconds : 0 }
    package var stepRate: Double { stepSeconds > 0 ? Double(stepTokens) / stepSeconds : 0 }
}

/// Not thread-safe: one thread generates.
package final class Generator {
    package let model: Transformer
    package let adapter: Adapter?
    /// Of the last `generate`.
    package private(set) var times = GenerationTimes()
    private let device: Device
    private let cache: GenerationState
    private let unusedState: BufferSlice
    private let unusedResult: BufferSlice
    private let promptWorkspace: Workspace
    private let stepWorkspace: Workspace
    private var step: Recorded?
    private static let promptPiece = 256

    private struct Recorded {
        let graph: CommandGraph
        let buffers: TokenBuffers
        let logits: BufferSlice
    }

    /// `capacity` is the most tokens that prompt and answer may have together.
    package init(_ model: Transformer, _ adapter: Adapter?, capacity: Int) throws(VulkanError) {
        self.model = model
        self.adapter = adapter
        device = model.device
        cache = try GenerationState(model, capacity: capacity)
        promptWorkspace = Workspace(model)
        stepWorkspace = Workspace(model)
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
        try model.checkPredictsNextToken()
        guard !prompt.isEmpty, prompt.count < cache.capacity else {
            throw ConfigError(
                prompt.isEmpty
                    ? "the prompt has no tokens; give at least one"
                    : "the prompt has \(prompt.count) tokens, and only \(cache.capacity - 1) fit before an answer"
            )
        }
        try model.check(Example(tokens: prompt))
        var sampler = Sampler(sampling)
        var tokens = prompt
        times = GenerationTimes()
        let start = ContinuousClock.now
        var logits = try append(prompt)
        (times.promptTokens, times.promptSeconds) = (
            prompt.count, (ContinuousClock.now - start) / .seconds(1)
        )
        var answer: [Int32] = []
        while answer.count < maxTokens {
            let stepStart = ContinuousClock.now
            guard logits.areFinite else {
                throw ConfigError(
                    "the logits behind \(tokens.count) tokens are not finite numbers: the weights, or the adapter with its "
                        + "scale, are too large or damaged; evaluate the model without the adapter to see which"
                )
            }
            let token = sampler.next(logits, after: tokens)
            if stopTokens.contains(token) { break }
            answer.append(token)
            tokens.append(token)
            times.answerTokens += 1
            if !onToken(token) || answer.count == maxTokens || cache.count == cache.capacity { break }
            logits = try append([token])
            times.stepTokens += 1
            times.stepSeconds += (ContinuousClock.now - stepStart) / .seconds(1)
        }
        return answer
    }

    /// Runs new tokens and returns the logits after the last.
    package func append(_ tokens: [Int32]) throws(VulkanError) -> [Float] {
        precondition(
            cache.count + tokens.count <= cache.capacity,
            "\(cache.count + tokens.count) tokens in a cache of \(cache.capacity)")
        var logits: [Float] = []
        for start in stride(from: 0, to: tokens.count, by: Self.promptPiece) {
            let piece = Array(tokens[start..<min(start + Self.promptPiece, tokens.count)])
            let recorded = try piece.count == 1 ? recordedStep() : recordedPiece(piece.count)
            logits = try run(recorded, piece)
        }
        return logits
    }

    /// Device time of each dispatch of a token's step behind what is cached, which stays as it is.
    package func profileStep(_ token: Int32) throws(VulkanError) -> [KernelTiming] {
        let recorded = try record(tokens: 1, stepWorkspace, cache.seeing(cache.capacity), timed: true)
        try recorded.buffers.upload(
            TokenBatch(continuing: cache.count, [token], capacity: cache.capacity), device)
        try recorded.graph.run()
        return try recorded.graph.timings()
    }

    private func run(_ recorded: Recorded, _ tokens: [Int32]) throws(VulkanError) -> [Float] {
        try recorded.buffers.upload(
            TokenBatch(continuing: cache.count, tokens, capacity: cache.capacity), device)
        try adapter?.refresh()
        try recorded.graph.run()
        cache.advance(tokens.count)
        return try device.download(recorded.logits, as: Float.self)
    }

    private func recordedStep() throws(VulkanError) -> Recorded {
        if let step { return step }
        let recorded = try record(tokens: 1, stepWorkspace, cache.seeing(cache.capacity))
        if !DebugOptions.environment.noReplay { step = recorded }
        return recorded
    }

    private func recordedPiece(_ tokens: Int) throws(VulkanError) -> Recorded {
        try record(tokens: tokens, promptWorkspace, cache.seeing(cache.count + tokens))
    }

    private func record(
        tokens: Int, _ workspace: Workspace, _ states: [[LayerState?]], timed: Bool = false
    ) throws(VulkanError) -> Recorded {
        let shape = BatchShape(tokens: tokens, counted: 1)
        let plan = try plan(shape, workspace, states)
        if !workspace.holds(plan.arena, shape) { try workspace.grow(plan.arena, shape) }
        let (buffers, arena) = try workspace.open(shape)
        let encoder = try CommandEncoder(device, timed: timed, scratch: arena)
        let logits = try record(states, encoder, arena, buffers)
        return Recorded(graph: try encoder.finish(), buffers: buffers, logits: logits)
    }

    private func record(
        _ states: [[LayerState?]], _ encoder: CommandEncoder, _ arena: Arena, _ buffers: TokenBuffers
    ) throws(VulkanError) -> BufferSlice {
        let pass = Pass(
            encoder: encoder, arena: arena, batch: buffers, state: unusedState, result: unusedResult,
            adapter: adapter, isTraining: false)
        let (x, _) = try model.forward(pass, states: states)
        let logits = arena.take(1, model.head.paddedVocabulary)
        try model.head.logits(x, into: logits, pass)
        arena.give(logits)
        return logits.slice.slice(0, byteCount: model.spec.vocabulary * 4)
    }

    private func plan(
        _ shape: BatchShape, _ workspace: Workspace, _ states: [[LayerState?]]
    ) throws(VulkanError) -> PassPlan {
        let arena = Arena(planningFor: device.capabilities)
        let encoder = CommandEncoder(planningFor: device.capabilities, scratch: arena)
        _ = try record(states, encoder, arena, workspace.plannedTokens(shape))
        return PassPlan(encoder, arena)
    }

    /// What generating a token takes, with the cache's whole capacity to see.
    package func planStep() throws(VulkanError) -> PassPlan {
        try plan(BatchShape(tokens: 1, counted: 1), stepWorkspace, cache.seeing(cache.capacity))
    }
}

extension [Float] {
    /// By the bits of the exponents, all of which are set for NaN and infinity.
    fileprivate var areFinite: Bool {
        withUnsafeBufferPointer { numbers in
            var carry: UInt32 = 0
            for number in numbers { carry |= (number.bitPattern & 0x7F80_0000) &+ 0x0080_0000 }
            return carry & 0x8000_0000 == 0
        }
    }
}

extension TokenBatch {
    /// New tokens behind `offset` cached ones, of which the last one's logits are wanted.
    fileprivate init(continuing offset: Int, _ tokens: [Int32], capacity: Int) {
        self.init([Example(tokens: tokens, labels: tokens.map { _ in TokenBatch.ignored })])
        continueSequence(at: Int32(offset), expecting: capacity)
    }
}
