"""The C API as ctypes sees it. Written by generate.py from include/loravk.h: change that and run it again."""
from ctypes import (
    CFUNCTYPE, POINTER, Structure, byref, c_bool, c_char, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint8, c_uint32,
    c_uint64, c_void_p, sizeof)
from typing import Any

VERSION = "0.1.0"

OK = 0
ERROR_INVALID_ARGUMENT = 1
ERROR_INVALID_HANDLE = 2
ERROR_INVALID_STATE = 3
ERROR_BUSY = 4
ERROR_BUFFER_TOO_SMALL = 5
ERROR_FILE = 6
ERROR_NO_DEVICE = 7
ERROR_UNSUPPORTED = 8
ERROR_OUT_OF_MEMORY = 9
ERROR_DEVICE_LOST = 10
ERROR_DRIVER = 11
ERROR_DIVERGED = 12
ERROR_FORKED = 13
ERROR_INTERNAL = 14
LOG_DEBUG = 0
LOG_INFO = 1
LOG_WARNING = 2
LOG_ERROR = 3
DEVICE_DISCRETE = 0
DEVICE_INTEGRATED = 1
DEVICE_VIRTUAL = 2
DEVICE_CPU = 3
DEVICE_OTHER = 4
F32 = 0
F16 = 1
BF16 = 2
I32 = 3
MATMUL_NN = 0
MATMUL_NT = 1
MATMUL_TN = 2
RUN_FINISHED = 0
RUN_STOPPED = 1
RUN_PATIENCE = 2
RUN_TIME = 3
VERSION_MAJOR = 0
VERSION_MINOR = 1
VERSION_PATCH = 0
ABI_VERSION = 0
MAX_DIMENSIONS = 8
MAX_METRICS = 16


class Status(c_int32):
    """A class of its own, so that it is seen which functions return one."""


class VersionedStructure(Structure):
    """Begins with its size; fields that are not given, or None, have the library's defaults."""

    _name_: str
    _library_: Any  # which knows the defaults: set by the module that loads it

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        getattr(self._library_, f"loravk_{self._name_}_init")(byref(self), sizeof(type(self)))
        for name, value in fields.items():
            if value is None:
                continue
            setattr(self, name, value)
            if isinstance(value, int) and getattr(self, name) != value:
                raise ValueError(f"{name} is {value}, which does not fit its {8 * getattr(type(self), name).size} bits")

LogCallback = CFUNCTYPE(None, c_void_p, c_int32, POINTER(c_char))
Destructor = CFUNCTYPE(None, c_void_p)
LoadCallback = CFUNCTYPE(c_bool, c_void_p, c_int64, c_int64)
InspectCallback = CFUNCTYPE(None, c_void_p, POINTER(c_char), POINTER(c_char), POINTER(c_int64), c_size_t)
DataCallback = CFUNCTYPE(c_bool, c_void_p, c_int64, c_int64)
WarningCallback = CFUNCTYPE(None, c_void_p, POINTER(c_char))
SaveCallback = CFUNCTYPE(None, c_void_p, c_int64, POINTER(c_char))
SampleCallback = CFUNCTYPE(None, c_void_p, c_int64, POINTER(c_char), POINTER(c_char))
TokenCallback = CFUNCTYPE(c_bool, c_void_p, c_int32, POINTER(c_char), c_size_t)
ChoiceCallback = CFUNCTYPE(None, c_void_p, c_int32, c_double, POINTER(c_int32), POINTER(c_double), c_size_t)
ExportCallback = CFUNCTYPE(c_bool, c_void_p, c_int64, c_int64)


class ErrorDetail(VersionedStructure):
    _name_ = "error_detail"
    _fields_ = [
        ("struct_size", c_size_t), ("status", c_int32), ("vk_result", c_int32), ("system_errno", c_int32),
        ("reserved", c_int32), ("byte_offset", c_int64), ("line", c_int64), ("path", c_char * 512),
        ("tensor", c_char * 256), ("message", c_char * 1024)]


