"""The C API as a C programmer meets it: the header, the ABI on record, and programs built against an installed library."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = ROOT / "include" / "loravk.h"
CLANG = pathlib.Path(shutil.which("swift")).resolve().parent / "clang"

USES_EVERY_MACRO = """
#include <loravk.h>
#include <loravk.h>
int main(void) {
    loravk_error_detail a = LORAVK_ERROR_DETAIL_INIT;
    loravk_device_info b = LORAVK_DEVICE_INFO_INIT;
    loravk_context_config c = LORAVK_CONTEXT_CONFIG_INIT;
    loravk_tensor_info d = LORAVK_TENSOR_INFO_INIT;
    loravk_attention_config e = LORAVK_ATTENTION_CONFIG_INIT;
    loravk_optimizer_config f = LORAVK_OPTIMIZER_CONFIG_INIT;
    loravk_model_config g = LORAVK_MODEL_CONFIG_INIT;
    loravk_model_info h = LORAVK_MODEL_INFO_INIT;
    loravk_adapter_config i = LORAVK_ADAPTER_CONFIG_INIT;
    loravk_parameter_info j = LORAVK_PARAMETER_INFO_INIT;
    loravk_trainer_config k = LORAVK_TRAINER_CONFIG_INIT;
    loravk_step_result l = LORAVK_STEP_RESULT_INIT;
    loravk_memory_plan m = LORAVK_MEMORY_PLAN_INIT;
    loravk_export_config t = LORAVK_EXPORT_CONFIG_INIT;
    loravk_merge_report u = LORAVK_MERGE_REPORT_INIT;
    loravk_plan_config s = LORAVK_PLAN_CONFIG_INIT;
    loravk_data_config n = LORAVK_DATA_CONFIG_INIT;
    loravk_run_config o = LORAVK_RUN_CONFIG_INIT;
    loravk_run_result p = LORAVK_RUN_RESULT_INIT;
    loravk_evaluation q = LORAVK_EVALUATION_INIT;
    loravk_generation_config r = LORAVK_GENERATION_CONFIG_INIT;
    loravk_adapter_info v = LORAVK_ADAPTER_INFO_INIT;
    loravk_tune_config w = LORAVK_TUNE_CONFIG_INIT;
    loravk_feature_norms x = LORAVK_FEATURE_NORMS_INIT;
    loravk_session_info y = LORAVK_SESSION_INFO_INIT;
    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h, (void)i;
    (void)j, (void)k, (void)l, (void)m, (void)n, (void)o, (void)p, (void)q, (void)r, (void)s, (void)t, (void)u;
    (void)v, (void)w, (void)x, (void)y;
    return 0;
}
"""


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("compiler", ["gcc", CLANG])
@pytest.mark.parametrize("language", ["c99", "c11", "c++17"])
def test_header_compiles_without_a_warning(compiler, language):
    kind = "c++" if "+" in language else "c"
    run(compiler, "-x", kind, f"-std={language}", "-pedantic", "-Wall", "-Wextra", "-Wpadded", "-Werror",
        "-fsyntax-only", f"-I{HEADER.parent}", "-", input=USES_EVERY_MACRO)


def test_every_init_macro_is_tried():
    macros = set(re.findall(r"#define (LORAVK_\w+_INIT)", HEADER.read_text()))
    assert macros == set(re.findall(r"LORAVK_\w+_INIT", USES_EVERY_MACRO))


@pytest.fixture(scope="session")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefix")
    run(ROOT / "scripts" / "install", "--prefix", folder)
    return folder


def check_abi(*options):
    return subprocess.run([ROOT / "scripts" / "check-abi", *options], capture_output=True, text=True)


def test_the_interface_is_the_one_on_record(prefix):
    done = check_abi("--library", prefix / "lib" / "libloravk.so")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("before, after, said", [
    ("LORAVK_ERROR_BUSY = 4", "LORAVK_ERROR_BUSY = 44", "have changed"),
    ("void loravk_model_release(loravk_model *model);", "", "have changed"),
    ("    double loss;      /* mean over", "    float loss;      /* mean over", "have changed"),
    ("} loravk_evaluation;", "int64_t more; } loravk_evaluation;", "not on record"),
    ("size_t index, loravk_device_info", "int32_t index, loravk_device_info", "have changed"),
])
def test_a_changed_interface_is_noticed(tmp_path, before, after, said):
    text = HEADER.read_text()
    assert before in text
    changed = tmp_path / "loravk.h"
    changed.write_text(text.replace(before, after, 1))
    done = check_abi("--header", changed)
    assert done.returncode != 0 and said in done.stderr
    # A raised ABI version allows it, once it is recorded.
    changed.write_text(changed.read_text().replace("LORAVK_ABI_VERSION 0", "LORAVK_ABI_VERSION 1", 1))
    assert "not on record" in check_abi("--header", changed).stderr


def test_library_needs_no_swift(prefix):
    needed = re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", prefix / "lib" / "libloravk.so"))
    allowed = {"libvulkan.so.1", "libc.so.6", "libm.so.6", "libz.so.1", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"}
    assert set(needed) <= allowed


def bare(prefix):
    """Nothing of Swift, and of the environment only what tells the driver."""
    keep = {name: value for name, value in os.environ.items() if name.startswith(("VK_", "LORAVK_", "HOME"))}
    return {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(prefix / "lib"), **keep}


@pytest.fixture(scope="session", params=["make", "cmake"])
def programs(request, prefix, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "make":
        shutil.copytree(ROOT / "bindings" / "c", folder, dirs_exist_ok=True)
        run("make", "-C", folder, env={**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig"),
                                       "CFLAGS": "-O2 -Wall -Wextra -pedantic -Werror"})
    else:
        run("cmake", "-S", ROOT / "bindings" / "c", "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}")
        run("cmake", "--build", folder)
    return folder


def test_examples_run_without_swift(programs, prefix, tmp_path):
    environment = bare(prefix)
    assert "largest error" in run(programs / "matmul", "7", "13", "5", env=environment)
    assert "step 300" in run(programs / "regression", env=environment)
    tiny = ROOT / "Examples" / "tiny"
    said = run(programs / "finetune", tiny / "model", tiny / "train.jsonl", tmp_path / "out", "3", env=environment)
    assert "finished after 3 steps" in said and (tmp_path / "out" / "adapter_model.safetensors").exists()


@pytest.fixture(scope="session")
def checks(prefix, tmp_path_factory):
    """The C programs of this folder."""
    folder = tmp_path_factory.mktemp("checks")
    for source in (pathlib.Path(__file__).parent / "c").glob("*.c"):
        run("gcc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1", f"-I{prefix / 'include'}", source, "-o",
            folder / source.stem, f"-L{prefix / 'lib'}", "-lloravk", "-lpthread", "-lm")
    return folder


def unvalidated(prefix):
    """The validation layer keeps its devices in tables without a lock: two threads that open one crash in it."""
    return {name: value for name, value in bare(prefix).items() if name != "LORAVK_VALIDATION"}


def test_threads_get_the_losses_of_one_alone(checks, prefix, tiny):
    assert "the same losses" in run(checks / "threads", tiny, env=unvalidated(prefix))


def test_processes_get_the_losses_of_one_alone(checks, prefix, tiny):
    alone = run(checks / "losses", tiny, env=bare(prefix))
    pair = [subprocess.Popen([checks / "losses", tiny], env=bare(prefix), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in pair] == [alone, alone]


def test_a_program_built_against_an_older_header_runs(checks, prefix, tiny, tmp_path):
    """Configurations were shorter: what is missing has its default, and what lies behind is not read."""
    text = HEADER.read_text()
    for newer, older in [(r"    const char \*const \*modules_to_save; .*\n    size_t module_to_save_count;\n(?=} loravk_adapter_config)", ""),
                         (r", NULL, 0}(?=\n\nloravk_status loravk_adapter_config_init)", "}")]:
        text, count = re.subn(newer, older, text)
        assert count == 1
    (tmp_path / "loravk.h").write_text(text)
    built = tmp_path / "losses"
    source = pathlib.Path(__file__).parent / "c" / "losses.c"
    run("gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{tmp_path}", source, "-o", built, f"-L{prefix / 'lib'}", "-lloravk")
    assert run(built, tiny, env=bare(prefix)) == run(checks / "losses", tiny, env=bare(prefix))


def test_lifetimes(checks, prefix, tiny, shanties):
    assert "every order" in run(checks / "lifetimes", tiny, shanties, env=unvalidated(prefix))


def test_files(checks, prefix, tiny, shanties, tmp_path):
    assert "the same losses" in run(checks / "files", tiny, shanties, tmp_path, env=bare(prefix))


@pytest.mark.parametrize("rank", [8, 3])
def test_one_run_by_three_doors(checks, prefix, program, tiny, shanties, tmp_path, rank):
    """Nothing is said but the rank: the program, C and Python train the same adapter, to the byte."""
    program.run("train", "--model", tiny, "--data", shanties, "--out", tmp_path / "program", "--rank", rank)
    run(checks / "run", tiny, shanties, tmp_path / "c", rank, env=bare(prefix))
    source = """if True:
        import sys, loravk
        model = loravk.Model.load(sys.argv[1])
        loravk.Trainer(model, loravk.Adapter.create(model, rank=int(sys.argv[4]))).fit(sys.argv[2], output=sys.argv[3])
    """
    run(sys.executable, "-c", source, tiny, shanties, tmp_path / "python", rank)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        wanted = (tmp_path / "program" / name).read_bytes()
        assert all((tmp_path / door / name).read_bytes() == wanted for door in ("c", "python")), name
    steps = [len((tmp_path / door / "metrics.jsonl").read_text().splitlines()) for door in ("program", "c", "python")]
    assert steps == [steps[0]] * 3 and steps[0] > 3


def test_functions_give_the_defaults_of_the_macros(checks, prefix):
    structs = set(re.findall(r"#define LORAVK_(\w+)_INIT", HEADER.read_text()))
    assert run(checks / "defaults", env=bare(prefix)) == f"{len(structs)} structs\n"


@pytest.mark.parametrize("language", ["c", "c++"])
def test_what_embedding_programs_need(checks, prefix, tiny, shanties, tmp_path, language):
    shutil.copytree(tiny, tmp_path / "unknown")
    config = tmp_path / "unknown" / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"mamba9"'))
    built = checks / "embed"
    if language == "c++":
        built = tmp_path / "embed"
        run("g++", "-x", "c++", "-std=c++17", "-pedantic", "-Wall", "-Wextra", "-Werror", f"-I{prefix / 'include'}",
            pathlib.Path(__file__).parent / "c" / "embed.c", "-o", built, f"-L{prefix / 'lib'}", "-lloravk", "-lm")
    assert "embedded" in run(built, tiny, shanties, tmp_path / "unknown", env=bare(prefix))


def test_logs(checks, prefix):
    assert "told" in run(checks / "logs", env=bare(prefix))
