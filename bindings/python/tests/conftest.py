"""What the tests share. scripts/test sets LORAVK_LIBRARY and LORAVK_TEST_MODEL (SmolLM2)."""
import os, subprocess, sys
from pathlib import Path

import pytest

import loravk

ROOT = Path(__file__).parents[3]
TINY = ROOT / "Examples" / "tiny" / "model"
GOLDEN = ROOT / "Tests" / "LoRAVKTests" / "Data" / "golden"


def pytest_report_header():
    return f"libloravk: {loravk._library.path()}"


@pytest.fixture(scope="session")
def tiny():
    return loravk.Model.load(TINY)


@pytest.fixture(scope="session")
def smollm2():
    path = os.environ.get("LORAVK_TEST_MODEL")
    assert path, "LORAVK_TEST_MODEL is not set: run these tests with scripts/test"
    return loravk.Model.load(path)


def run_python(source, *arguments, **environment):
    """Runs a program in a process of its own, which must end well: a crash is a failed test. Returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", source, *map(str, arguments)], capture_output=True, text=True, timeout=300,
        env={**os.environ, **environment})
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout
