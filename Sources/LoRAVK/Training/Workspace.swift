// Device memory for the activations and the batches of passes, and the passes recorded to run in it. A pass is recorded once
// per batch shape and replayed; it is planned first, by the same recording, so that memory is exactly what it needs.

import Kernels
import VulkanCompute

/// What a recorded pass takes.
package struct PassPlan: Sendable {
    package var arena: ArenaPlan
    package var flops: Double
    package var dispatches: Int
    package var launches: [Launch]
    package var pipelines: Set<PipelineUse> { Set(launches.map(\.pipeline)) }

    /// Of a recording without a device.
    init(_ encoder: CommandEncoder, _ arena: Arena) {
        (self.arena, flops, dispatches) = (arena.plan, encoder.flops, encoder.dispatchCount)
        launches = encoder.launches
    }
}

/// A recorded pass, and the tensors of the arena that hold its results until the next pass.
struct RecordedPass {
    let graph: CommandGraph
    let outputs: [Tensor]
}

/// Not thread-safe: used by one trainer or evaluator at a time.
final class Workspace {
    enum Purpose: Hashable {
        case training, evaluation(adapted: Bool), logits, scores, embeddings(adapted: Bool), features
    }
    typealias Record = (CommandEncoder, Arena, TokenBuffers) throws(VulkanError) -> [Tensor]

    private struct Key: Hashable {
        let purpose: Purpose
        let shape: BatchShape
    }

    /// Passes are kept and replayed.
    var keepsRecordings = !DebugOptions.environment.noReplay
    private let device: Device
    private let rules: TokenRules
    private var size = ArenaPlan(chunks: [])
    private var arena: Arena?
    private var tokens: Buffer?
    private var plans: [Key: PassPlan] = [:]
    private var recordings: [(key: Key, pass: RecordedPass)] = []  // the one unused for longest first
    private static let mostRecordings = 8
    /// Passes that were not there yet.
    private(set) var recordedPasses = 0

    init(_ model: Transformer) { (device, rules) = (model.device, model.tokenRules) }

    // MARK: Passes

    func plan(
        _ shape: BatchShape, for purpose: Purpose, _ record: Record
    ) throws(VulkanError) -> PassPlan {
        let key = Key(purpose: purpose, shape: shape)
        if let plan = plans[key] { return plan }
        let arena = Arena(planningFor: device.capabilities)
        let encoder = CommandEncoder(planningFor: device.capabilities, scratch: arena)
        _ = try record(encoder, arena, plannedTokens(shape))
        let plan = PassPlan(encoder, arena)
        plans[key] = plan
        return plan
    }

    /// Makes room for passes of a shape.
    func reserve(_ shape: BatchShape, for purpose: Purpose, _ record: Record) throws(VulkanError) {
        let plan = try plan(shape, for: purpose, record)
        if !holds(plan.arena, shape) { try grow(plan.arena, shape) }
    }

    /// A pass over the batch, ready to run.
    func prepare(
        _ batch: TokenBatch, for purpose: Purpose, _ record: Record
    ) throws(VulkanError) -> RecordedPass {
        let shape = batch.shape
        try reserve(shape, for: purpose, record)
        let (buffers, arena) = try open(shape)
        try buffers.upload(batch.padded(to: shape), device)
        let key = Key(purpose: purpose, shape: shape)
        if let index = recordings.firstIndex(where: { $0.key == key }) {
            recordings.append(recordings.remove(at: index))
            return recordings[recordings.count - 1].pass
        }
        recordedPasses += 1
        let encoder = try CommandEncoder(device, scratch: arena)
        let outputs = try record(encoder, arena, buffers)
        let pass = RecordedPass(graph: try encoder.finish(), outputs: outputs)
        if keepsRecordings {
            if recordings.count == Self.mostRecordings { recordings.removeFirst() }
            recordings.append((key, pass))
        }
        return pass
    }

    // MARK: Memory

    private func byteCount(_ shape: BatchShape) -> Int { TokenBuffers.byteCount(shape, rules) }

    /// For a recording without a device.
    func plannedTokens(_ shape: BatchShape) -> TokenBuffers {
        TokenBuffers(Buffer(planned: byteCount(shape), label: "tokens").slice(), shape, rules)
    }

    func holds(_ wanted: ArenaPlan, _ shape: BatchShape) -> Bool {
        arena != nil && size.holds(wanted) && (tokens?.byteCount ?? 0) >= byteCount(shape)
    }

    /// Lays memory out anew. What was recorded before is void, and gone before the old memory.
    func grow(_ wanted: ArenaPlan, _ shape: BatchShape) throws(VulkanError) {
        recordings.removeAll()
        size = size.union(wanted)
        let tokenBytes = max(byteCount(shape), tokens?.byteCount ?? 0)
        (arena, tokens) = (nil, nil)
        arena = try Arena(device, size)
        tokens = try device.makeBuffer(byteCount: tokenBytes, label: "tokens")
    }

    func open(_ shape: BatchShape) throws(VulkanError) -> (TokenBuffers, Arena) {
        guard let arena, let tokens else {
            preconditionFailure("a workspace is reserved before it is opened")
        }
        return (TokenBuffers(tokens.slice(0, byteCount: byteCount(shape)), shape, rules), arena)
    }
}