class DeviceInfo(VersionedStructure):
    _name_ = "device_info"
    _fields_ = [
        ("struct_size", c_size_t), ("name", c_char * 256), ("driver", c_char * 256), ("type", c_int32),
        ("vulkan_major", c_int32), ("vulkan_minor", c_int32), ("vendor_id", c_uint32), ("device_id", c_uint32),
        ("subgroup_size", c_int32), ("memory_bytes", c_int64), ("max_allocation_bytes", c_int64),
        ("max_storage_buffer_bytes", c_int64), ("import_alignment_bytes", c_int64), ("max_workgroup_size", c_int32),
        ("reserved", c_int32)]


class ContextConfig(VersionedStructure):
    _name_ = "context_config"
    _fields_ = [
        ("struct_size", c_size_t), ("device", c_char_p), ("display_friendly", c_bool), ("reserved", c_uint8 * 7)]


class TensorInfo(VersionedStructure):
    _name_ = "tensor_info"
    _fields_ = [
        ("struct_size", c_size_t), ("dtype", c_int32), ("dimensions", c_int32), ("shape", c_int64 * 8),
        ("byte_count", c_int64)]


class AttentionConfig(VersionedStructure):
    _name_ = "attention_config"
    _fields_ = [
        ("struct_size", c_size_t), ("heads", c_int32), ("kv_heads", c_int32), ("lengths", POINTER(c_int32)),
        ("sequences", c_size_t)]


class OptimizerConfig(VersionedStructure):
    _name_ = "optimizer_config"
    _fields_ = [
        ("struct_size", c_size_t), ("beta1", c_double), ("beta2", c_double), ("epsilon", c_double),
        ("weight_decay", c_double), ("max_grad_norm", c_double)]


class ModelConfig(VersionedStructure):
    _name_ = "model_config"
    _fields_ = [
        ("struct_size", c_size_t), ("weights", c_char_p), ("on_progress", LoadCallback), ("user_data", c_void_p)]


class ModelInfo(VersionedStructure):
    _name_ = "model_info"
    _fields_ = [
        ("struct_size", c_size_t), ("vocab_size", c_int32), ("hidden_size", c_int32), ("intermediate_size", c_int32),
        ("layers", c_int32), ("heads", c_int32), ("kv_heads", c_int32), ("head_size", c_int32),
        ("context_length", c_int32), ("weight_bytes", c_int64), ("model_type", c_char * 64), ("parameters", c_int64)]


class DataConfig(VersionedStructure):
    _name_ = "data_config"
    _fields_ = [
        ("struct_size", c_size_t), ("path", c_char_p), ("prompt_template", c_char_p), ("completion_template", c_char_p),
        ("max_tokens", c_int32), ("learn_prompts", c_bool), ("no_end", c_bool), ("reserved", c_uint8 * 2),
        ("on_progress", DataCallback), ("user_data", c_void_p), ("rows", POINTER(c_char_p)), ("row_count", c_size_t),
        ("format", c_char_p), ("objective", c_char_p)]


class AdapterConfig(VersionedStructure):
    _name_ = "adapter_config"
    _fields_ = [
        ("struct_size", c_size_t), ("method", c_char_p), ("init", c_char_p), ("rank", c_int32), ("use_rslora", c_bool),
        ("reserved", c_uint8 * 3), ("alpha", c_double), ("dropout", c_double), ("target_modules", POINTER(c_char_p)),
        ("target_module_count", c_size_t), ("rate_modules", POINTER(c_char_p)), ("rate_multipliers", POINTER(c_double)),
        ("rate_count", c_size_t), ("seed", c_uint64), ("data", POINTER(DataConfig)), ("objective", c_char_p),
        ("labels", POINTER(c_char_p)), ("label_count", c_size_t), ("modules_to_save", POINTER(c_char_p)),
        ("module_to_save_count", c_size_t)]


