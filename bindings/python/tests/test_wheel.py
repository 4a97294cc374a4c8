"""The wheel in a clean environment, and the examples of the README there."""
import os, re, subprocess, venv
from pathlib import Path

from conftest import ROOT, TINY


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_wheel_runs_the_readme_in_a_clean_environment(tmp_path):
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LORAVK_LIBRARY")}
    run(ROOT / "scripts" / "package-wheel", tmp_path, env=clean)
    wheel, = tmp_path.glob("*.whl")
    assert re.fullmatch(r"loravk-[\d.]+-py3-none-linux_(x86_64|aarch64)\.whl", wheel.name)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", wheel, env=clean)
    assert run(python, "-m", "pip", "list", "--format=freeze").count("==") <= 4  # loravk, numpy, pip, setuptools

    readme = (Path(__file__).parents[1] / "README.md").read_text()
    source = "\n".join(re.findall(r"```python\n(.*?)```", readme, re.DOTALL))
    for name, stand_in in [("MODEL.gguf", TINY), ("chats.jsonl", ROOT / "Examples" / "tiny" / "valid.jsonl")]:
        assert name in source
        source = source.replace(name, str(stand_in))
    source = source.replace("steps=60", "steps=3") + "\nprint(loravk._library.path())\n"
    printed = run(python, "-c", source, cwd=tmp_path, env=clean)
    assert "StepResult(loss=" in printed
    assert printed.splitlines()[-1].startswith(str(tmp_path / "venv"))
    assert (tmp_path / "my-adapter" / "adapter_model.safetensors").exists()
