"""scripts/check-gpu's Python, on the tiny model: the report tells what was measured and what was left out."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def check(folder: Path, *options: str, golden_shift: float = 0) -> subprocess.CompletedProcess:
    programs = Path(os.environ["LORAVK_BIN"]).resolve().parent
    (folder / "bin").mkdir()
    for name in ("lora-vk", "loravk-bench"):
        (folder / "bin" / name).symlink_to(programs / name)
    for name in ("check.py", "peft_peer.py"):
        shutil.copy(ROOT / "scripts/gpu-check" / name, folder)
    golden = json.loads((ROOT / "scripts/gpu-check/golden.json").read_text())
    golden["losses"][3] += golden_shift
    (folder / "golden.json").write_text(json.dumps(golden))
    (folder / "tiny").symlink_to(ROOT / "Examples/tiny")
    return subprocess.run(
        [sys.executable, folder / "check.py", "--out", folder / "out", *options], capture_output=True, text=True, timeout=300
    )


def test_report_of_the_tiny_model(tmp_path):
    result = check(tmp_path, "--models", "tiny:q8_0,8b:f16", "--minutes", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads((tmp_path / "out/report.json").read_text())
    steps = report["steps"]
    assert steps["doctor"]["result"] == "passed" and "this device can train" in report["doctor"]
    assert steps["golden run"]["largest difference of losses"] < 1e-4
    assert report["device"] in report["doctor"] and report["megabytes"] > 0
    figures = report["models"]["tiny:q8_0"]
    assert figures["train 1x512"]["tokens/s"] > 0 and figures["generate"]["tokens/s"] > 0
    # More than this machine's software device has, or more time than is left.
    assert steps["8b:f16"]["result"] == "left out" and steps["kernel tests"]["result"] == "left out"
    markdown = (tmp_path / "out/report.md").read_text()
    assert "| tiny:q8_0 |" in markdown and "matmul" in markdown


def test_a_wrong_golden_run_fails(tmp_path):
    result = check(tmp_path, "--models", "", golden_shift=0.1)
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert result.returncode == 1 and report["steps"]["golden run"]["result"] == "failed"


def test_an_unknown_model_is_named(tmp_path):
    result = check(tmp_path, "--models", "7b:q4_k")
    assert result.returncode == 2 and "'7b:q4_k' is no model: sizes are tiny, 135m, 1.5b, 8b" in result.stderr
