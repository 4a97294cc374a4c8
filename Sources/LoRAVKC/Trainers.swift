// Chapter "Training" of loravk.h, step by step.

import CLoRAVK
import LoRAVK
import Synchronization

/// Used inside its context's lock.
final class TrainerObject: HandleObject, @unchecked Sendable {
    static let kind = "a trainer"
    let model: ModelObject
    let adapter: AdapterObject
    let trainer: Trainer
    let stopSlot: Int
    private(set) var learningRate: Double
    /// A whole run is going on.
    private var isRunning = false
    /// The gradients belong to a step that was taken.
    private var gradientsAreApplied = false
    private let lastFailure = Mutex<Failure?>(nil)

    init(_ model: ModelObject, _ adapter: AdapterObject, _ config: loravk_trainer_config) throws {
        try checkLearningRate(config.learning_rate)
        let named = try optionalText(config.optimizer, "config.optimizer").map(Registries.optimizers.named)
        let optimizer = try OptimizerConfig(
            named ?? AdamW(beta1: config.beta1, beta2: config.beta2, epsilon: config.epsilon),
            weightDecay: config.weight_decay, maxGradNorm: config.max_grad_norm)
        guard config.recomputed_blocks >= 0 else {
            throw APIError.argument(
                "config.recomputed_blocks is \(config.recomputed_blocks); it must not be negative")
        }
        let objective = try objective(config.objective, "config.objective") ?? CausalLM()
        try model.model.spec.check(objective)
        let slot = try StopFlags.take()
        do {
            trainer = try Trainer(
                model.model, adapter.adapter, optimizer: optimizer, seed: config.seed,
                recomputedBlocks: Int(config.recomputed_blocks), objective: objective, noise: config.neftune)
        } catch {
            StopFlags.give(slot)
            throw error
        }
        (self.model, self.adapter, stopSlot) = (model, adapter, slot)
        learningRate = config.learning_rate
    }

    deinit { StopFlags.give(stopSlot) }

    var error: loravk_error_detail { lastFailure.withLock { $0.map { loravk_error_detail($0) } ?? .none } }

    func note(_ error: any Error) { lastFailure.withLock { $0 = Failure(error) } }

    /// One call at a time: during a run only the run itself.
    func use<Result>(_ body: () throws -> Result) throws -> Result {
        try model.context.locked {
            guard !isRunning else {
                throw APIError(
                    LORAVK_ERROR_BUSY, "the trainer is in loravk_trainer_run; wait until it returns")
            }
            return try body()
        }
    }

    func run<Result>(_ body: () throws -> Result) throws -> Result {
        try use {
            isRunning = true
            defer {
                isRunning = false
                StopFlags.clear(stopSlot)
            }
            gradientsAreApplied = true
            return try body()
        }
    }

    func set(learningRate: Double) { self.learningRate = learningRate }

    func zeroGradients() throws {
        try trainer.zeroGradients()
        gradientsAreApplied = false
    }

    func step(_ examples: [Example]) throws -> StepReport {
        gradientsAreApplied = true
        return try trainer.step([examples], learningRate: learningRate)
    }

    /// The sum of the losses.
    func forwardBackward(_ examples: [Example], divisor: Int) throws -> Double {
        if gradientsAreApplied { try zeroGradients() }
        return try trainer.forwardBackward(examples, counted: divisor)
    }

    func load(state path: String) throws {
        try trainer.loadState(from: path)
        gradientsAreApplied = true
    }

    func apply() throws -> Double {
        gradientsAreApplied = true
        return try trainer.apply(learningRate: learningRate)
    }
}

/// A call on a trainer, which keeps the error too.
func trainerCall(_ handle: OpaquePointer?, _ body: (TrainerObject) throws -> Void) -> loravk_status {
    call {
        let trainer = try Handles.object(handle, TrainerObject.self, "trainer")
        do { try body(trainer) } catch {
            trainer.note(error)
            throw error
        }
    }
}

@c @implementation public func loravk_trainer_create(
    _ model: OpaquePointer!, _ adapter: OpaquePointer!, _ config: UnsafePointer<loravk_trainer_config>!,
    _ trainer: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let model = try modelObject(model)
        let adapter = try adapterObject(adapter)
        let output = try Output(trainer, "trainer")
        guard adapter.model === model else { throw APIError.argument("the adapter belongs to another model") }
        let config = try read(config, defaults: .defaults)
        let made = try model.context.locked { try TrainerObject(model, adapter, config) }
        StopFlags.begin(made.stopSlot, owner: output.give(made, slot: made.stopSlot))
    }
}

@c @implementation public func loravk_trainer_release(_ trainer: OpaquePointer!) {
    Handles.release(trainer, TrainerObject.self)
}

@c @implementation public func loravk_trainer_set_learning_rate(
    _ handle: OpaquePointer!, _ learningRate: Double
) -> loravk_status {
    trainerCall(handle) { trainer in
        try checkLearningRate(learningRate)
        try trainer.use { trainer.set(learningRate: learningRate) }
    }
}

@c @implementation public func loravk_trainer_step_count(
    _ handle: OpaquePointer!, _ steps: UnsafeMutablePointer<Int64>!
) -> loravk_status {
    trainerCall(handle) { trainer in
        let steps = try required(steps, "steps")
        steps.pointee = trainer.model.context.locked { Int64(trainer.trainer.step) }
    }
}

