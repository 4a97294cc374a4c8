"""Wrong calls of every exported function, in a process of their own: a crash is a failed test."""
import os, subprocess, sys
from pathlib import Path

from conftest import ROOT, TINY


def test_no_wrong_call_ends_the_process(tmp_path):
    data = ROOT / "Examples" / "tiny" / "valid.jsonl"
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("fuzz.py"), TINY, data, tmp_path / "adapter"], capture_output=True, text=True,
        timeout=300, cwd=tmp_path, env={**os.environ, "LORAVK_VALIDATION": "0", "LORAVK_CACHE_DIR": str(tmp_path / "cache")})
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-3000:]}"
    assert int(done.stdout.split()[-3]) > 1000, done.stdout