class AdapterInfo(VersionedStructure):
    _name_ = "adapter_info"
    _fields_ = [
        ("struct_size", c_size_t), ("rank", c_int32), ("modules", c_int32), ("parameters", c_int64),
        ("alpha", c_double), ("dropout", c_double), ("use_rslora", c_bool), ("reserved", c_uint8 * 7),
        ("method", c_char * 256), ("base_model", c_char * 512)]


class ParameterInfo(VersionedStructure):
    _name_ = "parameter_info"
    _fields_ = [
        ("struct_size", c_size_t), ("name", c_char_p), ("count", c_int64), ("dimensions", c_int32),
        ("reserved", c_int32), ("shape", c_int64 * 8)]


class TrainerConfig(VersionedStructure):
    _name_ = "trainer_config"
    _fields_ = [
        ("struct_size", c_size_t), ("learning_rate", c_double), ("beta1", c_double), ("beta2", c_double),
        ("epsilon", c_double), ("weight_decay", c_double), ("max_grad_norm", c_double), ("seed", c_uint64),
        ("recomputed_blocks", c_int32), ("reserved", c_int32), ("objective", c_char_p), ("optimizer", c_char_p),
        ("neftune", c_double)]


class StepResult(VersionedStructure):
    _name_ = "step_result"
    _fields_ = [
        ("struct_size", c_size_t), ("loss", c_double), ("grad_norm", c_double), ("seconds", c_double),
        ("tokens", c_int64), ("counted_tokens", c_int64)]


class Metric(VersionedStructure):
    _name_ = "metric"
    _fields_ = [("name", c_char_p), ("value", c_double)]


class Progress(VersionedStructure):
    _name_ = "progress"
    _fields_ = [
        ("struct_size", c_size_t), ("step", c_int64), ("steps", c_int64), ("loss", c_double), ("grad_norm", c_double),
        ("learning_rate", c_double), ("seconds", c_double), ("tokens_per_second", c_double), ("seconds_left", c_double),
        ("validation_loss", c_double), ("tokens", c_int64), ("counted_tokens", c_int64), ("metrics", POINTER(Metric)),
        ("metric_count", c_size_t), ("validation_metrics", POINTER(Metric)), ("validation_metric_count", c_size_t)]

ProgressCallback = CFUNCTYPE(c_bool, c_void_p, POINTER(Progress))


class RunConfig(VersionedStructure):
    _name_ = "run_config"
    _fields_ = [
        ("struct_size", c_size_t), ("data", POINTER(DataConfig)), ("output", c_char_p), ("schedule", c_char_p),
        ("warmup_steps", c_int32), ("batch_size", c_int32), ("accumulation", c_int32), ("save_every", c_int32),
        ("validate_every", c_int32), ("overwrite", c_bool), ("no_shuffle", c_bool), ("reserved", c_uint8 * 2),
        ("steps", c_int64), ("tokens_per_pass", c_int64), ("seed", c_uint64), ("on_progress", ProgressCallback),
        ("on_warning", WarningCallback), ("user_data", c_void_p), ("epochs", c_double), ("resume", c_bool),
        ("reserved_2", c_uint8 * 7), ("validation", POINTER(DataConfig)), ("keep_checkpoints", c_int32),
        ("patience", c_int32), ("min_improvement", c_double), ("max_seconds", c_double), ("keep_best", c_bool),
        ("reserved_3", c_uint8 * 3), ("sample_tokens", c_int32), ("sample_prompts", POINTER(c_char_p)),
        ("sample_count", c_size_t), ("on_sample", SampleCallback), ("on_save", SaveCallback)]


class RunResult(VersionedStructure):
    _name_ = "run_result"
    _fields_ = [
        ("struct_size", c_size_t), ("steps", c_int64), ("stopped", c_bool), ("reserved", c_uint8 * 7),
        ("loss", c_double), ("validation_loss", c_double), ("best_step", c_int64), ("best_validation_loss", c_double),
        ("ending", c_int32), ("reserved_2", c_int32)]


