"""Copies of embedding and output that train whole (PEFT's modules_to_save): loss and gradients against PEFT, files both ways, and runs
that are killed."""
import json, random, signal

import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from oracle import load_model, load_tokenizer
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from test_classification import WEIGHTS, texts, write
from test_peft_configs import assert_same, few, untied  # noqa: F401 (fixtures)
from test_resume import disturb, results

MODULES = ["embed_tokens", "lm_head", "embed_tokens,lm_head"]


def start(model, folder, modules):
    torch.manual_seed(2)
    model = get_peft_model(
        load_model(model), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", modules_to_save=modules.split(",")))
    numbers = torch.Generator().manual_seed(1)
    for name, p in sorted(model.named_parameters()):
        if "lora" in name and p.requires_grad:
            p.data = torch.randn(p.shape, generator=numbers) * 0.1
        elif p.requires_grad:
            p.data = p.data + torch.randn(p.shape, generator=numbers) * 0.01
    model.save_pretrained(folder)


@pytest.mark.parametrize("kind", ["tied", "untied"])
@pytest.mark.parametrize("modules", MODULES)
def test_loss_and_gradients_are_those_of_peft(program, tiny, untied, tmp_path, kind, modules):
    model = tiny if kind == "tied" else untied
    start(model, tmp_path / "peft", modules)
    data = write(tmp_path / "data.jsonl", [dict(text=text) for text in texts(4)])
    told = program.train(
        tmp_path / "out", "--model", model, "--adapter", tmp_path / "peft", "--data", data, "--steps", 1, "--batch-size", 4, "--no-shuffle",
        "--optimizer", "sgd:momentum=0", "--lr", 1, "--warmup", 0, "--schedule", "constant", "--max-grad-norm", 0, "--no-end")[0]
    tokenizer = load_tokenizer(model)
    theirs = PeftModel.from_pretrained(load_model(model), tmp_path / "peft", is_trainable=True).eval()
    total, counted = 0, 0
    for text in texts(4):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        count = ids.shape[1] - 1
        total, counted = total + count * theirs(input_ids=ids, labels=ids).loss, counted + count
    loss = total / counted
    loss.backward()
    assert told["loss"] == pytest.approx(loss.item(), rel=1e-4)
    before, after = load_file(tmp_path / "peft" / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    gradients = {name.replace(".default", "").replace(".modules_to_save", ""): p.grad
                 for name, p in theirs.named_parameters() if p.requires_grad}
    assert set(gradients) == set(after)
    largest = max(gradient.abs().max().item() for gradient in gradients.values())
    for name, gradient in gradients.items():
        np.testing.assert_allclose(
            (before[name] - after[name]).numpy(), gradient.numpy(), rtol=1e-3, atol=1e-3 * largest, err_msg=name)


@pytest.mark.parametrize("kind", ["tied", "untied"])
@pytest.mark.parametrize("modules", MODULES)
def test_what_was_trained_is_what_peft_loads(program, tiny, untied, few, tmp_path, kind, modules):
    model = tiny if kind == "tied" else untied
    words = ["--model", model, "--data", EXAMPLES / "tiny" / "train.jsonl"]
    rows = program.train(
        tmp_path / "out", *words, "--steps", 8, "--lr", 5e-3, "--rank", 4, "--modules-to-save", modules, "--sample", "Who sails?")
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["modules_to_save"] == modules.split(",")
    assert_same(program, model, tmp_path / "out", few)
    said = program.run("train", *words, "--out", tmp_path / "more", "--adapter", tmp_path / "out", "--modules-to-save", "lm_head", fails=True)
    assert "--modules-to-save cannot be given beside --adapter" in said


def test_norms_and_layers_are_refused(program, tiny, tmp_path):
    words = ["train", "--model", tiny, "--out", tmp_path / "out", "--data", EXAMPLES / "tiny" / "train.jsonl", "--modules-to-save"]
    for name in ("norm", "q_proj", "embed"):
        assert "cannot be trained whole" in program.run(*words, name, fails=True)


def test_runs_that_are_killed_at_random_end_in_the_same_bytes(program, tiny, tmp_path):
    options = ["--data", EXAMPLES / "tiny" / "train.jsonl", "--steps", 20, "--save-every", 3, "--rank", 4, "--batch-size", 4, "--lr", 1e-3,
               "--modules-to-save", "embed_tokens,lm_head"]
    program.train(tmp_path / "whole", "--model", tiny, *options)
    whole = results(tmp_path / "whole")
    for step in sorted(random.Random(3).sample(range(1, 20), 3)):
        code, told = disturb(program, tiny, tmp_path / "out", signal.SIGKILL, step, options)
        assert code == -signal.SIGKILL, told
    program.run("train", "--resume", "--model", tiny, "--out", tmp_path / "out", *options)
    assert results(tmp_path / "out") == whole
