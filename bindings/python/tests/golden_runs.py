"""PEFT's golden runs through Trainer.step. test_wheel.py runs this file in a clean environment, with the wheel; by hand:
pytest bindings/python/tests/golden_runs.py"""
import json, shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

import loravk
from conftest import GOLDEN, TINY


def first_of(folder, *names):
    return load_file(next(folder / name for name in names if (folder / name).exists()))


def reproduce(model, folder):
    """What the README of the golden runs binds, through Trainer.step."""
    reference = json.loads((folder / "reference.json").read_text())
    batches = np.load(folder / "tokens.npy")
    adapter = loravk.Adapter.create(
        model, rank=reference["r"], alpha=reference["alpha"], target_modules=reference["targets"],
        use_rslora=reference["rslora"])
    start = first_of(folder, "init_half.safetensors", "init/adapter_model.safetensors")
    adapter.set_parameters({name: start.get(name, np.zeros(shape)) for name, shape in adapter.shapes.items()})
    trainer = loravk.Trainer(model, adapter, learning_rate=reference["lr"], weight_decay=reference["wd"], max_grad_norm=0)
    for index, tokens in enumerate(batches):
        result = trainer.step(tokens)
        assert result.loss == pytest.approx(reference["losses"][index], rel=1e-3), f"loss of step {index}"
        assert result.grad_norm == pytest.approx(reference["grad_norms"][index], rel=5e-3), f"gradient norm of step {index}"
        assert (result.tokens, result.counted_tokens) == (tokens.size, tokens.size - len(tokens))
        if index == 0:
            gradients = adapter.gradients()
            for name, wanted in first_of(folder, "grads_step0_half.safetensors", "grads_step0.safetensors").items():
                assert np.abs(gradients[name] - wanted).max() <= 1e-3 * np.abs(wanted).max(), name
    assert trainer.steps == len(batches)
    bound = 0.05 * reference["lr"] * len(batches)
    final, parameters = first_of(folder, "final.safetensors", "final/adapter_model.safetensors"), adapter.parameters()
    near = np.concatenate([(np.abs(parameters[name] - wanted) <= bound).ravel() for name, wanted in final.items()])
    assert near.mean() >= 0.98
    return adapter, batches


@pytest.mark.parametrize("name", ["initA", "initB"])
def test_a_real_model_trains_as_in_peft(smollm2, name):
    adapter, batches = reproduce(smollm2, GOLDEN / name)
    wanted = np.load(GOLDEN / name / "logits_after_first_row_last_token.npy").ravel()
    logits = smollm2.logits(batches[0][:1], adapter)[0, -1]
    assert np.abs(logits - wanted).max() <= 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["initA", "initB", "rslora", "rank3", "qv", "rope_llama3"])
def test_a_tiny_model_trains_as_in_peft(tiny, name, tmp_path):
    folder = GOLDEN / "tiny" / name
    scaling = json.loads((folder / "reference.json").read_text())["rope_scaling"]
    if scaling:
        shutil.copytree(TINY, tmp_path, dirs_exist_ok=True)
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, "rope_scaling": scaling}))
        tiny = loravk.Model.load(tmp_path)
    adapter, batches = reproduce(tiny, folder)
    wanted = np.load(folder / "logits_after.npy")
    logits = tiny.logits(batches[0], adapter)[:, -1]
    assert np.abs(logits - wanted).max() <= 0.02 * np.abs(wanted).max()
