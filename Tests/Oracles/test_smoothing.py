"""Label smoothing against transformers' LabelSmoother, the z-loss against its formula in PyTorch, and runs with noise on the embeddings."""
import json, signal

import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from make_adapter import make
from oracle import load_model, load_tokenizer
from peft import PeftModel
from safetensors.torch import load_file
from test_classification import WEIGHTS, texts, write
from test_resume import disturb, results
from transformers.trainer_pt_utils import LabelSmoother


@pytest.mark.parametrize("smoothing, z", [(0.1, 0), (0, 1e-2), (0.2, 1e-3)])
def test_loss_and_gradients(smoothing, z, program, tiny, tmp_path):
    make(tiny, tmp_path / "peft", rank=4, alpha=8, size=0.1)
    data = write(tmp_path / "data.jsonl", [dict(text=text) for text in texts(4)])
    told = program.train(
        tmp_path / "out", "--model", tiny, "--adapter", tmp_path / "peft", "--data", data, "--objective",
        f"causal:smoothing={smoothing},z={z}", "--steps", 1, "--batch-size", 4, "--no-shuffle", "--optimizer", "sgd:momentum=0", "--lr", 1,
        "--warmup", 0, "--schedule", "constant", "--max-grad-norm", 0, "--no-end")[0]
    tokenizer = load_tokenizer(tiny)
    model = PeftModel.from_pretrained(load_model(tiny), tmp_path / "peft", is_trainable=True).eval()
    losses = []
    for text in texts(4):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        logits = model(input_ids=ids).logits
        count = ids.shape[1] - 1
        smoothed = LabelSmoother(epsilon=smoothing)({"logits": logits}, ids.clone(), shift_labels=True)
        losses.append((count, count * smoothed + z * logits[0, :-1].logsumexp(-1).square().sum()))
    loss = sum(part for _, part in losses) / sum(count for count, _ in losses)
    loss.backward()
    assert told["loss"] == pytest.approx(loss.item(), rel=1e-4)
    before, after = load_file(tmp_path / "peft" / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    largest = max(p.grad.abs().max().item() for p in model.parameters() if p.grad is not None)
    for name, p in model.named_parameters():
        if p.requires_grad:
            key = name.replace(".default", "")
            np.testing.assert_allclose(
                (before[key] - after[key]).numpy(), p.grad.numpy(), rtol=1e-3, atol=1e-3 * largest, err_msg=name)


def test_runs_with_noise_go_on_to_the_same_bits(program, tiny, tmp_path):
    options = ["--data", EXAMPLES / "tiny" / "train.jsonl", "--steps", 12, "--save-every", 3, "--rank", 4, "--batch-size", 3, "--lr", 3e-3]
    program.train(tmp_path / "plain", "--model", tiny, *options)
    program.train(tmp_path / "whole", "--model", tiny, *options, "--neftune", 5)
    assert results(tmp_path / "whole") != results(tmp_path / "plain")
    code, said = disturb(program, tiny, tmp_path / "out", signal.SIGKILL, 5, [*options, "--neftune", 5])
    assert code == -signal.SIGKILL, said
    assert "noise on embeddings 5" in program.run(
        "train", "--resume", "--model", tiny, "--out", tmp_path / "out", *options, "--neftune", 6, fails=True)
    program.run("train", "--resume", "--model", tiny, "--out", tmp_path / "out", *options, "--neftune", 5)
    assert results(tmp_path / "out") == results(tmp_path / "whole")
