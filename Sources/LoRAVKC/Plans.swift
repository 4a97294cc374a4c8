// The memory plan of loravk.h.

import CLoRAVK
import Checkpoints
import LoRAVK
import VulkanCompute

@c @implementation public func loravk_plan_training(
    _ handle: OpaquePointer!, _ path: UnsafePointer<CChar>!, _ config: UnsafePointer<loravk_plan_config>!,
    _ plan: UnsafeMutablePointer<loravk_memory_plan>!
) -> loravk_status {
    call {
        let capabilities = try handle.map { try context($0).device.capabilities } ?? .least
        let path = try text(path, "path")
        let config = try read(config, defaults: .defaults)
        let weights = try weightStorage(config.weights)
        let settings = try read(config.adapter, defaults: .defaults)
        let lora = try LoRAConfig(settings)
        let objective = try objective(settings.objective, "config.adapter.objective") ?? CausalLM()
        try checkRoom(try required(plan, "plan"))
        let checkpoint = try Checkpoint.open(path: path)
        try check(config, checkpoint.spec, capabilities)
        var optimizer = OptimizerConfig()
        if let text = try optionalText(config.optimizer, "config.optimizer") {
            optimizer.optimizer = try Registries.optimizers.named(text)
        }
        let planner = try MemoryPlanner(
            checkpoint, weights: weights, capabilities: capabilities, optimizer: optimizer,
            objective: objective
        ) { model in
            try Adapter.create(for: model, lora)
        }
        let length = Int(config.length)
        let examples = [ExampleSize](
            repeating: ExampleSize(
                tokens: length, counted: lora.head == nil ? length - 1 : 1,
                values: objective.valueCount(lora.head)), count: Int(config.batch_size))
        let recomputed =
            config.recomputed_blocks < 0 ? nil : min(Int(config.recomputed_blocks), planner.blocks)
        let layout =
            config.budget_bytes > 0
            ? try planner.layout(
                examples, batchSize: examples.count, budget: Int(config.budget_bytes),
                recomputedBlocks: recomputed)
            : try planner.layout(examples, batchSize: examples.count, recomputedBlocks: recomputed ?? 0)
        try write(loravk_memory_plan(layout, capabilities), to: plan)
    }
}

private func check(
    _ config: loravk_plan_config, _ model: ModelSpec, _ capabilities: Capabilities
) throws {
    guard config.budget_bytes >= 0 else {
        throw APIError.argument(
            "config.budget_bytes is \(config.budget_bytes); it must be positive, or 0 for no limit")
    }
    guard config.batch_size > 0, 2 <= config.length, Int(config.length) <= model.contextLength else {
        throw APIError.argument(
            "a batch of \(config.batch_size) sequences of \(config.length) tokens; there must be at least one, of 2 to "
                + "\(model.contextLength) tokens")
    }
    try requireFits(tokens: Int(config.batch_size) * Int(config.length), model, capabilities)
}

extension loravk_memory_plan {
    fileprivate init(_ layout: StepLayout, _ capabilities: Capabilities) {
        self.init()
        weight_bytes = Int64(layout.use.weights)
        adapter_bytes = Int64(layout.use.adapter)
        optimizer_bytes = Int64(layout.use.optimizer)
        activation_bytes = Int64(layout.use.activations)
        token_bytes = Int64(layout.use.tokens)
        unused_bytes = Int64(layout.use.unused)
        total_bytes = Int64(layout.use.total)
        available_bytes = Int64(capabilities.availableMemoryByteCount)
        tokens_per_pass = Int64(layout.tokensPerPass)
        recomputed_blocks = Int32(clamping: layout.recomputedBlocks)
    }
}
