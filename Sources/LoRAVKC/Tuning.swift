// Measuring kernels, of loravk.h.

import CLoRAVK
import Checkpoints
import Kernels
import LoRAVK
import VulkanCompute

@c @implementation public func loravk_context_tune(
    _ handle: OpaquePointer!, _ path: UnsafePointer<CChar>!, _ config: UnsafePointer<loravk_tune_config>!
) -> loravk_status {
    call {
        let context = try context(handle)
        let path = try text(path, "path")
        let config = try read(config, defaults: .defaults)
        let weights = try weightStorage(config.weights)
        let rows =
            config.tokens == nil
            ? Tuner.usualRows
            : try array(config.tokens, config.token_count, "config.tokens").map { Int($0) }
        guard !rows.isEmpty, rows.allSatisfy(Tuner.possibleRows.contains) else {
            throw APIError.argument(
                "config.tokens is \(rows); there must be some, each \(Tuner.possibleRows.lowerBound) to "
                    + "\(Tuner.possibleRows.upperBound)")
        }
        let tuner = try Tuner(
            try Checkpoint.open(path: path), on: context.device, weights: weights, rows: rows,
            matrixUnits: !config.no_matrix_units)
        let found = try context.locked {
            try tuner.run { finding in
                guard let callback = config.on_finding else { return true }
                return context.unlocked {
                    finding.name.withCString { name in
                        var told = loravk_tune_finding()
                        told.struct_size = MemoryLayout<loravk_tune_finding>.size
                        told.product = name
                        told.rule_flops_per_second = finding.ruled
                        told.best_flops_per_second = finding.best
                        return callback(config.user_data, &told)
                    }
                }
            }
        }
        guard let tuning = found else {
            throw APIError(LORAVK_ERROR_INVALID_STATE, "on_finding gave up measuring for \(path)")
        }
        context.device.savePipelines()
        guard tuning.save(for: context.device) != nil else {
            throw APIError(
                LORAVK_ERROR_FILE,
                "what was measured cannot be kept in the cache folder; set LORAVK_CACHE_DIR to one that can be written"
            )
        }
    }
}

@c @implementation public func loravk_context_is_tuned(
    _ handle: OpaquePointer!, _ tuned: UnsafeMutablePointer<Bool>!
) -> loravk_status {
    call {
        let device = try context(handle).device
        try required(tuned, "tuned").pointee = !device.capabilities.tuning.isEmpty
    }
}

@c @implementation public func loravk_context_forget_tuning(_ handle: OpaquePointer!) -> loravk_status {
    call {
        guard Tuning.forget(for: try context(handle).device) else {
            throw APIError(
                LORAVK_ERROR_FILE,
                "what was measured cannot be removed from the cache folder: is it read-only?")
        }
    }
}
