"""Calls every function of libloravk with arguments that are wrong: NULL, other kinds of handles, released ones, sizes and numbers
out of range, damaged text, structs of other sizes. Each must be an error with a text, or be documented as fine; nothing may end
the process. Run by test_fuzz.py in a process of its own. usage: fuzz.py MODEL DATA FOLDER
"""
import ctypes, faulthandler, math, random, sys
from ctypes import byref, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_void_p

import loravk
from loravk import _api, _library

faulthandler.enable()
lib = _library.lib
MODEL, DATA, FOLDER = (each.encode() for each in sys.argv[1:])

# Statuses come back instead of being raised.
lib.loravk_version()
CALLS = {}
for name, (result, arguments) in _api.PROTOTYPES.items():
    call = ctypes.CDLL(_library.path())[name]
    call.restype, call.argtypes = (c_int32 if result is _api.Status else result), arguments
    CALLS[name] = call


class Handle:
    """A handle of a kind; `optional`: NULL is fine."""

    def __init__(self, kind, address, optional=False):
        self.kind, self.address, self.optional = kind, address, optional


def made(function, *arguments):
    handle = c_void_p()
    status = CALLS[function](*arguments, byref(handle))
    assert status == 0, (function, CALLS["loravk_last_error"]())
    return handle.value


def tensor(*shape, dtype=0):
    return made("loravk_tensor_create", context, dtype, (c_int64 * len(shape))(*shape), len(shape))


def graph():
    assert CALLS["loravk_graph_begin"](context) == 0
    assert CALLS["loravk_scale"](square, square, 1) == 0
    return made("loravk_graph_end", context)


def c_ints(*numbers):
    return (c_int32 * len(numbers))(*numbers)


context = made("loravk_context_create", None)
square = tensor(8, 8)
model = made("loravk_model_load", context, MODEL, None)
adapter = made("loravk_adapter_create", model, None)
trainer = made("loravk_trainer_create", model, adapter, None)
parameters, gradients = (c_void_p * 1)(square), (c_void_p * 1)(tensor(8, 8))
HANDLES = {
    "context": context, "tensor": square, "graph": graph(), "model": model, "adapter": adapter, "trainer": trainer,
    "tokenizer": made("loravk_model_get_tokenizer", model),
    "optimizer": made("loravk_optimizer_create", None, parameters, gradients, 1),
    "session": made("loravk_session_create", model, None, 64)}
RELEASED = {
    "context": made("loravk_context_create", None), "tensor": tensor(3), "graph": graph(),
    "model": made("loravk_model_load", context, MODEL, None), "adapter": made("loravk_adapter_create", model, None),
    "trainer": made("loravk_trainer_create", model, adapter, None), "tokenizer": made("loravk_tokenizer_load", MODEL),
    "optimizer": made("loravk_optimizer_create", None, parameters, gradients, 1),
    "session": made("loravk_session_create", model, None, 64)}
for kind, address in RELEASED.items():
    CALLS[f"loravk_{kind}_release"](address)

# Tensors of one linear layer, one attention, one loss.
T = {name: Handle("tensor", tensor(*shape, dtype=dtype)) for name, shape, dtype in [
    ("x", (4, 8), 0), ("w", (8, 8), 0), ("a", (4, 8), 0), ("b", (8, 4), 0), ("y", (4, 8), 0), ("h", (4, 4), 0), ("dy", (4, 8), 0),
    ("dx", (4, 8), 0), ("da", (4, 8), 0), ("db", (8, 4), 0), ("rstd", (4,), 0), ("norm", (8,), 0), ("labels", (4,), 3),
    ("losses", (4,), 0), ("q", (4, 8), 0), ("k", (4, 4), 0), ("v", (4, 4), 0), ("lse", (4, 2), 0), ("dk", (4, 4), 0),
    ("dv", (4, 4), 0)]}
C, M, A, TR, TOK, S = (
    Handle(kind, HANDLES[kind]) for kind in ("context", "model", "adapter", "trainer", "tokenizer", "session"))
