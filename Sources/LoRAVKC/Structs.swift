// The structs of loravk.h: their sizes in version 0.1, which never change, and the defaults of configurations, which are those
// of the _INIT macros.

import CLoRAVK

extension loravk_error_detail: VersionedStruct {
    static let (firstSize, structName) = (1832, "loravk_error_detail")
}

extension loravk_device_info: VersionedStruct {
    static let (firstSize, structName) = (576, "loravk_device_info")
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
