"""Adapter methods and initialisations against PEFT's own: the same starts, and adapters that PEFT loads and runs as we do."""
import json

import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from oracle import example, load_model, load_tokenizer, mean_loss, rows
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file

TRAIN = EXAMPLES / "tiny" / "train.jsonl"
TARGETS = ["q_proj", "down_proj"]


def start(program, tiny, out, *words):
    """A new adapter as it starts: a learning rate below what a float can take off it."""
    program.train(out, "--model", tiny, "--data", TRAIN, "--steps", 1, "--batch-size", 1, "--lr", 1e-36, "--warmup", 0,
                  "--targets", ",".join(TARGETS), *words)
    return load_file(out / "adapter_model.safetensors"), json.loads((out / "adapter_config.json").read_text())


@pytest.mark.parametrize("ours, theirs, tolerance", [
    ("pissa", "pissa", 1e-4), ("pissa:iterations=60", "pissa", 1e-2), ("olora", "olora", 1e-4)])
def test_starts_in_the_weight_are_those_of_peft(program, tiny, tmp_path, ours, theirs, tolerance):
    rank, alpha = 4, 6
    tensors, config = start(program, tiny, tmp_path / "out", "--rank", rank, "--alpha", alpha, "--init", ours)
    assert (config["r"], config["lora_alpha"]) == (2 * rank, 2 * alpha)
    model = get_peft_model(load_model(tiny), LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=TARGETS, task_type="CAUSAL_LM", init_lora_weights=theirs))
    found = 0
    for name, module in model.base_model.model.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        a, b = (tensors[f"base_model.model.{name}.lora_{part}.weight"] for part in "AB")
        wanted = (module.lora_B["default"].weight @ module.lora_A["default"].weight).detach().numpy()
        got = b[:, :rank] @ a[:rank]  # free of the sign of a singular vector
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
        # Equal but for the learning rate, by which zeros do move.
        np.testing.assert_allclose(a[:rank], a[rank:], rtol=0, atol=1e-30)
        np.testing.assert_allclose(b[:, :rank], -b[:, rank:], rtol=0, atol=1e-30)
        # The directions, by the cosines of the angles between the subspaces.
        theirs_a = np.linalg.qr(module.lora_A["default"].weight.detach().numpy().T)[0]
        cosines = np.linalg.svd(theirs_a.T @ np.linalg.qr(a[:rank].T)[0])[1]
        assert cosines.min() > 1 - tolerance
        found += 1
    assert found == 8


def test_orthogonal_start_is_of_the_size_of_pefts(program, tiny, tmp_path):
    tensors, _ = start(program, tiny, tmp_path / "out", "--rank", 8, "--init", "orthogonal")
    model = get_peft_model(load_model(tiny), LoraConfig(
        r=8, target_modules=TARGETS, task_type="CAUSAL_LM", init_lora_weights="orthogonal"))
    for name, p in model.named_parameters():
        if p.requires_grad:
            ours = tensors[name.replace(".default", "")]
            assert ours.std() == pytest.approx(p.detach().numpy().std(), rel=0.15), name
    a, b = (tensors[f"base_model.model.model.layers.0.self_attn.q_proj.lora_{part}.weight"] for part in "AB")
    assert np.abs(b @ a).max() < 1e-5


METHODS = [
    ["--method", "rslora"], ["--method", "lora+:ratio=8"], ["--method", "lora-fa", "--init", "gaussian"],
    ["--method", "dora"], ["--method", "dora", "--init", "pissa"], ["--method", "allora:eta=2"],
    ["--method", "nora+:damping=0.001"],
    ["--method", "delora:lambda=2"],
    ["--method", "rocoft"], ["--method", "rocoft-columns"], ["--init", "pissa"], ["--init", "olora", "--rslora"],
    ["--init", "orthogonal"], ["--init", "eva:samples=4"], ["--init", "lora-ga:samples=4"],
    ["--init", "spectral:samples=4"], ["--init", "nora"], ["--module-lr", "v_proj=4,mlp.*=0"]]


@pytest.mark.parametrize("words", METHODS, ids=" ".join)
def test_peft_runs_what_a_method_trained(program, tiny, shanties, tmp_path, words):
    out = tmp_path / "out"
    metrics = program.train(out, "--model", tiny, "--data", TRAIN, "--steps", 4, "--batch-size", 2, "--lr", 5e-3, "--rank", 6,
                            "--warmup", 0, *words)
    assert len(metrics) == 4
    tokenizer = load_tokenizer(tiny)
    examples = [example(row["messages"], tokenizer) for row in rows(shanties)[:2]]
    wanted, _ = mean_loss(load_model(tiny, out), examples)
    base, _ = mean_loss(load_model(tiny), examples)
    got = program.eval("--model", tiny, "--adapter", out, "--data", shanties, "--limit", 2)
    assert got["loss"] == pytest.approx(wanted, rel=1e-4)
    assert abs(wanted - base) > 0.01, "four steps changed nothing"
    said = program.run("inspect", out)
    method = words[1] if words[0] == "--method" and words[1].split(":")[0] not in ("rslora", "delora") else "lora"
    assert f"method       {method}\n" in said


def test_dora_has_pefts_gradients(program, tiny, tmp_path):
    """PEFT's adapter trained by both: AdamW's second step depends on the size of every gradient, magnitudes included."""
    torch.manual_seed(5)
    config = LoraConfig(r=5, lora_alpha=10, target_modules=TARGETS, task_type="CAUSAL_LM", use_dora=True)
    model = get_peft_model(load_model(tiny), config)
    for name, p in sorted(model.named_parameters()):
        if p.requires_grad and "lora_B" in name:
            p.data = torch.randn(p.shape) * 0.1
    model.save_pretrained(tmp_path / "peft")
    tokenizer = load_tokenizer(tiny)
    lines = [tokenizer.apply_chat_template(row["messages"])[:40] for row in rows(TRAIN)[:2]]
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(dict(input_ids=ids)) for ids in lines))
    metrics = program.train(
        tmp_path / "out", "--model", tiny, "--data", tmp_path / "data.jsonl", "--adapter", tmp_path / "peft", "--steps", 3,
        "--batch-size", 2, "--no-shuffle", "--lr", 2e-3, "--schedule", "constant", "--warmup", 0, "--max-grad-norm", 0)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(parameters.values(), lr=2e-3, weight_decay=0)
    for line in metrics:
        total, count = 0, sum(len(ids) - 1 for ids in lines)
        for ids in lines:
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
            total = total + torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum") / count
        total.backward()
        norm = torch.stack([p.grad.norm() for p in parameters.values()]).norm()
        assert line["loss"] == pytest.approx(total.item(), rel=1e-4)
        assert line["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)
        optimizer.step()
        optimizer.zero_grad()
    ours = load_file(tmp_path / "out" / "adapter_model.safetensors")
    start = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    assert ours.keys() == start.keys()
    model.save_pretrained(tmp_path / "after")
    theirs = load_file(tmp_path / "after" / "adapter_model.safetensors")
    for key in ours:
        moved = np.abs(theirs[key] - start[key]).max()
        assert np.abs(ours[key] - theirs[key]).max() < 0.02 * moved, key
