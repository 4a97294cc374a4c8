// The structs of loravk.h: their sizes in version 0.1, which never change, and the defaults of configurations, which are those
// of the _INIT macros.

import CLoRAVK

extension loravk_error_detail: VersionedStruct {
    static let (firstSize, structName) = (1832, "loravk_error_detail")
}

extension loravk_device_info: VersionedStruct {
    static let (firstSize, structName) = (584, "loravk_device_info")
}

extension loravk_context_config: VersionedStruct {
    static let (firstSize, structName) = (16, "loravk_context_config")
    static var defaults: Self { Self() }
}

extension loravk_tensor_info: VersionedStruct {
    static let (firstSize, structName) = (88, "loravk_tensor_info")
}

extension loravk_attention_config: VersionedStruct {
    static let (firstSize, structName) = (32, "loravk_attention_config")
    static var defaults: Self {
        var config = Self()
        (config.heads, config.kv_heads) = (1, 1)
        return config
    }
}

extension loravk_optimizer_config: VersionedStruct {
    static let (firstSize, structName) = (48, "loravk_optimizer_config")
    static var defaults: Self {
        var config = Self()
        (config.beta1, config.beta2, config.epsilon) = (0.9, 0.999, 1e-8)
        return config
    }
}

extension loravk_model_config: VersionedStruct {
    static let (firstSize, structName) = (32, "loravk_model_config")
    static var defaults: Self { Self() }
}

extension loravk_model_info: VersionedStruct {
    static let (firstSize, structName) = (112, "loravk_model_info")
}

extension loravk_adapter_config: VersionedStruct {
    static let (firstSize, structName) = (96, "loravk_adapter_config")
    static var defaults: Self {
        var config = Self()
        (config.rank, config.alpha) = (8, 16)
        return config
    }
}

extension loravk_adapter_info: VersionedStruct {
    static let (firstSize, structName) = (816, "loravk_adapter_info")
}

extension loravk_parameter_info: VersionedStruct {
    static let (firstSize, structName) = (96, "loravk_parameter_info")
}

extension loravk_trainer_config: VersionedStruct {
    static let (firstSize, structName) = (72, "loravk_trainer_config")
    static var defaults: Self {
        var config = Self()
        config.learning_rate = 5e-4
        (config.beta1, config.beta2, config.epsilon) = (0.9, 0.999, 1e-8)
        return config
    }
}

extension loravk_step_result: VersionedStruct {
    static let (firstSize, structName) = (48, "loravk_step_result")
}

extension loravk_plan_config: VersionedStruct {
    static let (firstSize, structName) = (48, "loravk_plan_config")
    static var defaults: Self {
        var config = Self()
        (config.batch_size, config.length, config.recomputed_blocks) = (8, 512, -1)
        return config
    }
}

extension loravk_memory_plan: VersionedStruct {
    static let (firstSize, structName) = (88, "loravk_memory_plan")
}

extension loravk_data_config: VersionedStruct {
    static let (firstSize, structName) = (40, "loravk_data_config")
    static var defaults: Self {
        var config = Self()
        config.max_tokens = 512
        return config
    }
}

extension loravk_run_config: VersionedStruct {
    static let (firstSize, structName) = (104, "loravk_run_config")
    static var defaults: Self {
        var config = Self()
        (config.batch_size, config.accumulation, config.steps) = (8, 1, 100)
        (config.save_every, config.validate_every) = (100, 100)
        return config
    }
}

extension loravk_run_result: VersionedStruct {
    static let (firstSize, structName) = (40, "loravk_run_result")
}

extension loravk_tune_finding: VersionedStruct {
    static let (firstSize, structName) = (32, "loravk_tune_finding")
}

extension loravk_tune_config: VersionedStruct {
    static let (firstSize, structName) = (56, "loravk_tune_config")
    static var defaults: Self { Self() }
}

extension loravk_feature_norms: VersionedStruct {
    static let (firstSize, structName) = (24, "loravk_feature_norms")
}

extension loravk_evaluation: VersionedStruct {
    static let (firstSize, structName) = (40, "loravk_evaluation")
}

extension loravk_generation_config: VersionedStruct {
    static let (firstSize, structName) = (80, "loravk_generation_config")
    static var defaults: Self {
        var config = Self()
        config.max_tokens = 200
        (config.top_p, config.repetition_penalty) = (1, 1)
        return config
    }
}

extension loravk_export_config: VersionedStruct {
    static let (firstSize, structName) = (48, "loravk_export_config")
    static var defaults: Self {
        var config = Self()
        config.max_shard_bytes = 5_000_000_000
        return config
    }
}

extension loravk_merge_report: VersionedStruct {
    static let (firstSize, structName) = (32, "loravk_merge_report")
}