class PlanConfig(VersionedStructure):
    _name_ = "plan_config"
    _fields_ = [
        ("struct_size", c_size_t), ("weights", c_char_p), ("adapter", POINTER(AdapterConfig)),
        ("budget_bytes", c_int64), ("batch_size", c_int32), ("length", c_int32), ("recomputed_blocks", c_int32),
        ("reserved", c_int32), ("optimizer", c_char_p)]


class MemoryPlan(VersionedStructure):
    _name_ = "memory_plan"
    _fields_ = [
        ("struct_size", c_size_t), ("weight_bytes", c_int64), ("adapter_bytes", c_int64), ("optimizer_bytes", c_int64),
        ("activation_bytes", c_int64), ("token_bytes", c_int64), ("unused_bytes", c_int64), ("total_bytes", c_int64),
        ("available_bytes", c_int64), ("tokens_per_pass", c_int64), ("recomputed_blocks", c_int32),
        ("reserved", c_int32)]


class TuneFinding(VersionedStructure):
    _name_ = "tune_finding"
    _fields_ = [
        ("struct_size", c_size_t), ("product", c_char_p), ("rule_flops_per_second", c_double),
        ("best_flops_per_second", c_double)]

TuneCallback = CFUNCTYPE(c_bool, c_void_p, POINTER(TuneFinding))


class TuneConfig(VersionedStructure):
    _name_ = "tune_config"
    _fields_ = [
        ("struct_size", c_size_t), ("weights", c_char_p), ("tokens", POINTER(c_int32)), ("token_count", c_size_t),
        ("no_matrix_units", c_bool), ("reserved", c_uint8 * 7), ("on_finding", TuneCallback), ("user_data", c_void_p)]


class Evaluation(VersionedStructure):
    _name_ = "evaluation"
    _fields_ = [
        ("struct_size", c_size_t), ("loss", c_double), ("counted_tokens", c_int64), ("correct", c_int64),
        ("examples", c_int64), ("correct_examples", c_int64), ("metric_count", c_size_t), ("metrics", Metric * 16)]


class FeatureNorms(VersionedStructure):
    _name_ = "feature_norms"
    _fields_ = [("struct_size", c_size_t), ("z_a", c_double), ("z_b", c_double)]


class GenerationConfig(VersionedStructure):
    _name_ = "generation_config"
    _fields_ = [
        ("struct_size", c_size_t), ("max_tokens", c_int32), ("top_k", c_int32), ("temperature", c_double),
        ("top_p", c_double), ("repetition_penalty", c_double), ("seed", c_uint64), ("stop_tokens", POINTER(c_int32)),
        ("stop_token_count", c_size_t), ("on_token", TokenCallback), ("user_data", c_void_p),
        ("stop_strings", POINTER(c_char_p)), ("stop_string_count", c_size_t), ("top_log_probabilities", c_int32),
        ("reserved", c_uint8 * 4), ("on_choice", ChoiceCallback)]


class SessionInfo(VersionedStructure):
    _name_ = "session_info"
    _fields_ = [
        ("struct_size", c_size_t), ("tokens", c_int64), ("capacity", c_int64), ("kept_tokens", c_int64),
        ("prompt_tokens", c_int64), ("answer_tokens", c_int64), ("prompt_seconds", c_double),
        ("answer_seconds", c_double), ("finish_reason", c_char * 32)]


class ExportConfig(VersionedStructure):
    _name_ = "export_config"
    _fields_ = [
        ("struct_size", c_size_t), ("type", c_char_p), ("max_shard_bytes", c_int64), ("overwrite", c_bool),
        ("reserved", c_uint8 * 7), ("on_tensor", ExportCallback), ("user_data", c_void_p)]


