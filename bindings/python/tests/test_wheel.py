"""The wheel in a clean environment: the examples of the README, and PEFT's golden runs."""
import os, re, subprocess, venv
from pathlib import Path

import pytest

from conftest import ROOT, TINY


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


CLEAN = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LORAVK_LIBRARY")}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Python of an environment that has the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("wheel")
    run(ROOT / "scripts" / "package-wheel", folder, env=CLEAN)
    wheel, = folder.glob("*.whl")
    assert re.fullmatch(r"loravk-[\d.]+-py3-none-linux_(x86_64|aarch64)\.whl", wheel.name)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", wheel, env=CLEAN)
    assert run(python, "-m", "pip", "list", "--format=freeze").count("==") <= 4  # loravk, numpy, pip, setuptools
    return python


def test_the_readme_runs(installed, tmp_path):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    source = "\n".join(re.findall(r"```python\n(.*?)```", readme, re.DOTALL))
    for name, stand_in in [("MODEL.gguf", TINY), ("chats.jsonl", ROOT / "Examples" / "tiny" / "valid.jsonl")]:
        assert name in source
        source = source.replace(name, str(stand_in))
    source = source.replace("steps=60", "steps=3") + "\nprint(loravk._library.path())\n"
    # What it measures of the device is not for other programs.
    printed = run(installed, "-c", source, cwd=tmp_path, env={**CLEAN, "LORAVK_CACHE_DIR": str(tmp_path / "cache")})
    assert "StepResult(loss=" in printed
    assert printed.splitlines()[-1].startswith(str(installed.parents[1]))
    assert (tmp_path / "my-adapter" / "adapter_model.safetensors").exists()


def test_golden_runs(installed, tmp_path):
    pinned = ROOT / "Tests" / "Oracles" / "requirements.txt"
    run(installed, "-m", "pip", "install", "-q", "-c", pinned, "pytest", "safetensors", env=CLEAN)
    said = run(installed, "-m", "pytest", "-p", "no:cacheprovider", Path(__file__).with_name("golden_runs.py"), cwd=tmp_path, env=CLEAN)
    assert f"libloravk: {installed.parents[1]}" in said and re.search(r"\b8 passed", said), said
