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
    known_anyway = {"loravk_status_name", "loravk_tensor_get_info"}
    released = {f"loravk_{kind}_release" for kind in re.findall(r'_kind = "(\w+)"', source)}
    unused = [name for name in _api.PROTOTYPES if name not in released and not re.search(rf"\b{name}\b", source)]
    assert set(unused) == known_anyway


def test_defaults_are_those_of_the_header():
    """Python shows them in signatures; here they are held against the library's."""
    renamed = {"eps": "epsilon", "seed": "seed"}
    pairs = [
        (loravk.Adapter.create, _api.AdapterConfig), (loravk.Trainer.__init__, _api.TrainerConfig),
        (loravk.AdamW.__init__, _api.OptimizerConfig), (loravk.Trainer.fit, _api.RunConfig), (loravk.Trainer.fit, _api.DataConfig),
        (loravk.Model.evaluate_data, _api.DataConfig), (loravk.Model.generate, _api.GenerationConfig)]
    compared = 0
    for function, struct in pairs:
        config = struct()
        for name, parameter in inspect.signature(function).parameters.items():
            wanted = getattr(config, renamed.get(name, name), None)
            if isinstance(wanted, (int, float)) and parameter.default is not inspect.Parameter.empty:
                assert (parameter.default or 0) == wanted, f"{function.__qualname__}: {name}"
                compared += 1
        if "betas" in inspect.signature(function).parameters:
            assert inspect.signature(function).parameters["betas"].default == (config.beta1, config.beta2)
    assert compared > 20


def test_a_library_that_does_not_fit_is_refused(tmp_path):
    source = "import loravk\ntry: loravk.devices()\nexcept ImportError as error: print(error)"
    assert "cannot be loaded" in run_python(source, LORAVK_LIBRARY=str(tmp_path / "missing.so"))
    libc = ctypes.util.find_library("c")
    assert "has no loravk_version" in run_python(source, LORAVK_LIBRARY=libc)
