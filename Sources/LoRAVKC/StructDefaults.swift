// loravk_..._init of every struct of loravk.h: its defaults, for callers that cannot see the _INIT macros.

import CLoRAVK

/// Fills a struct of the caller's, which may be one of an older or a newer version: what this version does not know is 0. The last
/// error stays where this succeeds, and a forked child may call it too.
private func initialize<Struct: VersionedStruct>(
    _ pointer: UnsafeMutablePointer<Struct>?, _ size: Int
) -> loravk_status {
    do {
        let pointer = try required(pointer, Struct.structName)
        guard isPossible(size, Struct.self) else {
            throw APIError.argument(
                "struct_size is \(UInt(bitPattern: size)); pass sizeof(\(Struct.structName)), which is at least "
                    + "\(Struct.firstSize)")
        }
        var value = Struct.defaults
        value.struct_size = size
        let target = UnsafeMutableRawBufferPointer(start: pointer, count: size)
        target.initializeMemory(as: UInt8.self, repeating: 0)
        withUnsafeBytes(of: value) { target.copyMemory(from: .init(rebasing: $0.prefix(size))) }
        return loravk_status(LORAVK_OK)
    } catch {
        let failure = Failure(error)
        LastError.set(failure)
        return failure.status
    }
}

@c @implementation public func loravk_error_detail_init(
    _ detail: UnsafeMutablePointer<loravk_error_detail>!, _ size: Int
) -> loravk_status { initialize(detail, size) }

@c @implementation public func loravk_device_info_init(
    _ info: UnsafeMutablePointer<loravk_device_info>!, _ size: Int
) -> loravk_status { initialize(info, size) }

@c @implementation public func loravk_context_config_init(
    _ config: UnsafeMutablePointer<loravk_context_config>!, _ size: Int
) -> loravk_status { initialize(config, size) }

@c @implementation public func loravk_tensor_info_init(
    _ info: UnsafeMutablePointer<loravk_tensor_info>!, _ size: Int
) -> loravk_status { initialize(info, size) }

@c @implementation public func loravk_attention_config_init(
    _ config: UnsafeMutablePointer<loravk_attention_config>!, _ size: Int
) -> loravk_status { initialize(config, size) }

@c @implementation public func loravk_optimizer_config_init(
    _ config: UnsafeMutablePointer<loravk_optimizer_config>!, _ size: Int
) -> loravk_status { initialize(config, size) }

@c @implementation public func loravk_model_config_init(
    _ config: UnsafeMutablePointer<loravk_model_config>!, _ size: Int
) -> loravk_status { initialize(config, size) }

@c @implementation public func loravk_model_info_init(
    _ info: UnsafeMutablePointer<loravk_model_info>!, _ size: Int
) -> loravk_status { initialize(info, size) }

@c @implementation public func loravk_data_config_init(
    _ config: UnsafeMutablePointer<loravk_data_config>!, _ size: Int
) -> loravk_status { initialize(config, size) }

@c @implementation public func loravk_adapter_config_init(
    _ config: UnsafeMutablePointer<loravk_adapter_config>!, _ size: Int
) -> loravk_status { initialize(config, size) }

@c @implementation public func loravk_adapter_info_init(
    _ info: UnsafeMutablePointer<loravk_adapter_info>!, _ size: Int
) -> loravk_status { initialize(info, size) }

@c @implementation public func loravk_parameter_info_init(
    _ info: UnsafeMutablePointer<loravk_parameter_info>!, _ size: Int
) -> loravk_status { initialize(info, size) }

@c @implementation public func loravk_trainer_config_init(
    _ config: UnsafeMutablePointer<loravk_trainer_config>!, _ size: Int
) -> loravk_status { initialize(config, size) }

@c @implementation public func loravk_step_result_init(
    _ result: UnsafeMutablePointer<loravk_step_result>!, _ size: Int
) -> loravk_status { initialize(result, size) }

@c @implementation public func loravk_run_config_init(
    _ config: UnsafeMutablePointer<loravk_run_config>!, _ size: Int
) -> loravk_status { initialize(config, size) }

@c @implementation public func loravk_run_result_init(
    _ result: UnsafeMutablePointer<loravk_run_result>!, _ size: Int
) -> loravk_status { initialize(result, size) }

@c @implementation public func loravk_plan_config_init(
    _ config: UnsafeMutablePointer<loravk_plan_config>!, _ size: Int
) -> loravk_status { initialize(config, size) }

@c @implementation public func loravk_memory_plan_init(
    _ plan: UnsafeMutablePointer<loravk_memory_plan>!, _ size: Int
) -> loravk_status { initialize(plan, size) }

@c @implementation public func loravk_tune_config_init(
    _ config: UnsafeMutablePointer<loravk_tune_config>!, _ size: Int
) -> loravk_status { initialize(config, size) }

@c @implementation public func loravk_evaluation_init(
    _ evaluation: UnsafeMutablePointer<loravk_evaluation>!, _ size: Int
) -> loravk_status { initialize(evaluation, size) }

@c @implementation public func loravk_feature_norms_init(
    _ norms: UnsafeMutablePointer<loravk_feature_norms>!, _ size: Int
) -> loravk_status { initialize(norms, size) }

@c @implementation public func loravk_generation_config_init(
    _ config: UnsafeMutablePointer<loravk_generation_config>!, _ size: Int
) -> loravk_status { initialize(config, size) }

@c @implementation public func loravk_session_info_init(
    _ info: UnsafeMutablePointer<loravk_session_info>!, _ size: Int
) -> loravk_status { initialize(info, size) }

@c @implementation public func loravk_export_config_init(
    _ config: UnsafeMutablePointer<loravk_export_config>!, _ size: Int
) -> loravk_status { initialize(config, size) }

@c @implementation public func loravk_merge_report_init(
    _ report: UnsafeMutablePointer<loravk_merge_report>!, _ size: Int
) -> loravk_status { initialize(report, size) }
