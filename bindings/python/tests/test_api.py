"""The ctypes layer is what the header says, by the generator and by a C compiler."""
import ctypes.util, inspect, re, subprocess
from pathlib import Path

import loravk
from conftest import ROOT, run_python
from loravk import _api

import generate

PACKAGE = Path(loravk.__file__).parent


def test_the_generated_file_is_up_to_date():
    assert (PACKAGE / "_api.py").read_text() == generate.api(), "include/loravk.h changed: run bindings/python/generate.py"


def test_a_c_compiler_agrees_on_every_layout_constant_and_function():
    lines = [f'#include "{ROOT}/include/loravk.h"']
    structs = [each for each in vars(_api).values() if inspect.isclass(each) and each.__bases__ == (_api.VersionedStructure,)]
    for struct in structs:
        name = "loravk" + re.sub("([A-Z])", r"_\1", struct.__name__).lower()
        lines.append(f"_Static_assert(sizeof({name}) == {ctypes.sizeof(struct)}, \"\");")
        for field, kind in struct._fields_:
            offset, size = getattr(struct, field).offset, ctypes.sizeof(kind)
            lines.append(f"_Static_assert(offsetof({name}, {field}) == {offset}, \"{field}\");")
            lines.append(f"_Static_assert(sizeof((({name} *)0)->{field}) == {size}, \"{field}\");")
    constants = {name: number for name, number in vars(_api).items() if name.isupper() and isinstance(number, int)}
    lines += [f"_Static_assert(LORAVK_{name} == {number}, \"\");" for name, number in constants.items()]
    # As many parameters as ctypes passes, of the same sizes.
    for name, (result, arguments) in _api.PROTOTYPES.items():
        zeros = ", ".join(f"({c_type(each)})0" for each in arguments)
        lines.append(f"void use_{name}(void) {{ {name}({zeros}); }}")
        if result is not None:
            lines.append(f"_Static_assert(sizeof({name}({zeros})) == {ctypes.sizeof(result)}, \"{name}\");")
    command = ["cc", "-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-x", "c", "-"]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(structs) > 15 and len(constants) > 30


def c_type(kind):
    if not issubclass(kind, ctypes._SimpleCData) or kind in (ctypes.c_void_p, ctypes.c_char_p):
        return "void *"
    return {"c_bool": "bool", "c_float": "float", "c_double": "double", "c_int": "int32_t", "c_long": "int64_t",
            "c_ulong": "size_t", "Status": "loravk_status"}[kind.__name__]


def test_every_function_of_the_library_is_used_by_the_package():
    source = "\n".join(path.read_text() for path in PACKAGE.glob("*.py") if path.name != "_api.py")
    # Rows of one length are ragged rows too.
    known_anyway = {
        "loravk_status_name", "loravk_tensor_get_info", "loravk_version_number", "loravk_trainer_step",
        "loravk_trainer_forward_backward", "loravk_model_evaluate", "loravk_model_logits"}
    started = {f"loravk_{struct._name_}_init" for struct in _api.VersionedStructure.__subclasses__()}
    released = {f"loravk_{kind}_release" for kind in re.findall(r'_kind = "(\w+)"', source)}
    unused = [name for name in _api.PROTOTYPES if name not in released | started and not re.search(rf"\b{name}\b", source)]
    assert set(unused) == known_anyway


def test_defaults_come_from_the_library():
    """A signature has None, which the library fills in, or what switches nothing on."""
    functions = [
        loravk.Adapter.create, loravk.Trainer.__init__, loravk.AdamW.__init__, loravk.Trainer.fit, loravk.Model.evaluate_data,
        loravk.Model.generate, loravk.Model.load, loravk.plan, loravk.merge, loravk.export_adapter, loravk.Context.__init__]
    harmless = (inspect.Parameter.empty, None, False, 0, ())
    switched_on = {"shuffle", "append_end"}  # no_shuffle and no_end
    for function in functions:
        for name, parameter in inspect.signature(function).parameters.items():
            assert name in switched_on or parameter.default in harmless, f"{function.__qualname__}: {name}"


def test_the_defaults_that_people_know():
    adapter, trainer, run = _api.AdapterConfig(), _api.TrainerConfig(), _api.RunConfig()
    assert (adapter.rank, adapter.alpha, adapter.dropout) == (8, 0, 0)
    assert (trainer.learning_rate, trainer.max_grad_norm, trainer.weight_decay) == (5e-4, 1, 0)
    assert (run.batch_size, run.accumulation, run.steps, run.epochs, run.warmup_steps, run.save_every) == (8, 1, 0, 0, -1, 100)
    assert _api.DataConfig().max_tokens == 512 and _api.GenerationConfig().max_tokens == 200
    assert _api.OptimizerConfig().max_grad_norm == 0, "the algorithm alone does not clip"


def test_a_caller_that_sees_only_symbols_gets_defaults():
    """As Rust's bindgen sees the header: functions and layouts, no macros."""
    library = ctypes.CDLL(loravk._library.path())
    room = ctypes.create_string_buffer(b"\xff" * 512, 512)
    size = ctypes.sizeof(_api.AdapterConfig)
    assert library.loravk_adapter_config_init(room, ctypes.c_size_t(size)) == 0
    config = _api.AdapterConfig.from_buffer(room)
    assert (config.struct_size, config.rank, config.alpha, config.target_module_count) == (size, 8, 0, 0) and not config.data
    assert room.raw[size:] == b"\xff" * (512 - size)
    assert library.loravk_adapter_config_init(room, ctypes.c_size_t(95)) == _api.ERROR_INVALID_ARGUMENT
    assert library.loravk_version_number() == 1_000_000 * _api.VERSION_MAJOR + 1000 * _api.VERSION_MINOR + _api.VERSION_PATCH
    names = loravk.features()
    assert "ragged-batches" in names and all(loravk.has_feature(name) for name in names) and not loravk.has_feature("x")


def test_a_library_that_does_not_fit_is_refused(tmp_path):
    source = "import loravk\ntry: loravk.devices()\nexcept ImportError as error: print(error)"
    assert "cannot be loaded" in run_python(source, LORAVK_LIBRARY=str(tmp_path / "missing.so"))
    libc = ctypes.util.find_library("c")
    assert "has no loravk_version" in run_python(source, LORAVK_LIBRARY=libc)