NO_ADAPTER = Handle("adapter", adapter, optional=True)
HEADED = Handle("adapter", made("loravk_adapter_create", model, _api.AdapterConfig(objective=b"classification:labels=3")))
TOKENS, MORE_TOKENS, FLOATS = c_ints(*[5] * 8), c_ints(*[5] * 32), (c_float * 4096)()
VOCABULARY = loravk.Model.load(MODEL.decode()).info.vocab_size
LOGITS = (c_float * (8 * VOCABULARY))()
INSPECT, NO_FINDING = _api.InspectCallback(), _api.TuneCallback(lambda *_: False)
STOP_RUN, STOP_TEXT = _api.ProgressCallback(lambda *_: False), _api.TokenCallback(lambda *_: False)
OUTPUT = FOLDER + b"-exported"
CHAT, ADAPTERS = b'[{"role": "user", "content": "hi"}]', (c_void_p * 1)(adapter)
ROLES, CONTENTS = (c_char_p * 1)(b"user"), (c_char_p * 1)(b"hi")
PAGE = 65536
ROOM = (ctypes.c_char * (3 * PAGE))()
ALIGNED = c_void_p((ctypes.addressof(ROOM) + PAGE - 1) // PAGE * PAGE)


def attention_config():
    return _api.AttentionConfig(heads=2, kv_heads=1, lengths=c_ints(1, 3), sequences=2)


def run_config():
    return _api.RunConfig(
        data=ctypes.pointer(_api.DataConfig(path=DATA)), batch_size=2, steps=2, on_progress=STOP_RUN,
        validation=ctypes.pointer(_api.DataConfig(rows=ROWS, row_count=2)))


def tune_config():
    # Given up at once: measuring takes seconds. What a whole one does is in test_training.py.
    return _api.TuneConfig(tokens=c_ints(16), token_count=1, on_finding=NO_FINDING)


def adapter_config():
    return _api.AdapterConfig(
        init=b"eva:samples=2", rank=2, target_modules=(c_char_p * 1)(b"q_proj"), target_module_count=1,
        rate_modules=(c_char_p * 1)(b"q_proj"), rate_multipliers=(c_double * 1)(2), rate_count=1,
        data=ctypes.pointer(_api.DataConfig(path=DATA, max_tokens=16)))


def plan_config():
    return _api.PlanConfig(adapter=ctypes.pointer(adapter_config()), batch_size=2, length=8)


def export_config():
    return _api.ExportConfig(overwrite=True)


def generation_config():
    return _api.GenerationConfig(
        max_tokens=3, stop_tokens=c_ints(7), stop_token_count=1, on_token=STOP_TEXT, stop_strings=ROLES, stop_string_count=1,
        top_log_probabilities=2)


# Those that a caller makes; others it only sees in callbacks.
STRUCTS = [each for each in _api.VersionedStructure.__subclasses__() if f"loravk_{each._name_}_init" in CALLS]
LENGTHS = c_ints(3, 5)
ROWS = (c_char_p * 2)(b'{"text": "sail away"}', b'{"text": "home"}')

# What each function can be called with.
VALID = {
    "version": [], "version_number": [], "abi_version": [], "has_feature": [b"x"], "feature_name": [0],
    **{f"{struct._name_}_init": [struct(), ctypes.sizeof(struct)] for struct in STRUCTS}, "status_name": [1], "last_error": [],
    "last_error_detail": [_api.ErrorDetail()], "set_log_callback": [_api.LogCallback(), 2, None, _api.Destructor()],
    "device_count": [c_size_t()], "device_get_info": [0, _api.DeviceInfo()],
    "context_create": [_api.ContextConfig(device=b"0", display_friendly=True), c_void_p()],
    "context_get_device_info": [C, _api.DeviceInfo()], "context_get_held_bytes": [C, c_int64()],
    "context_tune": [C, MODEL, tune_config], "context_is_tuned": [C, ctypes.c_bool()], "context_forget_tuning": [C],
    "tensor_create": [C, 0, (c_int64 * 2)(3, 4), 2, c_void_p()],
    "tensor_import": [C, 0, (c_int64 * 2)(4, 4), 2, ALIGNED, PAGE, None, _api.Destructor(), c_void_p()],
    "tensor_get_info": [T["x"], _api.TensorInfo()], "tensor_upload": [T["x"], FLOATS, 128],
    "tensor_download": [T["x"], FLOATS, 128], "tensor_map": [T["x"], c_void_p()], "zero": [T["x"]], "copy": [T["y"], T["x"]],
    "scale": [T["y"], T["x"], 2.0], "add": [T["y"], T["x"], T["dy"], 1.0],
    "matmul": [T["y"], T["x"], T["w"], 0, 1.0, False],
    "lora_linear_forward": [T["y"], T["h"], T["x"], T["w"], T["a"], T["b"], 1.0],
    "lora_linear_backward": [
        Handle("tensor", T["dx"].address, optional=True), *(T[each] for each in ("da", "db", "dy", "x", "h", "w", "a", "b")), 1.0,
        False],
    "rms_norm_forward": [T["y"], T["rstd"], T["x"], T["norm"], 1e-5],
    "rms_norm_backward": [T["dx"], T["dy"], T["x"], T["norm"], T["rstd"], False],
    "cross_entropy_forward": [T["losses"], T["x"], T["labels"]],
    "cross_entropy_backward": [T["dx"], T["losses"], T["x"], T["labels"], 1.0],
    "embedding": [T["y"], T["labels"], T["w"]],
    "attention_forward": [*(T[each] for each in ("y", "lse", "q", "k", "v")), attention_config],
    "attention_backward": [*(T[each] for each in ("dx", "dk", "dv", "dy", "y", "lse", "q", "k", "v")), attention_config],
    "clip_gradient_norm": [gradients, 1, 1.0, c_double()],
    "optimizer_create": [_api.OptimizerConfig(), parameters, gradients, 1, c_void_p()],
    "optimizer_step": [Handle("optimizer", HANDLES["optimizer"]), 1e-3, c_double()],
    "optimizer_zero_gradients": [Handle("optimizer", HANDLES["optimizer"])],
    "graph_begin": [C], "graph_end": [C, c_void_p()], "graph_run": [Handle("graph", HANDLES["graph"])],
    "model_load": [C, MODEL, _api.ModelConfig(weights=b"auto"), c_void_p()], "model_get_info": [M, _api.ModelInfo()],
    "model_inspect": [MODEL, INSPECT, None, _api.ModelInfo()],
    "model_linear_count": [M, c_size_t()], "model_get_linear_name": [M, 0, c_char_p()], "model_get_tokenizer": [M, c_void_p()],
    "model_logits": [M, NO_ADAPTER, TOKENS, 2, 4, LOGITS, len(LOGITS)],
    "model_logits_ragged": [M, NO_ADAPTER, TOKENS, LENGTHS, 2, LOGITS, len(LOGITS)],
    "model_evaluate_ragged": [M, NO_ADAPTER, TOKENS, TOKENS, LENGTHS, 2, _api.Evaluation()],
    "model_token_losses": [M, NO_ADAPTER, TOKENS, TOKENS, LENGTHS, 2, FLOATS, 8],
    "trainer_step_ragged": [TR, TOKENS, TOKENS, LENGTHS, 2, _api.StepResult()],
    "trainer_forward_backward_ragged": [TR, TOKENS, TOKENS, LENGTHS, 2, 0, _api.StepResult()],
    "tokenizer_load": [MODEL, c_void_p()], "tokenizer_vocab_size": [TOK, c_int32()],
    "tokenizer_special_ids": [TOK, c_int32(), c_int32(), c_int32()],
    "tokenizer_encode": [TOK, b"sail", 4, True, c_ints(*[0] * 64), 64, c_size_t()],
    "tokenizer_decode": [TOK, TOKENS, 8, False, ROOM, 1024, c_size_t()],
    "tokenizer_apply_chat_template": [TOK, ROLES, CONTENTS, 1, True, ROOM, 1024, c_size_t()],
    "adapter_create": [M, adapter_config, c_void_p()], "adapter_save": [A, FOLDER], "adapter_load": [M, FOLDER, c_void_p()],
    "adapter_inspect": [FOLDER, INSPECT, None, _api.AdapterInfo()], "adapter_get_info": [A, _api.AdapterInfo()],
    "adapter_parameter_count": [A, c_size_t()],
    "adapter_get_parameter_info": [A, 0, _api.ParameterInfo()],
    **{f"adapter_{verb}_{what}": [A, 0, FLOATS, 8 * 192] for verb in ("read", "write") for what in ("parameter", "gradient")},
    "trainer_create": [M, A, _api.TrainerConfig(), c_void_p()], "trainer_set_learning_rate": [TR, 1e-3],
    "trainer_step_count": [TR, c_int64()], "trainer_step": [TR, TOKENS, TOKENS, 2, 4, _api.StepResult()],
    "trainer_forward_backward": [TR, TOKENS, TOKENS, 2, 4, 0, _api.StepResult()], "trainer_apply": [TR, c_double()],
    "trainer_zero_gradients": [TR],
    "trainer_save_state": [TR, FOLDER + b".state"], "trainer_load_state": [TR, FOLDER + b".state"],
    "plan_training": [Handle("context", context, optional=True), MODEL, plan_config, _api.MemoryPlan()],
    "trainer_run": [TR, run_config, _api.RunResult()], "trainer_request_stop": [TR],
    "trainer_get_error_detail": [TR, _api.ErrorDetail()],
    "model_evaluate": [M, NO_ADAPTER, TOKENS, TOKENS, 2, 4, _api.Evaluation()],
    "model_feature_norms": [M, A, MORE_TOKENS, 1, 32, _api.FeatureNorms()],
    "model_evaluate_data": [M, NO_ADAPTER, _api.DataConfig(path=DATA), _api.Evaluation()],
    "export_adapter": [MODEL, FOLDER, OUTPUT + b".gguf", export_config()],
    "export_merged": [MODEL, FOLDER, OUTPUT, export_config(), _api.MergeReport()],
    "model_generate": [M, NO_ADAPTER, TOKENS, 8, generation_config, c_ints(0, 0, 0), 3, c_size_t()],
    "session_create": [M, NO_ADAPTER, 64, c_void_p()], "session_append": [S, TOKENS, 2, LOGITS, VOCABULARY],
    "session_generate": [S, generation_config, c_ints(0, 0, 0), 3, c_size_t()],
    "session_chat": [S, CHAT, generation_config, c_ints(0, 0, 0), 3, c_size_t()], "session_rewind": [S, 0],
    "session_set_adapter": [S, NO_ADAPTER], "session_get_info": [S, _api.SessionInfo()],
    "session_get_tokens": [S, c_ints(*[0] * 64), 64, c_size_t()],
    "adapter_label_count": [HEADED, c_size_t()], "adapter_get_label": [HEADED, 0, c_char_p()],
    "model_scores": [M, HEADED, TOKENS, LENGTHS, 2, FLOATS, 6], "model_classify": [M, HEADED, TOKENS, LENGTHS, 2, FLOATS, 6],
    "model_embed": [M, NO_ADAPTER, CONTENTS, 1, b"mean", 1, FLOATS, 192],
    "export_model": [MODEL, OUTPUT + b".f16.gguf", export_config()],
    "adapter_mix": [M, ADAPTERS, (c_double * 1)(0.5), 1, c_void_p()],
}
# A number that is right, and asks for years of work.
PATIENCE = {"accumulation"}
INTEGERS = [0, -1, 2**31 - 1, -(2**31), 2**62, 2**63 - 1, -(2**63), 2**64 - 1]
FLOATING = [math.nan, math.inf, -math.inf, -1.0, 0.0, 1e308, -1e-320]
STRINGS = [None, b"", b"\xff\xfe\xc0", b"no/such/thing", b"x" * 100_000, b"a:b=c,d=:,=", b"\xed\xa0\x80"]


def value_of(argument):
    if callable(argument) and not isinstance(argument, ctypes._CFuncPtr):
        argument = argument()
    return argument


def wrong(argument, kind):
    """Values to put in the place of one."""
    argument = value_of(argument)
    if isinstance(argument, Handle):
        others = [address for name, address in HANDLES.items() if name != argument.kind]
        return [Wrong(each) for each in [*([] if argument.optional else [None]), 1, 0xDEADBEEF0, 2**64 - 8, RELEASED[argument.kind],
                                         *others]]
    if isinstance(argument, _api.VersionedStructure):
        return [None, *wrong_structs(argument)]
    if isinstance(argument, bool):
        return [not argument]
    if kind in (c_double, c_float):
        return FLOATING
    if isinstance(argument, int):
        # Sizes of the caller's memory cannot be checked: only what no memory can be.
        return [number for number in INTEGERS if kind is not c_size_t or number in (0, 2**62, 2**63 - 1, 2**64 - 1)]
    if isinstance(argument, bytes):
        return STRINGS
    if isinstance(argument, ctypes._CFuncPtr):
        return []
    return [None]


class Wrong:
    """An argument that must be refused as a handle."""

    def __init__(self, address):
        self.address = address


def wrong_structs(struct):
    def changed(name, value):
        copy = type(struct).from_buffer_copy(struct)
        copy.keep = struct
        setattr(copy, name, value)
        return copy

    for name, kind in struct._fields_:
        if name in PATIENCE:
            continue
        if name == "struct_size":
            values = [0, 1, 7, 2**31, 2**64 - 1]
        elif kind in (c_double, c_float):
            values = FLOATING
        elif kind is c_char_p:
            values = STRINGS
        elif issubclass(kind, ctypes._SimpleCData) and kind not in (c_void_p, ctypes.c_bool):
            values = INTEGERS if kind is not c_size_t else [0, 2**62, 2**63 - 1, 2**64 - 1]
        elif isinstance(kind, type(ctypes.POINTER(c_int32))) and issubclass(kind, ctypes._Pointer):
            values = [None]
            if issubclass(kind._type_, _api.VersionedStructure) and getattr(struct, name):
                values += [ctypes.pointer(each) for each in wrong_structs(getattr(struct, name).contents)]
        else:
            continue
        yield from (changed(name, value) for value in values)


def passed(argument, kind):
    argument = value_of(argument)
    if isinstance(argument, (Handle, Wrong)):
        return argument.address
    if isinstance(argument, _api.VersionedStructure):
        return byref(argument)
    if kind is c_void_p and isinstance(argument, ctypes.Array):
        return ctypes.addressof(argument)
    return argument


def attempt(name, arguments, changes=1):
    function = CALLS["loravk_" + name]
    if name == "graph_end":
        CALLS["loravk_graph_begin"](context)
    result = function(*(passed(argument, kind) for argument, kind in zip(arguments, function.argtypes)))
    told = CALLS["loravk_last_error"]()
    if name in ("graph_begin", "graph_end"):
        CALLS["loravk_graph_end"](context, byref(c_void_p()))
    if _api.PROTOTYPES["loravk_" + name][0] is _api.Status and result != 0:
        assert told, f"{name}: status {result} without a text"
        assert result != _api.ERROR_INTERNAL, f"{name}: {told}"
        if changes == 1 and any(isinstance(argument, Wrong) for argument in arguments):
            assert result == _api.ERROR_INVALID_HANDLE, f"{name}: {result}, {told}"
    elif name != "trainer_request_stop":
        assert not any(isinstance(argument, Wrong) for argument in arguments), f"{name} took a wrong handle"
    return result


def main():
    releases = {name for name in _api.PROTOTYPES if name.endswith("_release")}
    assert {"loravk_" + name for name in VALID} | releases == set(CALLS), "a function is not tried"
    for name in releases:
        for bad in [None, 1, 2**64 - 8, *RELEASED.values(), *(each for kind, each in HANDLES.items() if kind not in name)]:
            CALLS[name](bad)
    calls, choice = 0, random.Random(0)
    for name, arguments in VALID.items():
        print(name, flush=True)
        given_up = _api.ERROR_INVALID_STATE if name == "context_tune" else 0
        if attempt(name, arguments) not in (given_up, _api.ERROR_UNSUPPORTED) and _api.PROTOTYPES["loravk_" + name][0] is _api.Status:
            raise AssertionError(f"{name} should work: {CALLS['loravk_last_error']()}")
        kinds = CALLS["loravk_" + name].argtypes
        choices = [(index, bad) for index, (argument, kind) in enumerate(zip(arguments, kinds)) for bad in wrong(argument, kind)]
        pairs = [choice.sample(choices, 2) for _ in range(20)] if len(choices) > 1 else []
        for changes in [[each] for each in choices] + pairs:
            changed = list(arguments)
            for index, bad in changes:
                changed[index] = bad
            attempt(name, changed, len(changes))
            calls += 1
        # Still alive, and still right.
        assert CALLS["loravk_scale"](square, square, 1) == 0
    assert attempt("trainer_step", VALID["trainer_step"]) == 0
    print(f"{calls} wrong calls")


main()
