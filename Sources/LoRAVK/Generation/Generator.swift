// Text generation with a key/value cache: the prompt in pieces, then token by token. The step for one token is recorded
// once and replayed, since all that changes from token to token lies in device memory. The cache stays: of a next prompt only
// what lies behind the tokens that it has in common with those of the cache is run.

import Kernels
import VulkanCompute

/// How long a generation took.
package struct GenerationTimes: Sendable, Equatable {
    /// Tokens of the prompt that were in the cache already.
    package var keptTokens = 0
    /// Those that were run.
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
    /// Another one empties the cache: keys and values are the adapter's, too.
    package var adapter: Adapter? {
        didSet {
            guard adapter !== oldValue else { return }
            step = nil
            isOutdated = true
        }
    }
    /// Asked between the pieces of a prompt and between tokens: true ends the generation.
    package var shouldStop: () -> Bool = { false }
    /// Of the last generation.
    package internal(set) var times = GenerationTimes()
    /// Those in the cache.
    package private(set) var tokens: [Int32] = []
    private let device: Device
    private var cache: GenerationState
    /// Behind the last token of the cache, where they are known.
    private var logits: [Float]?
    private var adapterVersion: Int?
    private var isOutdated = false
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

    // MARK: The cache

    package var capacity: Int { cache.capacity }

    /// Makes room for so many tokens; a cache that grows is empty.
    package func reserve(_ capacity: Int) throws(VulkanError) {
        guard capacity > cache.capacity else { return }
        step = nil
        cache = try GenerationState(model, capacity: capacity)
        forget()
    }

    /// Empties the cache.
    package func reset() throws(VulkanError) { try rewind(to: 0) }

    private func forget() { (tokens, logits) = ([], nil) }

    /// Keeps the first `count` tokens of the cache, or as many of them as can be found again.
    private func rewind(to count: Int) throws(VulkanError) {
        let left = try cache.rewind(to: count)
        guard left < tokens.count else { return }
        tokens.removeLast(tokens.count - left)
        logits = nil
    }

    /// What was computed with other parameters is void.
    private func dropOutdated() throws(VulkanError) {
        if isOutdated || adapterVersion != adapter?.version { try reset() }
        (isOutdated, adapterVersion) = (false, adapter?.version)
    }

    /// Makes the cache that of a whole prompt. Returns the logits behind its last token; nil where `shouldStop` said so.
    package func prefill(_ prompt: [Int32]) throws -> [Float]? {
        guard !prompt.isEmpty, prompt.count <= capacity else {
            throw ConfigError(
                prompt.isEmpty
                    ? "the prompt has no tokens; give at least one"
                    : "there are \(prompt.count) tokens, and only \(capacity) fit")
        }
        try model.check(Example(tokens: prompt))
        try dropOutdated()
        let common = zip(prompt, tokens).prefix { $0 == $1 }.count
        let isThere = common == prompt.count && common == tokens.count && logits != nil
        if !isThere { try rewind(to: min(common, prompt.count - 1)) }
        times.keptTokens = tokens.count
        for start in stride(from: tokens.count, to: prompt.count, by: Self.promptPiece) {
            if shouldStop() { return nil }
            _ = try append(Array(prompt[start..<min(start + Self.promptPiece, prompt.count)]))
        }
        try cache.keepPlace()
        return logits
    }

    /// Runs new tokens and returns the logits after the last.
    package func append(_ new: [Int32]) throws(VulkanError) -> [Float] {
        precondition(
            cache.count + new.count <= cache.capacity,
            "\(cache.count + new.count) tokens in a cache of \(cache.capacity)")
        var logits: [Float] = []
        for start in stride(from: 0, to: new.count, by: Self.promptPiece) {
            let piece = Array(new[start..<min(start + Self.promptPiece, new.count)])
            let recorded = try piece.count == 1 ? recordedStep() : recordedPiece(piece.count)
            logits = try run(recorded, piece)
            tokens += piece
            self.logits = logits
        }
        return logits
    }

    // MARK: Recordings

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

extension TokenBatch {
    /// New tokens behind `offset` cached ones, of which the last one's logits are wanted.
    fileprivate init(continuing offset: Int, _ tokens: [Int32], capacity: Int) {
        self.init([Example(tokens: tokens, labels: tokens.map { _ in TokenBatch.ignored })])
        continueSequence(at: Int32(offset), expecting: capacity)
    }
}
