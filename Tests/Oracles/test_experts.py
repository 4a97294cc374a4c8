"""Experts in k-quants, in one tensor of all, kept so on the device, against llama.cpp and the same numbers in floats."""
import os, subprocess, sys
from dataclasses import replace
from pathlib import Path

import architectures
import loravk
import numpy as np
import pytest
from conftest import required
from k_quants import convert

HERE = Path(__file__).parent


def run(script, *words):
    done = subprocess.run([sys.executable, HERE / script, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def loss(logits, ids):
    rows = logits[:-1] - logits[:-1].max(-1, keepdims=True)
    return (np.log(np.exp(rows).sum(-1)) - rows[np.arange(len(rows)), ids[1:]]).mean()


def test_loss_is_that_of_llama_cpp(tmp_path):
    if "LORAVK_TEST_LLAMA_CPP" not in os.environ:
        pytest.skip("LORAVK_TEST_LLAMA_CPP is not set: scripts/fetch-llama-cpp has llama.cpp for Linux on x86-64 only")
    small = architectures.ALL["qwen3_moe"]
    architecture = replace(small, config=dict(small.config, hidden_size=256, moe_intermediate_size=256, num_attention_heads=16))
    model = architectures.kind(architecture).from_config(architectures.config(architecture)).eval()
    architectures.randomise(model, seed=1)
    model.save_pretrained(tmp_path / "model")
    run("llama_cpp_convert.py", required("LORAVK_TEST_CONVERTER"), tmp_path / "model", tmp_path / "floats.gguf")
    names = convert(tmp_path / "floats.gguf", tmp_path / "quants.gguf")
    assert sum("_exps" in name for name in names) == 6

    ids = np.random.default_rng(1).integers(0, architectures.END, 48).astype(np.int32)
    np.save(tmp_path / "ids.npy", ids)
    run("llama_cpp_logits.py", tmp_path / "quants.gguf", "-", tmp_path / "ids.npy", tmp_path / "logits.npy")
    theirs = np.load(tmp_path / "logits.npy")
    kept, floats = (loravk.Model.load(tmp_path / "quants.gguf", weights=weights).logits(ids[None])[0] for weights in ("auto", "f32"))
    assert np.abs(kept - floats).max() <= 1e-4 * np.abs(floats).max()
    # It rounds what k-quants are multiplied with to 8 bits, and a token between two experts may go to the other.
    assert loss(kept, ids) == pytest.approx(loss(theirs, ids), rel=0.01)
    assert np.median(np.abs(kept - theirs).max(-1)) <= 0.05 * np.abs(theirs).max()