class MergeReport(VersionedStructure):
    _name_ = "merge_report"
    _fields_ = [
        ("struct_size", c_size_t), ("modules", c_int64), ("kept", c_double), ("relative_error", c_double),
        ("type", c_char * 16)]


# name: (result, arguments)
PROTOTYPES = {
    "loravk_version": (c_char_p, []),
    "loravk_version_number": (c_int32, []),
    "loravk_abi_version": (c_int32, []),
    "loravk_has_feature": (c_bool, [c_char_p]),
    "loravk_feature_name": (c_char_p, [c_size_t]),
    "loravk_status_name": (c_char_p, [c_int32]),
    "loravk_last_error": (c_char_p, []),
    "loravk_error_detail_init": (Status, [POINTER(ErrorDetail), c_size_t]),
    "loravk_last_error_detail": (Status, [POINTER(ErrorDetail)]),
    "loravk_set_log_callback": (Status, [LogCallback, c_int32, c_void_p, Destructor]),
    "loravk_device_info_init": (Status, [POINTER(DeviceInfo), c_size_t]),
    "loravk_device_count": (Status, [POINTER(c_size_t)]),
    "loravk_device_get_info": (Status, [c_size_t, POINTER(DeviceInfo)]),
    "loravk_context_config_init": (Status, [POINTER(ContextConfig), c_size_t]),
    "loravk_context_create": (Status, [POINTER(ContextConfig), POINTER(c_void_p)]),
    "loravk_context_get_device_info": (Status, [c_void_p, POINTER(DeviceInfo)]),
    "loravk_context_get_held_bytes": (Status, [c_void_p, POINTER(c_int64)]),
    "loravk_context_release": (None, [c_void_p]),
    "loravk_tensor_info_init": (Status, [POINTER(TensorInfo), c_size_t]),
    "loravk_tensor_create": (Status, [c_void_p, c_int32, POINTER(c_int64), c_size_t, POINTER(c_void_p)]),
    "loravk_tensor_import": (Status, [
        c_void_p, c_int32, POINTER(c_int64), c_size_t, c_void_p, c_size_t, c_void_p, Destructor, POINTER(c_void_p)]),
    "loravk_tensor_get_info": (Status, [c_void_p, POINTER(TensorInfo)]),
    "loravk_tensor_upload": (Status, [c_void_p, c_void_p, c_size_t]),
    "loravk_tensor_download": (Status, [c_void_p, c_void_p, c_size_t]),
    "loravk_tensor_map": (Status, [c_void_p, POINTER(c_void_p)]),
    "loravk_tensor_release": (None, [c_void_p]),
    "loravk_zero": (Status, [c_void_p]),
    "loravk_copy": (Status, [c_void_p, c_void_p]),
    "loravk_scale": (Status, [c_void_p, c_void_p, c_float]),
    "loravk_add": (Status, [c_void_p, c_void_p, c_void_p, c_float]),
    "loravk_matmul": (Status, [c_void_p, c_void_p, c_void_p, c_int32, c_float, c_bool]),
    "loravk_lora_linear_forward": (Status, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_float]),
    "loravk_lora_linear_backward": (Status, [
        c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_float, c_bool]),
    "loravk_rms_norm_forward": (Status, [c_void_p, c_void_p, c_void_p, c_void_p, c_float]),
    "loravk_rms_norm_backward": (Status, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_bool]),
    "loravk_cross_entropy_forward": (Status, [c_void_p, c_void_p, c_void_p]),
    "loravk_cross_entropy_backward": (Status, [c_void_p, c_void_p, c_void_p, c_void_p, c_float]),
    "loravk_embedding": (Status, [c_void_p, c_void_p, c_void_p]),
    "loravk_attention_config_init": (Status, [POINTER(AttentionConfig), c_size_t]),
    "loravk_attention_forward": (Status, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(AttentionConfig)]),
    "loravk_attention_backward": (Status, [
        c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p,
        POINTER(AttentionConfig)]),
    "loravk_clip_gradient_norm": (Status, [POINTER(c_void_p), c_size_t, c_double, POINTER(c_double)]),
    "loravk_optimizer_config_init": (Status, [POINTER(OptimizerConfig), c_size_t]),
    "loravk_optimizer_create": (Status, [
        POINTER(OptimizerConfig), POINTER(c_void_p), POINTER(c_void_p), c_size_t, POINTER(c_void_p)]),
    "loravk_optimizer_step": (Status, [c_void_p, c_double, POINTER(c_double)]),
    "loravk_optimizer_zero_gradients": (Status, [c_void_p]),
    "loravk_optimizer_release": (None, [c_void_p]),
    "loravk_graph_begin": (Status, [c_void_p]),
    "loravk_graph_end": (Status, [c_void_p, POINTER(c_void_p)]),
    "loravk_graph_run": (Status, [c_void_p]),
    "loravk_graph_release": (None, [c_void_p]),
    "loravk_model_config_init": (Status, [POINTER(ModelConfig), c_size_t]),
    "loravk_model_info_init": (Status, [POINTER(ModelInfo), c_size_t]),
    "loravk_model_load": (Status, [c_void_p, c_char_p, POINTER(ModelConfig), POINTER(c_void_p)]),
    "loravk_model_get_info": (Status, [c_void_p, POINTER(ModelInfo)]),
    "loravk_model_inspect": (Status, [c_char_p, InspectCallback, c_void_p, POINTER(ModelInfo)]),
    "loravk_model_linear_count": (Status, [c_void_p, POINTER(c_size_t)]),
    "loravk_model_get_linear_name": (Status, [c_void_p, c_size_t, POINTER(c_char_p)]),
    "loravk_model_get_tokenizer": (Status, [c_void_p, POINTER(c_void_p)]),
    "loravk_model_logits": (Status, [
        c_void_p, c_void_p, POINTER(c_int32), c_size_t, c_size_t, POINTER(c_float), c_size_t]),
    "loravk_model_logits_ragged": (Status, [
        c_void_p, c_void_p, POINTER(c_int32), POINTER(c_int32), c_size_t, POINTER(c_float), c_size_t]),
    "loravk_model_release": (None, [c_void_p]),
    "loravk_tokenizer_load": (Status, [c_char_p, POINTER(c_void_p)]),
    "loravk_tokenizer_vocab_size": (Status, [c_void_p, POINTER(c_int32)]),
    "loravk_tokenizer_special_ids": (Status, [c_void_p, POINTER(c_int32), POINTER(c_int32), POINTER(c_int32)]),
    "loravk_tokenizer_encode": (Status, [
        c_void_p, c_char_p, c_size_t, c_bool, POINTER(c_int32), c_size_t, POINTER(c_size_t)]),
    "loravk_tokenizer_decode": (Status, [
        c_void_p, POINTER(c_int32), c_size_t, c_bool, c_char_p, c_size_t, POINTER(c_size_t)]),
    "loravk_tokenizer_apply_chat_template": (Status, [
        c_void_p, POINTER(c_char_p), POINTER(c_char_p), c_size_t, c_bool, c_char_p, c_size_t, POINTER(c_size_t)]),
    "loravk_tokenizer_release": (None, [c_void_p]),
    "loravk_data_config_init": (Status, [POINTER(DataConfig), c_size_t]),
    "loravk_adapter_config_init": (Status, [POINTER(AdapterConfig), c_size_t]),
    "loravk_adapter_create": (Status, [c_void_p, POINTER(AdapterConfig), POINTER(c_void_p)]),
    "loravk_adapter_load": (Status, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "loravk_adapter_save": (Status, [c_void_p, c_char_p]),
    "loravk_adapter_info_init": (Status, [POINTER(AdapterInfo), c_size_t]),
    "loravk_adapter_get_info": (Status, [c_void_p, POINTER(AdapterInfo)]),
    "loravk_adapter_inspect": (Status, [c_char_p, InspectCallback, c_void_p, POINTER(AdapterInfo)]),
    "loravk_parameter_info_init": (Status, [POINTER(ParameterInfo), c_size_t]),
    "loravk_adapter_parameter_count": (Status, [c_void_p, POINTER(c_size_t)]),
    "loravk_adapter_get_parameter_info": (Status, [c_void_p, c_size_t, POINTER(ParameterInfo)]),
    "loravk_adapter_read_parameter": (Status, [c_void_p, c_size_t, POINTER(c_float), c_size_t]),
    "loravk_adapter_write_parameter": (Status, [c_void_p, c_size_t, POINTER(c_float), c_size_t]),
    "loravk_adapter_read_gradient": (Status, [c_void_p, c_size_t, POINTER(c_float), c_size_t]),
    "loravk_adapter_write_gradient": (Status, [c_void_p, c_size_t, POINTER(c_float), c_size_t]),
    "loravk_adapter_release": (None, [c_void_p]),
    "loravk_adapter_label_count": (Status, [c_void_p, POINTER(c_size_t)]),
    "loravk_adapter_get_label": (Status, [c_void_p, c_size_t, POINTER(c_char_p)]),
    "loravk_adapter_mix": (Status, [c_void_p, POINTER(c_void_p), POINTER(c_double), c_size_t, POINTER(c_void_p)]),
    "loravk_trainer_config_init": (Status, [POINTER(TrainerConfig), c_size_t]),
    "loravk_step_result_init": (Status, [POINTER(StepResult), c_size_t]),
    "loravk_trainer_create": (Status, [c_void_p, c_void_p, POINTER(TrainerConfig), POINTER(c_void_p)]),
    "loravk_trainer_set_learning_rate": (Status, [c_void_p, c_double]),
    "loravk_trainer_step_count": (Status, [c_void_p, POINTER(c_int64)]),
    "loravk_trainer_step": (Status, [
        c_void_p, POINTER(c_int32), POINTER(c_int32), c_size_t, c_size_t, POINTER(StepResult)]),
    "loravk_trainer_forward_backward": (Status, [
        c_void_p, POINTER(c_int32), POINTER(c_int32), c_size_t, c_size_t, c_int64, POINTER(StepResult)]),
    "loravk_trainer_step_ragged": (Status, [
        c_void_p, POINTER(c_int32), POINTER(c_int32), POINTER(c_int32), c_size_t, POINTER(StepResult)]),
    "loravk_trainer_forward_backward_ragged": (Status, [
        c_void_p, POINTER(c_int32), POINTER(c_int32), POINTER(c_int32), c_size_t, c_int64, POINTER(StepResult)]),
    "loravk_trainer_apply": (Status, [c_void_p, POINTER(c_double)]),
    "loravk_trainer_zero_gradients": (Status, [c_void_p]),
    "loravk_trainer_save_state": (Status, [c_void_p, c_char_p]),
    "loravk_trainer_load_state": (Status, [c_void_p, c_char_p]),
    "loravk_run_config_init": (Status, [POINTER(RunConfig), c_size_t]),
    "loravk_run_result_init": (Status, [POINTER(RunResult), c_size_t]),
    "loravk_trainer_run": (Status, [c_void_p, POINTER(RunConfig), POINTER(RunResult)]),
    "loravk_trainer_request_stop": (None, [c_void_p]),
    "loravk_trainer_get_error_detail": (Status, [c_void_p, POINTER(ErrorDetail)]),
    "loravk_trainer_release": (None, [c_void_p]),
    "loravk_plan_config_init": (Status, [POINTER(PlanConfig), c_size_t]),
    "loravk_memory_plan_init": (Status, [POINTER(MemoryPlan), c_size_t]),
    "loravk_plan_training": (Status, [c_void_p, c_char_p, POINTER(PlanConfig), POINTER(MemoryPlan)]),
    "loravk_tune_config_init": (Status, [POINTER(TuneConfig), c_size_t]),
    "loravk_context_tune": (Status, [c_void_p, c_char_p, POINTER(TuneConfig)]),
    "loravk_context_is_tuned": (Status, [c_void_p, POINTER(c_bool)]),
    "loravk_context_forget_tuning": (Status, [c_void_p]),
    "loravk_evaluation_init": (Status, [POINTER(Evaluation), c_size_t]),
    "loravk_model_evaluate": (Status, [
        c_void_p, c_void_p, POINTER(c_int32), POINTER(c_int32), c_size_t, c_size_t, POINTER(Evaluation)]),
    "loravk_model_evaluate_ragged": (Status, [
        c_void_p, c_void_p, POINTER(c_int32), POINTER(c_int32), POINTER(c_int32), c_size_t, POINTER(Evaluation)]),
    "loravk_model_token_losses": (Status, [
        c_void_p, c_void_p, POINTER(c_int32), POINTER(c_int32), POINTER(c_int32), c_size_t, POINTER(c_float), c_size_t]),
    "loravk_model_evaluate_data": (Status, [c_void_p, c_void_p, POINTER(DataConfig), POINTER(Evaluation)]),
    "loravk_feature_norms_init": (Status, [POINTER(FeatureNorms), c_size_t]),
    "loravk_model_feature_norms": (Status, [
        c_void_p, c_void_p, POINTER(c_int32), c_size_t, c_size_t, POINTER(FeatureNorms)]),
    "loravk_model_scores": (Status, [
        c_void_p, c_void_p, POINTER(c_int32), POINTER(c_int32), c_size_t, POINTER(c_float), c_size_t]),
    "loravk_model_classify": (Status, [
        c_void_p, c_void_p, POINTER(c_int32), POINTER(c_int32), c_size_t, POINTER(c_float), c_size_t]),
    "loravk_generation_config_init": (Status, [POINTER(GenerationConfig), c_size_t]),
    "loravk_model_generate": (Status, [
        c_void_p, c_void_p, POINTER(c_int32), c_size_t, POINTER(GenerationConfig), POINTER(c_int32), c_size_t,
        POINTER(c_size_t)]),
    "loravk_session_info_init": (Status, [POINTER(SessionInfo), c_size_t]),
    "loravk_session_create": (Status, [c_void_p, c_void_p, c_int64, POINTER(c_void_p)]),
    "loravk_session_append": (Status, [c_void_p, POINTER(c_int32), c_size_t, POINTER(c_float), c_size_t]),
    "loravk_session_generate": (Status, [
        c_void_p, POINTER(GenerationConfig), POINTER(c_int32), c_size_t, POINTER(c_size_t)]),
    "loravk_session_chat": (Status, [
        c_void_p, c_char_p, POINTER(GenerationConfig), POINTER(c_int32), c_size_t, POINTER(c_size_t)]),
    "loravk_session_rewind": (Status, [c_void_p, c_size_t]),
    "loravk_session_set_adapter": (Status, [c_void_p, c_void_p]),
    "loravk_session_get_info": (Status, [c_void_p, POINTER(SessionInfo)]),
    "loravk_session_get_tokens": (Status, [c_void_p, POINTER(c_int32), c_size_t, POINTER(c_size_t)]),
    "loravk_session_release": (None, [c_void_p]),
    "loravk_export_config_init": (Status, [POINTER(ExportConfig), c_size_t]),
    "loravk_export_adapter": (Status, [c_char_p, c_char_p, c_char_p, POINTER(ExportConfig)]),
    "loravk_merge_report_init": (Status, [POINTER(MergeReport), c_size_t]),
    "loravk_export_merged": (Status, [c_char_p, c_char_p, c_char_p, POINTER(ExportConfig), POINTER(MergeReport)]),
}
