"""Experts in k-quants and MXFP4, kept so on the device, against llama.cpp and the same numbers in floats."""
import os, subprocess, sys
from dataclasses import replace
from pathlib import Path

import architectures
import gguf
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


def assert_is_kept_as_llama_cpp_computes_it(path, folder):
    ids = np.random.default_rng(1).integers(0, architectures.END, 48).astype(np.int32)
    np.save(folder / "ids.npy", ids)
    run("llama_cpp_logits.py", path, "-", folder / "ids.npy", folder / "logits.npy")
    theirs = np.load(folder / "logits.npy")
    kept, floats = (loravk.Model.load(path, weights=weights).logits(ids[None])[0] for weights in ("auto", "f32"))
    assert np.abs(kept - floats).max() <= 1e-4 * np.abs(floats).max()
    # It rounds what quants are multiplied with to 8 bits, and a token between two experts may go to the other.
    assert loss(kept, ids) == pytest.approx(loss(theirs, ids), rel=0.01)
    assert np.median(np.abs(kept - theirs).max(-1)) <= 0.05 * np.abs(theirs).max()
    return kept, ids


@pytest.fixture
def llama_cpp():
    if "LORAVK_TEST_LLAMA_CPP" not in os.environ:
        pytest.skip("LORAVK_TEST_LLAMA_CPP is not set: scripts/fetch-llama-cpp has llama.cpp for Linux on x86-64 only")


def test_k_quants(llama_cpp, tmp_path):
    small = architectures.ALL["qwen3_moe"]
    architecture = replace(small, config=dict(small.config, hidden_size=256, moe_intermediate_size=256, num_attention_heads=16))
    model = architectures.kind(architecture).from_config(architectures.config(architecture)).eval()
    architectures.randomise(model, seed=1)
    model.save_pretrained(tmp_path / "model")
    run("llama_cpp_convert.py", required("LORAVK_TEST_CONVERTER"), tmp_path / "model", tmp_path / "floats.gguf")
    names = convert(tmp_path / "floats.gguf", tmp_path / "quants.gguf")
    assert sum("_exps" in name for name in names) == 6
    assert_is_kept_as_llama_cpp_computes_it(tmp_path / "quants.gguf", tmp_path)


def test_mxfp4(llama_cpp, tmp_path):
    """Of the folder, and of the file that llama.cpp's converter makes of it."""
    architectures.make("gpt_oss-mxfp4", tmp_path / "model")
    run("llama_cpp_convert.py", required("LORAVK_TEST_CONVERTER"), tmp_path / "model", tmp_path / "model.gguf")
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert sum(kind == "MXFP4" for name, kind in types.items() if "_exps.weight" in name) == 6
    kept, ids = assert_is_kept_as_llama_cpp_computes_it(tmp_path / "model.gguf", tmp_path)
    folder = loravk.Model.load(tmp_path / "model").logits(ids[None])[0]
    assert np.abs(kept - folder).max() <= 1e-5 * np.abs(kept).max()
