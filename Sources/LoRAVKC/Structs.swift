// The structs of loravk.h: their sizes in version 0.1, which never change, and their defaults, which are those of the _INIT
// macros. The numbers come from `Defaults`.

import CLoRAVK
import LoRAVK

extension loravk_error_detail: VersionedStruct {
    static let (firstSize, structName) = (1832, "loravk_error_detail")
    static var defaults: Self {
        var detail = Self()
        (detail.byte_offset, detail.line) = (-1, -1)
        return detail
    }
}

extension loravk_device_info: VersionedStruct {
    static let (firstSize, structName) = (584, "loravk_device_info")
}

extension loravk_context_config: VersionedStruct {
    static let (firstSize, structName) = (16, "loravk_context_config")
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
        (config.beta1, config.beta2, config.epsilon) = (Defaults.beta1, Defaults.beta2, Defaults.epsilon)
        config.weight_decay = Defaults.weightDecay
        return config
    }
}

extension loravk_model_config: VersionedStruct {
    static let (firstSize, structName) = (32, "loravk_model_config")
}

extension loravk_model_info: VersionedStruct {
    static let (firstSize, structName) = (112, "loravk_model_info")
}

extension loravk_adapter_config: VersionedStruct {
    static let (firstSize, structName) = (96, "loravk_adapter_config")
    static var defaults: Self {
        var config = Self()
        (config.rank, config.dropout) = (Int32(Defaults.rank), Defaults.dropout)
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
        config.learning_rate = Defaults.learningRate
        config.max_grad_norm = Defaults.maxGradientNorm
        (config.beta1, config.beta2, config.epsilon) = (Defaults.beta1, Defaults.beta2, Defaults.epsilon)
        config.weight_decay = Defaults.weightDecay
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
        (config.batch_size, config.length) = (Int32(Defaults.batchSize), Int32(Defaults.maxTokens))
        config.recomputed_blocks = -1
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
        config.max_tokens = Int32(Defaults.maxTokens)
        return config
    }
}

extension loravk_run_config: VersionedStruct {
    static let (firstSize, structName) = (104, "loravk_run_config")
    static var defaults: Self {
        var config = Self()
        (config.batch_size, config.accumulation) = (Int32(Defaults.batchSize), Int32(Defaults.accumulation))
        (config.save_every, config.validate_every) = (
            Int32(Defaults.saveEvery), Int32(Defaults.validateEvery)
        )
        config.warmup_steps = -1
        config.sample_tokens = Int32(Defaults.sampleTokens)
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
        (config.max_tokens, config.top_k) = (Int32(Defaults.answerTokens), Int32(Defaults.topK))
        (config.temperature, config.top_p) = (Defaults.temperature, Defaults.topP)
        config.repetition_penalty = Defaults.repetitionPenalty
        return config
    }
}

extension loravk_session_info: VersionedStruct {
    static let (firstSize, structName) = (96, "loravk_session_info")
}

extension loravk_export_config: VersionedStruct {
    static let (firstSize, structName) = (48, "loravk_export_config")
    static var defaults: Self {
        var config = Self()
        config.max_shard_bytes = Int64(Defaults.maxShardBytes)
        return config
    }
}

extension loravk_merge_report: VersionedStruct {
    static let (firstSize, structName) = (32, "loravk_merge_report")
}