@c @implementation public func loravk_trainer_step(
    _ handle: OpaquePointer!, _ tokens: UnsafePointer<Int32>!, _ labels: UnsafePointer<Int32>!, _ batch: Int,
    _ length: Int, _ result: UnsafeMutablePointer<loravk_step_result>!
) -> loravk_status {
    trainerCall(handle) { trainer in
        let lengths = try rectangle(batch, length)
        try trainer.step(trainer.model.examples(tokens, labels, lengths), result)
    }
}

@c @implementation public func loravk_trainer_step_ragged(
    _ handle: OpaquePointer!, _ tokens: UnsafePointer<Int32>!, _ labels: UnsafePointer<Int32>!,
    _ lengths: UnsafePointer<Int32>!, _ sequences: Int, _ result: UnsafeMutablePointer<loravk_step_result>!
) -> loravk_status {
    trainerCall(handle) { trainer in
        let lengths = try ragged(lengths, sequences)
        try trainer.step(trainer.model.examples(tokens, labels, lengths), result)
    }
}

@c @implementation public func loravk_trainer_forward_backward(
    _ handle: OpaquePointer!, _ tokens: UnsafePointer<Int32>!, _ labels: UnsafePointer<Int32>!, _ batch: Int,
    _ length: Int, _ divisor: Int64, _ result: UnsafeMutablePointer<loravk_step_result>!
) -> loravk_status {
    trainerCall(handle) { trainer in
        let lengths = try rectangle(batch, length)
        try trainer.forwardBackward(trainer.model.examples(tokens, labels, lengths), divisor, result)
    }
}

@c @implementation public func loravk_trainer_forward_backward_ragged(
    _ handle: OpaquePointer!, _ tokens: UnsafePointer<Int32>!, _ labels: UnsafePointer<Int32>!,
    _ lengths: UnsafePointer<Int32>!, _ sequences: Int, _ divisor: Int64,
    _ result: UnsafeMutablePointer<loravk_step_result>!
) -> loravk_status {
    trainerCall(handle) { trainer in
        let lengths = try ragged(lengths, sequences)
        try trainer.forwardBackward(trainer.model.examples(tokens, labels, lengths), divisor, result)
    }
}

extension TrainerObject {
    fileprivate func step(_ examples: [Example], _ result: UnsafeMutablePointer<loravk_step_result>?) throws {
        try checkRoom(result)
        let report = try use { try step(examples) }
        try give(loravk_step_result(report), to: result)
    }

    fileprivate func forwardBackward(
        _ examples: [Example], _ divisor: Int64, _ result: UnsafeMutablePointer<loravk_step_result>?
    ) throws {
        try checkRoom(result)
        guard divisor >= 0 else {
            throw APIError.argument(
                "divisor is \(divisor); it must be positive, or 0 for the batch's own targets")
        }
        let start = ContinuousClock.now
        let counted = examples.reduce(0) { $0 + $1.countedTokens }
        let lossSum = try use {
            try forwardBackward(examples, divisor: divisor == 0 ? counted : Int(divisor))
        }
        var report = loravk_step_result()
        report.loss = lossSum / Double(max(counted, 1))
        report.seconds = (ContinuousClock.now - start) / .seconds(1)
        report.tokens = Int64(examples.reduce(0) { $0 + $1.tokens.count })
        report.counted_tokens = Int64(counted)
        try give(report, to: result)
    }
}

@c @implementation public func loravk_trainer_apply(
    _ handle: OpaquePointer!, _ gradNorm: UnsafeMutablePointer<Double>!
) -> loravk_status {
    trainerCall(handle) { trainer in
        let norm = try trainer.use { try trainer.apply() }
        gradNorm?.pointee = norm
    }
}

@c @implementation public func loravk_trainer_zero_gradients(_ handle: OpaquePointer!) -> loravk_status {
    trainerCall(handle) { trainer in try trainer.use { try trainer.zeroGradients() } }
}

@c @implementation public func loravk_trainer_save_state(
    _ handle: OpaquePointer!, _ path: UnsafePointer<CChar>!
) -> loravk_status {
    trainerCall(handle) { trainer in
        let path = try text(path, "path")
        try trainer.use { try trainer.trainer.saveState(to: path) }
    }
}

@c @implementation public func loravk_trainer_load_state(
    _ handle: OpaquePointer!, _ path: UnsafePointer<CChar>!
) -> loravk_status {
    trainerCall(handle) { trainer in
        let path = try text(path, "path")
        try trainer.use { try trainer.load(state: path) }
    }
}

@c @implementation public func loravk_trainer_request_stop(_ trainer: OpaquePointer!) {
    StopFlags.request(trainer)
}

@c @implementation public func loravk_trainer_get_error_detail(
    _ handle: OpaquePointer!, _ detail: UnsafeMutablePointer<loravk_error_detail>!
) -> loravk_status {
    call { try write(try Handles.object(handle, TrainerObject.self, "trainer").error, to: detail) }
}

extension loravk_step_result {
    init(_ report: StepReport) {
        self.init()
        loss = report.loss
        grad_norm = report.gradientNorm
        seconds = report.seconds
        tokens = Int64(report.tokens)
        counted_tokens = Int64(report.countedTokens)
    }
}
