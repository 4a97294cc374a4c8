"""LORAVK_SHADERS: a shader that was edited since the build is compiled when the program runs."""
import os, shutil, subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The logistic function becomes 1, and SiLU the identity.
EDIT = ("return mix(e, vec4(1), greaterThanEqual(x, vec4(0))) / (1 + e);", "return vec4(1);")


@pytest.fixture
def evaluate(program, tiny, shanties, tmp_path):
    def run(**environment):
        words = [program.path, "eval", "--model", tiny, "--data", shanties, "--max-length", "48", "--limit", "4"]
        environment = os.environ | {"LORAVK_CACHE_DIR": str(tmp_path / "cache")} | {name: str(value) for name, value in environment.items()}
        return subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=300, env=environment)

    return run


@pytest.fixture
def shaders(tmp_path):
    return Path(shutil.copytree(ROOT / "Shaders", tmp_path / "Shaders"))


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_edit_is_seen_without_a_build(evaluate, shaders):
    built = evaluate()
    assert built.returncode == 0, built.stderr
    same = evaluate(LORAVK_SHADERS=shaders, LORAVK_SHADER_COMPILER="/nowhere/at/all")
    assert same.returncode == 0 and same.stdout == built.stdout, "what was not edited needs no compiler"
    # An included file, so several shaders change.
    edit(shaders / "lib" / "activation.glsl", *EDIT)
    edited = evaluate(LORAVK_SHADERS=shaders)
    assert edited.returncode == 0, edited.stderr
    assert edited.stdout.split() != built.stdout.split()
    assert evaluate().stdout == built.stdout, "the build is as it was"


def test_an_edit_that_does_not_compile_is_told_by_file_and_line(evaluate, shaders):
    path = shaders / "lib" / "activation.glsl"
    lines = path.read_text().splitlines()
    line = next(index for index, text in enumerate(lines) if EDIT[0] in text)
    lines[line] = lines[line].replace(EDIT[0], "return unheard_of;")
    path.write_text("\n".join(lines) + "\n")
    told = evaluate(LORAVK_SHADERS=shaders)
    assert told.returncode == 1 and f"{path}:{line + 1}: error: 'unheard_of'" in told.stderr, told.stderr
    missing = evaluate(LORAVK_SHADERS=shaders, LORAVK_SHADER_COMPILER="/nowhere/at/all")
    assert missing.returncode == 1 and "there is no compiler /nowhere/at/all" in missing.stderr
